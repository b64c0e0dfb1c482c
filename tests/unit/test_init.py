"""init: a config for each command, which that command reads; a guessed column of classes is only proposed."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from topicflow.configs.flows.names import FLOWS
from topicflow.configs.flows.serving import ServeConfig
from topicflow.configs.read import load_config
from topicflow.flows.commands.every_command import app
from topicflow.tasks.errors import ConfigError

FLOW_OF = {
    "run": "topic_model",
    "update": "update_topics",
    "index": "build_index",
    "dedup": "deduplicate",
    "classify": "train_classifier",
    "tune": "tune_embeddings",
}


def reviews(folder: Path, n: int = 60, **more: Any) -> Path:
    columns = {
        "id": range(n),
        "created": [f"2024-01-{i % 28 + 1:02d}" for i in range(n)],
        "product": [("camera", "phone", "printer")[i % 3] for i in range(n)],
        "review": [f"the {('lens', 'case', 'ink')[i % 3]} number {i} is not what I wanted" for i in range(n)],
    }
    path = folder / "reviews.csv"
    folder.mkdir(exist_ok=True)
    pl.DataFrame(columns | more).write_csv(path)
    return path


def init(*words: object) -> str:
    done = CliRunner().invoke(app, ["init", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.mark.parametrize("command", FLOW_OF)
def test_each_command_reads_its_config(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reviews(tmp_path)
    said = init("reviews.csv", "--flow", command)
    file = "reviews.toml" if command == "run" else f"reviews-{command}.toml"
    assert said.endswith(f"wrote {file}; now: topicflow {command} {file}\n")
    config = load_config(Path(file), (), FLOWS[FLOW_OF[command]])
    learns = command in {"classify", "tune"}
    continues = command in {"run", "update"}
    assert config.name == ("reviews" if command == "run" else f"reviews-{command}")
    assert config.load.label_column == ("product" if learns else None)  # type: ignore[attr-defined]
    assert config.load.id_column == "id"  # type: ignore[attr-defined]
    proposed = '# label_column = "product"  # if these are classes: the run measures against them'
    assert (proposed in Path(file).read_text().splitlines()) == continues
    assert ("min_cluster_size" in said) == continues


def test_a_flows_own_name_is_taken_too(tmp_path: Path) -> None:
    target = tmp_path / "index.toml"
    assert "topicflow index" in init(reviews(tmp_path), "--flow", "build_index", "-o", target)
    with pytest.raises(ConfigError, match="--flow indices: expected one of run, update, index, dedup"):
        init(reviews(tmp_path), "--flow", "indices")


def test_the_newest_duplicate_is_kept_where_there_are_dates(tmp_path: Path) -> None:
    target = tmp_path / "dedup.toml"
    init(reviews(tmp_path), "--flow", "dedup", "-o", target)
    assert 'keep = "newest"' in target.read_text()


def test_a_file_without_classes_cannot_be_learned_from(tmp_path: Path) -> None:
    path, target = reviews(tmp_path, product=[f"p{i}" for i in range(60)]), tmp_path / "c.toml"
    with pytest.raises(ConfigError, match="classify learns from classes, and no column of"):
        init(path, "--flow", "classify", "-o", target)
    assert not target.exists()


def test_serve_names_a_config_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reviews(tmp_path)
    assert "wrote serve.toml; now: topicflow serve serve.toml" in init("reviews.csv", "--flow", "serve")
    (schedule,) = load_config(Path("serve.toml"), (), ServeConfig).schedules
    assert (schedule.flow, schedule.config) == ("update_topics", "reviews-update.toml")
    assert load_config(Path("reviews-update.toml"), (), FLOWS["update_topics"]).name == "reviews-update"
    again = init("reviews.csv", "--flow", "serve", "--force")
    assert "reviews-update.toml exists and is used as it is" in again
    with pytest.raises(ConfigError, match=r"serve\.toml exists already"):
        init("reviews.csv", "--flow", "serve")


def test_the_tables_of_a_folder_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for number in (1, 2):
        reviews(tmp_path / "data", id=range(60 * number, 60 * number + 60)).rename(f"data/{number}.csv")
    assert "rows: 120, 4 columns" in init("data")
    assert load_config(Path("data.toml")).load.path == str(tmp_path / "data/*.csv")


def test_a_folder_whose_name_looks_like_a_pattern_is_read(tmp_path: Path) -> None:
    (tmp_path / "data [2026]").mkdir()
    reviews(tmp_path / "data [2026]")
    target = tmp_path / "c.toml"
    assert "rows: 60, 4 columns" in init(tmp_path / "data [2026]", "-o", target)
    assert load_config(target).load.path == str(tmp_path / "data [[]2026]/*.csv")


def test_a_database_is_read(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table reviews (id integer, text text)")
        rows = [(i, f"a review of product {i}, which is long enough") for i in range(40)]
        database.executemany("insert into reviews values (?, ?)", rows)
    target = tmp_path / "shop.toml"
    assert "rows: 40, 2 columns" in init(tmp_path / "shop.db", "-o", target)
    assert load_config(target).load.text_column == "text"
