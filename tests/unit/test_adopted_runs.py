"""A run that an update continues: its topics, ids, names, edits and tree stay, and its documents are not new."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.updates import N_FIRST, EditedSeries, config_of, documents_of, new_topic, run_once, story, tell
from topicflow.configs.read import dump_config
from topicflow.flows.commands.edit import last_run, read_either
from topicflow.flows.commands.options import FlowOptions
from topicflow.flows.planning.update_plan import plan_update
from topicflow.tasks.edits.edits_file import without_edit
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.compare import compare_runs
from topicflow.tasks.runs.history import list_runs
from topicflow.tasks.runs.resolve import resolve
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.store.artifact_store import ArtifactStore

Record = dict[str, Any]

BY_TEXT = {"id_column": None}
"""Documents without ids are known by their texts and times."""


def first(folder: Path, **changes: Any) -> Record:
    """Return the record of `topicflow run` on the first documents of the story."""
    return run_once(config_of(folder, story()[:N_FIRST], **changes))


@pytest.fixture(scope="module")
def run_before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A folder with a run of a topic model, and its record."""
    folder = tmp_path_factory.mktemp("adopted")
    return folder, first(folder)


@pytest.fixture
def folder(run_before: tuple[Path, Record], tmp_path: Path) -> Path:
    """A copy of that folder."""
    shutil.copytree(run_before[0], tmp_path / "series", symlinks=True)
    return tmp_path / "series"


def stages(record: Record) -> list[str]:
    return [stage["stage"] for stage in record["stages"]]


def topics_of(folder: Path, record: Record) -> pl.DataFrame:
    return pl.read_parquet(folder / "runs/story" / record["run_id"] / "topics.parquet").sort("topic")


def test_an_update_continues_the_run_of_its_name(folder: Path, run_before: tuple[Path, Record]) -> None:
    run = run_before[1]
    steps = {step.stage: (step.is_hit, step.reason) for step in plan_update(config_of(folder, story()))}
    assert steps["adopt"] == (False, f"continues from story/{run['run_id']}")
    assert "neighbors" not in steps
    record = tell(config_of(folder, story()))
    update = record["update"]
    assert (update["number"], update["n_new"], update["refit"]) == (2, 60, False)
    assert update["previous"] == record["changes"]["before"] == run["run_id"]
    assert {"neighbors", "cluster", "label", "merge_batches", "match"} & set(stages(record)) == set()
    assert {stage["rows"] for stage in record["stages"] if stage["stage"] in {"embed", "assign"}} == {60}
    table, before = documents_of(folder, record), documents_of(folder, run)
    assert table["doc_id"].to_list() == story()["id"].to_list()
    assert table["update"].to_list() == [1] * N_FIRST + [2] * 60
    same = ["doc_id", "topic", "topic_name", "probability", "x", "y"]
    assert table[:N_FIRST].select(same).equals(before.select(same))
    assert topics_of(folder, record)["name"].to_list() == topics_of(folder, run)["name"].to_list()
    lineage = pl.read_parquet(folder / "runs/story" / record["run_id"] / "lineage.parquet")
    assert lineage.select("update", "event", "topic").rows() == [(1, "born", topic) for topic in range(3)]

    changes = compare_runs(*(resolve(folder / "runs", each["run_id"]) for each in (run, record)))
    assert (changes.n_moved, changes.n_only_second) == (0, 60)
    third = tell(config_of(folder, pl.concat([story(), new_topic(60, axis=7, start=180)])))
    assert "adopt" not in stages(third)
    assert third["lineage"] == {"continued": 3, "split": 0, "merged": 0, "born": 1, "died": 0}
    with pytest.raises(ConfigError, match=r"is a series of updates.*`topicflow update` continues it"):
        run_once(config_of(folder, story()))


def test_it_is_what_a_series_of_updates_has_after_the_same_documents(folder: Path, tmp_path: Path) -> None:
    adopted = tell(config_of(folder, story()))
    tell(config_of(tmp_path, story()[:N_FIRST]))
    own = tell(config_of(tmp_path, story()))
    assert documents_of(folder, adopted).equals(documents_of(tmp_path, own))
    assert topics_of(folder, adopted).equals(topics_of(tmp_path, own))
    assert adopted["metrics"] == own["metrics"]


def test_without_new_documents_the_run_stays_the_latest(folder: Path) -> None:
    config = config_of(folder, story()[:N_FIRST])
    (run,) = list_runs(folder / "runs")
    record = tell(config)
    assert (record["state"], record["latest"], record["source"]["n_known"]) == (
        "unchanged", run["run_id"], N_FIRST,
    )  # fmt: skip
    assert [each["run_id"] for each in list_runs(folder / "runs")] == [run["run_id"]]
    assert [(step.stage, step.is_hit) for step in plan_update(config)] == [
        ("adopt", True), ("adopt_cells", True), ("adopt_ids", True), ("load", True),
    ]  # fmt: skip


def test_the_command_edit_takes_the_topics_of_the_run_and_then_of_the_updates(folder: Path) -> None:
    path = folder / "story.toml"
    path.write_text(dump_config(config_of(folder, story())))
    run = read_either(FlowOptions(path))
    assert (run.flow, last_run(run).fitted) == ("topic_model", None)
    tell(config_of(folder, story()))
    updates = read_either(FlowOptions(path))
    assert (updates.flow, last_run(updates).fitted) == ("update_topics", 1)


