"""Changes since the run before: topics that are new, gone, split, merged, grown and shrunk, by documents or by ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from topicflow.tasks.runs import changes
from topicflow.tasks.runs.changes import changes_since
from topicflow.tasks.runs.compare import compare_runs, growth
from topicflow.tasks.runs.records import RunId, write_record

Documents = dict[str, int]
"""Topic of each document by its id."""


def documents(*sizes: tuple[int, int, int]) -> Documents:
    """Return documents from (first number, how many, topic)."""
    return {f"d{i}": topic for start, n, topic in sizes for i in range(start, start + n)}


def write_tables(folder: Path, topics: Documents) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    table = pl.DataFrame(
        {"doc_id": list(topics), "topic": list(topics.values())}, schema_overrides={"topic": pl.Int32}
    )
    table.write_parquet(folder / "documents.parquet")
    sizes = table.filter(pl.col("topic") >= 0).group_by("topic").len("size").sort("topic")
    sizes.with_columns(name=pl.format("topic {}", "topic")).write_parquet(folder / "topics.parquet")
    return sizes.height


def changed(runs: Path, before: Documents, now: Documents, *, lasting: bool = False) -> dict[str, Any]:
    """Return the changes of a run, by `write_tables`, that comes after another."""
    first = runs / "trial" / "20260101-000000-aaaaaaaa"
    record: dict[str, Any] = {
        "run_id": first.name, "name": "trial", "flow": "topic_model", "state": "completed", "config": "",
        "stages": [{"stage": "cluster", "key": "1"}], "n_topics": write_tables(first, before),
    }  # fmt: skip
    write_record(first, record)
    staging = runs / "staging"
    n_topics = write_tables(staging, now)
    own = record | {"run_id": "later", "stages": [{"stage": "cluster", "key": "2"}], "n_topics": n_topics}
    found: dict[str, Any] = changes_since(runs, own, staging, lasting=lasting)["changes"]
    assert found["before"] == first.name
    return found


def said(found: dict[str, Any]) -> set[tuple[Any, ...]]:
    shown = ("change", "topic", "size_before", "size", "other")
    return {tuple(entry[key] for key in shown) for entry in found["topics"]}


def test_topics_are_new_gone_split_merged_grown_and_shrunk(tmp_path: Path) -> None:
    before = documents((0, 100, 0), (100, 40, 1), (140, 60, 2), (200, 30, 3), (230, 50, 4), (280, 40, 5))
    now = documents(
        (0, 60, 0), (60, 40, 6),  # 0 shrinks, 6 is split from it
        (100, 40, 1), (400, 20, 1),  # grows by documents that were not there
        (140, 90, 2),  # 2 takes all of 3
        (230, 50, -1),  # 4 is gone
        (280, 40, 5), (500, 25, 7),  # 5 is the same, 7 is new
    )  # fmt: skip
    found = changed(tmp_path, before, now)
    assert said(found) == {
        ("shrunk", 0, 100, 60, None),
        ("split", 6, None, 40, "topic 0"),
        ("grown", 1, 40, 60, None),
        ("grown", 2, 60, 90, None),
        ("merged", None, 30, None, "topic 2"),
        ("gone", None, 50, None, None),
        ("new", 7, None, 25, None),
    }
    assert found["counts"] == {"new": 1, "gone": 1, "split": 1, "merged": 1, "grown": 2, "shrunk": 1}
    assert found["n_same"] == 1


def test_documents_of_only_one_run_count_in_the_half_that_splits_or_merges_a_topic(tmp_path: Path) -> None:
    before = documents((0, 100, 0), (100, 40, 1))
    now = documents((0, 90, 0), (90, 10, 7), (300, 30, 7), (100, 4, 0))  # without 36 documents of 1
    found = changed(tmp_path, before, now)
    assert said(found) == {("new", 7, None, 40, None), ("gone", None, 40, None, None)}
    first = {"name": "trial", "run_id": found["before"], "folder": str(tmp_path / "trial" / found["before"])}
    events = compare_runs(first, first | {"folder": str(tmp_path / "staging")}).events
    assert events.select("event", "first", "second").rows() == [
        ("continued", 0, 0), ("born", None, 7), ("died", 1, None),
    ]  # fmt: skip


def test_lasting_ids_match_topics_without_regard_to_documents(tmp_path: Path) -> None:
    before, now = documents((0, 50, 0), (50, 50, 1)), documents((0, 50, 1), (50, 50, 0))
    assert changed(tmp_path / "a", before, now)["topics"] == []
    assert changed(tmp_path / "b", before, now, lasting=True)["n_same"] == 2
    moved = documents((0, 50, 0), (50, 50, 9))
    found = changed(tmp_path / "c", before, moved, lasting=True)
    assert said(found) == {("split", 9, None, 50, "topic 1"), ("merged", None, 50, None, "topic 9")}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [(40, 50, "grown"), (40, 49, None), (40, 30, "shrunk"), (8, 12, None), (8, 13, "grown"), (0, 5, "grown")],
)
def test_growth_is_a_quarter_and_at_least_five_documents(before: int, now: int, expected: str | None) -> None:
    assert growth(before, now) == expected


def test_equal_artifacts_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "match_runs", None)  # a call would fail
    folder = tmp_path / "trial" / "20260101-000000-aaaaaaaa"
    record = {
        "run_id": folder.name, "name": "trial", "state": "completed", "config": "", "n_topics": 3,
        "stages": [{"stage": "cluster", "key": "1"}, {"stage": "report", "key": "a"}],
    }  # fmt: skip
    folder.mkdir(parents=True)
    write_record(folder, record)
    own = record | {"stages": [{"stage": "cluster", "key": "1"}, {"stage": "report", "key": "b"}]}
    expected = {"before": folder.name, "counts": {}, "topics": [], "n_same": 3}
    assert changes_since(tmp_path, own, tmp_path) == {"changes": expected}


def test_without_a_readable_run_before_there_are_no_changes(tmp_path: Path) -> None:
    run = RunId.new("trial")
    record = {"run_id": run.run_id, "name": "trial", "stages": [{"stage": "load", "key": "1"}], "n_topics": 0}
    assert changes_since(tmp_path, record, tmp_path) == {}
    lost = tmp_path / "trial" / "20260101-000000-aaaaaaaa"
    lost.mkdir(parents=True)
    write_record(lost, {**record, "run_id": lost.name, "state": "completed", "config": "", "stages": []})
    assert changes_since(tmp_path, record, tmp_path) == {}  # its tables are gone
    (lost / "run.json").write_text("damaged")
    assert changes_since(tmp_path, record, tmp_path) == {}


def test_a_trial_is_not_the_run_before(tmp_path: Path) -> None:
    runs, sizes = tmp_path / "runs", documents((0, 100, 0), (100, 40, 1))
    for number, topics in enumerate((sizes, documents((0, 140, 0)))):
        folder = runs / "trial" / f"2026010{number + 1}-000000-aaaaaaaa"
        record = {
            "run_id": folder.name, "name": "trial", "flow": "topic_model", "state": "completed", "config": "",
            "stages": [{"stage": "cluster", "key": str(number)}], "n_topics": write_tables(folder, topics),
            **({"published": False, "tried": ["cluster.min_cluster_size=9"]} if number else {}),
        }  # fmt: skip
        write_record(folder, record)
    own = record | {"run_id": "later", "stages": [{"stage": "cluster", "key": "0"}], "n_topics": 2}
    write_tables(runs / "staging", sizes)
    found = changes_since(runs, own, runs / "staging")["changes"]
    assert (found["before"], found["n_same"]) == ("20260101-000000-aaaaaaaa", 2)
