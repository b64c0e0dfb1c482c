"""Configs of calls from Python: the same config, and the same errors, as on the command line."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.reviews import made_reviews
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.paths import in_work_folder
from topicflow.configs.read import load_config
from topicflow.flows.python.configs import Columns, read_config
from topicflow.tasks.documents.first_config import render_config
from topicflow.tasks.documents.guess import guess_config
from topicflow.tasks.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with reviews.csv and reviews.toml, which `init` would write."""
    monkeypatch.chdir(tmp_path)
    made_reviews(15).write_csv(tmp_path / "reviews.csv")
    (tmp_path / "reviews.toml").write_text(render_config(guess_config("reviews.csv")))
    return tmp_path


def read(
    source: Any, model: type[Any] = TopicModelConfig, columns: Columns | None = None, **keys: Any
) -> Any:
    return read_config("run", source, model, columns or Columns(), keys)


def typed(*overrides: str) -> TopicModelConfig:
    """Return the config of reviews.toml as the command line reads it."""
    return in_work_folder(load_config(Path("reviews.toml"), overrides))


def test_a_config_file_is_read_as_the_command_line_reads_it() -> None:
    assert read("reviews.toml") == typed()
    assert read(Path("reviews.toml"), cluster={"min_cluster_size": 8, "topics": None}) == typed(
        "cluster.min_cluster_size=8"
    )
    assert read("reviews.toml", **{"cluster.min_cluster_size": np.int64(8), "seed": 3}) == typed(
        "cluster.min_cluster_size=8", "seed=3"
    )


def test_a_file_of_documents_gets_the_config_that_init_would_write() -> None:
    assert read("reviews.csv") == typed()
    assert read(Path("reviews.csv")).name == "reviews"


def test_another_method_leaves_out_the_keys_that_only_the_first_has(folder: Path) -> None:
    found = read("reviews.csv", cluster={"n_clusters": 4, "method": "kmeans"})
    assert (found.cluster.method, found.cluster.n_clusters) == ("kmeans", 4)
    assert found == typed("cluster.method=kmeans", "cluster.n_clusters=4")


def test_a_table_is_read_from_its_file_beside_the_store(folder: Path) -> None:
    table = made_reviews(15)
    found = read(table)
    (path,) = (folder / "store-inputs").iterdir()
    assert found.load == typed().load.model_copy(update={"path": str(path)})
    assert (found.name, found.cluster) == ("topics", typed().cluster)
    elsewhere = read(table, store="kept/store", runs="kept/runs", name="mine")
    assert elsewhere.load.path == str(folder / "kept" / "store-inputs" / path.name)
    assert (elsewhere.runtime.store, elsewhere.runtime.runs) == (
        f"{folder}/kept/store",
        f"{folder}/kept/runs",
    )
    assert elsewhere.name == "mine"


def test_a_list_of_texts_needs_no_guess() -> None:
    found = read(["a", "b"])
    assert (found.load.text_column, found.load.id_column) == ("text", None)
    assert found.cluster.min_cluster_size == "auto"


def test_named_columns_replace_the_guesses() -> None:
    found = read("reviews.csv", columns=Columns(text="product", id="title", time="created"))
    assert (found.load.text_column, found.load.id_column) == ("product", "title")
    assert found.load.timestamp_column == "created"
    assert read("reviews.csv").load.label_column is None  # `init` only proposes it
    assert read("reviews.csv", load={"label_column": "product"}).load.label_column == "product"


def test_dates_keep_their_order_only_with_their_own_column(folder: Path) -> None:
    table = made_reviews(15).with_columns(
        created=pl.col("created").dt.strftime("%d/%m/%Y"), seen=pl.col("created").dt.strftime("%Y-%m-%d")
    )
    table.write_csv(folder / "dated.csv")
    assert read("dated.csv").load.date_order == "dmy"
    assert read("dated.csv", columns=Columns(time="created")).load.date_order == "dmy"
    assert read("dated.csv", columns=Columns(time="seen")).load.date_order == "auto"


def test_other_flows_take_how_documents_are_read_and_their_own_name() -> None:
    found = read("reviews.csv", BuildIndexConfig, index={"method": "exact"})
    assert (found.name, found.index.method, found.load) == ("search", "exact", typed().load)
    swept = read("reviews.csv", SweepConfig, **{"sweep.vary": {"cluster.min_cluster_size": [5, 10]}})
    assert (swept.name, swept.sweep.vary) == ("reviews-sweep", {"cluster.min_cluster_size": [5, 10]})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"cluster": {"min_cluster_sze": 3}}, "run: unknown key 'cluster.min_cluster_sze'; did you mean "),
        ({"clustr": {"x": 1}}, "run: unknown key 'clustr'; did you mean 'cluster'?"),
        ({"name": {"a": 1}}, "run: name is a value, not a section"),
        ({"txt": "body"}, "run: unknown keyword txt; did you mean text?"),
        ({"text_column": "body"}, "run: unknown keyword text_column; did you mean text?"),
        ({"seed": -1}, "run: seed: input should be greater than or equal to 0, found -1"),
        ({"load": {"path": None}}, "run: load: set either path or query"),
        ({"load.path.x": 1}, "run: path is a value, not a section"),
    ],
)  # fmt: skip
def test_wrong_keys_are_one_line(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read("reviews.csv", **keys)
    assert str(error.value).startswith(said)
    assert len(str(error.value).splitlines()) == 1


def test_what_is_not_there_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^nowhere\.toml: no such config file$"):
        read("nowhere.toml")
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        read("nowhere.csv")
    with pytest.raises(DataError, match=r"no column contains text .*; text= names the column of the texts$"):
        read(pl.DataFrame({"n": [1, 2]}))


def test_an_empty_section_turns_a_section_on() -> None:
    assert read("reviews.csv").gates is None
    assert read("reviews.csv", gates={}).gates is not None
    assert tomllib.loads(Path("reviews.toml").read_text())["load"]["path"] == "reviews.csv"


def test_a_file_that_changes_is_looked_at_again(folder: Path) -> None:
    assert read("reviews.csv").load.id_column == "review_id"
    made_reviews(15).drop("review_id").write_csv(folder / "reviews.csv")
    assert read("reviews.csv").load.id_column is None