def test_edits_names_and_groups_of_the_run_stay(tmp_path: Path) -> None:
    series = EditedSeries(tmp_path)
    changes: dict[str, Any] = {"edits": {"path": str(series.edits)}, "tree": {"about": 2}}
    plain = first(tmp_path, **changes)
    subject = documents_of(tmp_path, plain).filter(pl.col("topic") >= 0).group_by("truth").first()
    a, b, c = subject.sort("truth")["topic"].to_list()
    series.edit("merge", a, b)
    series.edit("rename", c, "Colours")
    run = first(tmp_path, **changes)
    assert tell(config_of(tmp_path, story()[:N_FIRST], **changes))["state"] == "unchanged"
    record = tell(config_of(tmp_path, story(), **changes))
    assert [each["applied"] for each in record["edits"]] == [True, True]
    before, now = topics_of(tmp_path, run), topics_of(tmp_path, record)
    assert now.select("topic", "name", "named_by").equals(before.select("topic", "name", "named_by"))
    trees = [
        pl.read_parquet(tmp_path / "runs/story" / each["run_id"] / "topics_tree.parquet")
        for each in (run, record)
    ]
    assert trees[0].select("node", "parent").equals(trees[1].select("node", "parent"))
    series.edits.write_text(without_edit(series.edits.read_text(), 1, "edits"))
    undone = tell(config_of(tmp_path, story(), **changes))
    assert (undone["update"]["n_new"], topics_of(tmp_path, undone).height) == (0, 3)


@pytest.mark.parametrize("kind", [pl.Datetime("ms"), pl.String])
def test_documents_without_ids_are_known_again(tmp_path: Path, kind: Any) -> None:
    repeated = pl.concat([story()[:N_FIRST], story()[:2]]).with_columns(pl.col("time").cast(kind))
    run_once(config_of(tmp_path, repeated, load=BY_TEXT))
    more = pl.concat([repeated, story()[N_FIRST:].with_columns(pl.col("time").cast(kind))])
    record = tell(config_of(tmp_path, more, load=BY_TEXT))
    assert (record["update"]["n_new"], record["source"]["n_known"]) == (60, N_FIRST + 2)
    assert documents_of(tmp_path, record)["doc_id"].n_unique() == 182
    assert record["update"]["watermark"].startswith("2024-01-08")


def test_near_duplicates_that_the_run_left_out_are_not_new(tmp_path: Path) -> None:
    twice = pl.concat([story()[:N_FIRST], story()[:5].with_columns(id="again-" + pl.col("id"))])
    run_once(config_of(tmp_path, twice), deduplicate={"method": "minhash"})
    record = tell(config_of(tmp_path, pl.concat([twice, story()[N_FIRST:]])))
    assert (record["update"]["n_new"], record["source"]["n_known"]) == (60, N_FIRST + 5)
    assert record["n_documents"] == 180


def test_another_config_of_the_fit_refits_and_ids_stay(folder: Path, run_before: tuple[Path, Record]) -> None:
    config = config_of(folder, story(), seed=7)
    assert "embed_all" in [step.stage for step in plan_update(config)]
    record = tell(config)
    assert record["update"]["reason"] == "the config that fits is another one"
    changes = compare_runs(*(resolve(folder / "runs", each["run_id"]) for each in (run_before[1], record)))
    assert changes.matched["first"].to_list() == changes.matched["second"].to_list() == [0, 1, 2]


def test_cleaning_the_store_leaves_what_an_update_continues(folder: Path) -> None:
    store = ArtifactStore(folder / "store")
    collect_garbage(store, [folder / "runs"], 0.0)
    record = tell(config_of(folder, story()))
    (run,) = (each for each in list_runs(folder / "runs") if each["run_id"] != record["run_id"])
    shutil.rmtree(run["folder"])
    collect_garbage(store, [folder / "runs"], 0.0)
    more = tell(config_of(folder, pl.concat([story(), new_topic(5, axis=0, start=180)])))
    assert (more["update"]["number"], more["n_documents"]) == (3, 185)


def test_what_cannot_be_continued_is_said(folder: Path, tmp_path: Path) -> None:
    other = config_of(folder, story(), load={"id_column": None})
    for refused in (tell, plan_update):
        with pytest.raises(ConfigError, match=r"load\.id_column was 'id' in story/.* and is not set now"):
            refused(other)
    dated = story().with_columns(day=pl.col("time"))
    with pytest.raises(ConfigError, match="did not keep the column 'day', whose times the updates need"):
        tell(config_of(folder, dated, new_documents={"watermark": "day"}))
    run_once(
        config_of(tmp_path, story()[:N_FIRST]),
        load={"path": str(tmp_path / "documents.parquet"), "split": {}},
    )
    with pytest.raises(
        ConfigError, match=r"split its documents \(load\.split\), and updates read whole documents"
    ):
        tell(config_of(tmp_path, story()))
    with pytest.raises(ValueError, match="deduplicate: an update does not look for near-duplicates"):
        config_of(tmp_path, story(), deduplicate={})


def test_an_artifact_that_is_gone_is_named_and_the_run_makes_it_again(folder: Path) -> None:
    (labels,) = (folder / "store/labels").iterdir()
    shutil.rmtree(labels)
    again = (
        "name the right --store, or `topicflow run` with the same config makes a run that can be continued"
    )
    for refused in (tell, plan_update):
        with pytest.raises(ArtifactError, match=f"labels/{labels.name} is missing in .*; {again}"):
            refused(config_of(folder, story()))
    run_once(config_of(folder, story()[:N_FIRST]))
    assert tell(config_of(folder, story()))["update"]["n_new"] == 60
