"""Compare: what became of the topics of two runs in the words of lineage, on the screen and as a page."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from topicflow.flows.commands.every_command import app
from topicflow.tasks.runs.compare import compare_runs
from topicflow.tasks.runs.compare_page import compare_page
from topicflow.tasks.runs.records import write_json

SIZES = {"camera": 12, "lens": 10, "phone": 16, "case": 10, "ink": 8, "<b>dvd</b>": 6}
"""Documents of each subject; a subject's documents are together in both runs."""

FIRST = {0: ["camera"], 1: ["lens"], 2: ["phone", "case"], 3: ["ink"], 4: ["<b>dvd</b>"], -1: []}
SECOND = {0: ["camera", "lens"], 1: ["phone"], 2: ["case"], 3: ["ink"], -1: ["<b>dvd</b>"]}
"""Camera and lens are merged, phone and case are split, and the topic of discs died."""


def leave_run(runs: Path, number: int, topics: dict[int, list[str]]) -> dict[str, Any]:
    """Write the folder of a run, and return its record."""
    run_id = f"20260101-00000{number}-aaaaaaaa"
    folder = runs / "reviews" / run_id
    folder.mkdir(parents=True)
    place = {subject: topic for topic, subjects in topics.items() for subject in subjects}
    rows = [(f"{subject}{i}", place[subject]) for subject, n in SIZES.items() for i in range(n)]
    pl.DataFrame(rows, schema=["doc_id", "topic"], orient="row").write_parquet(folder / "documents.parquet")
    table = [
        (topic, sum(SIZES[each] for each in subjects), ", ".join(subjects))
        for topic, subjects in topics.items()
        if topic >= 0
    ]
    pl.DataFrame(table, schema=["topic", "size", "name"], orient="row").write_parquet(
        folder / "topics.parquet"
    )
    record = {"run_id": run_id, "name": "reviews", "flow": "topic_model", "state": "completed", "stages": [],
              "metrics": {"n_topics": len(table), "npmi": number / 8}, "config": f"seed = {number}\n<x>"}  # fmt: skip
    write_json(folder / "run.json", record)
    return {**record, "folder": str(folder)}


@pytest.fixture
def records(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return leave_run(tmp_path, 1, FIRST), leave_run(tmp_path, 2, SECOND)


def test_topics_are_merged_split_and_dead(records: tuple[dict[str, Any], dict[str, Any]]) -> None:
    changes = compare_runs(*records)
    shown = changes.events.select("event", "first", "second", "n_shared").rows()
    assert shown == [
        ("continued", 3, 3, 8),
        ("grown", 0, 0, 12),
        ("shrunk", 2, 1, 16),
        ("split", 2, 2, 10),
        ("merged", 1, 0, 10),
        ("died", 4, None, 0),
    ]
    assert changes.only_first.rows() == [(4, 6, "<b>dvd</b>")]
    assert changes.only_second.height == 0


def test_a_comparison_with_itself_continues_all(records: tuple[dict[str, Any], dict[str, Any]]) -> None:
    changes = compare_runs(records[0], records[0])
    assert set(changes.events["event"]) == {"continued"}
    assert changes.n_moved == 0


def test_the_screen_says_what_became_of_each_topic(
    records: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    done = CliRunner().invoke(
        app, ["compare", records[0]["run_id"], records[1]["run_id"], "--runs", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "split: 2 (10) case, from 2 (26) phone, case" in lines
    assert "merged: 1 (10) lens, into 0 (22) camera, lens" in lines
    assert "died: 4 (6) <b>dvd</b>" in lines
    assert "topics: 1 continued, 1 grown, 1 shrunk, 1 split, 1 merged, 1 died" in lines


def test_the_page_has_all_topics_and_escapes_texts(records: tuple[dict[str, Any], dict[str, Any]]) -> None:
    page = compare_page(*records, compare_runs(*records))
    assert "<tr><td>merged</td><td>1: lens (10)</td><td>0: camera, lens (22)</td>" in page
    assert "4: &lt;b&gt;dvd&lt;/b&gt; (6)" in page
    assert "<b>dvd" not in page
    assert "<x>" not in page
    assert "-seed = 1\n+seed = 2" in page
    assert "<tr><td>npmi</td><td>0.125</td><td>0.250</td></tr>" in page


def test_a_page_is_not_written_over(records: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path) -> None:
    page = tmp_path / "changes.html"
    words = ["compare", records[0]["run_id"], records[1]["run_id"], "--runs", str(tmp_path), "-o", str(page)]
    assert CliRunner().invoke(app, words).output == f"wrote {page}\n"
    again = CliRunner().invoke(app, words)
    assert "exists already; --force writes over it" in str(again.exception)
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0
