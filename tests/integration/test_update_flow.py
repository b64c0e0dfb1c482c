"""`topicflow update` against a Prefect server: commands and output, states, the event of a rejected run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.commands import Outcome, PrefectServer
from tests.updates import N_FIRST, config_of, new_topic, story
from topicflow.configs.read import dump_config

Command = Callable[..., Outcome]


def write(folder: Path, table: pl.DataFrame) -> Path:
    path = folder / "update.toml"
    path.write_text(dump_config(config_of(folder, table)))
    return path


def events_of(server: PrefectServer, run_id: str) -> list[Any]:
    wanted = {"filter": {"event": {"name": ["topicflow.run.rejected"]}}}
    for _ in range(100):
        events = server.ask("events/filter", wanted)["events"]
        if found := [event for event in events if event["payload"]["run_id"] == run_id]:
            return found
        time.sleep(0.2)
    return []


def test_a_series_as_it_is_typed(served: Command, tmp_path: Path, prefect_server: PrefectServer) -> None:
    first = served("update", write(tmp_path, story()[:N_FIRST]), "--json").record
    assert (first["flow"], first["update"]["number"], first["published"]) == ("update_topics", 1, True)
    config = write(tmp_path, story())
    said = served("update", config, "--set", "gates.max_topics=1")
    assert said.code == 0
    assert "update 2: 60 new documents, assigned to the topics of the last fit\n" in said.out
    assert said.out.splitlines()[-1] == "not published: max_topics = 1: n_topics is 3"
    assert said.errors == ["gate: max_topics = 1: n_topics is 3; the run is kept and not published"]
    (kept,) = (path.parent.name for path in (tmp_path / "runs/story").glob("2*/drift.json"))
    (event,) = events_of(prefect_server, kept)
    assert event["payload"]["failed"] == ["max_topics = 1: n_topics is 3"]

    again = served("update", config, "--json").record  # the gate is asked anew, nothing else is computed
    computed = [stage["stage"] for stage in again["stages"] if stage["state"] == "computed"]
    assert computed == ["gate", "state"][: len(computed)]
    assert again["published"]
    flow_run = prefect_server.newest_flow_run("story")
    states = {
        run["name"].rpartition("-")[0]: run["state"]["name"] for run in prefect_server.task_runs(flow_run, 8)
    }
    assert states | {"assign": "Cached", "embed": "Cached", "publish": "Completed"} == states

    nothing = served("update", config)
    assert nothing.code == 0
    assert nothing.out == f"nothing new; the latest run is story/{again['run_id']}\n"
    assert nothing.errors == [f"no new documents (180 known); {again['run_id']} stays the latest run"]


def test_compare_show_and_backfill_as_they_are_typed(topicflow: Command, tmp_path: Path) -> None:
    config = write(tmp_path, pl.concat([story(), new_topic(24, axis=0, start=180)]))
    told = topicflow("update", config, "--backfill", "2", "--set", "period=1d", "--json")
    numbers = [record["update"]["number"] for record in told.record]
    assert numbers == [1, 2]
    runs = [record["run_id"] for record in told.record]
    assert (
        topicflow("update", config, "--backfill", "2", "--set", "period=1d").out
        == "the last 2 periods have their runs already\n"
    )
    compared = topicflow("compare", *runs, "--runs", tmp_path / "runs")
    assert compared.code == 0
    n_new = told.record[1]["update"]["n_new"]
    assert f"0 only in the first, {n_new} only in the second" in compared.out.splitlines()[-1]
    assert topicflow("show", "--runs", tmp_path / "runs").out.count("assign") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "new_documents.watermark=tiem",
            "no column 'tiem' (new_documents.watermark); there are: 'id', 'text', 'time'",
        ),
        ("new_documents.late=never", "new_documents.late: input should be 'take' or 'leave', found 'never'"),
        ("drift.on_drift=panic", "drift.on_drift: input should be 'refit' or 'warn', found 'panic'"),
        (
            "gates.max_outlier_share=2",
            "gates.max_outlier_share: input should be less than or equal to 1, found 2",
        ),
        ("period=5x", "period: string should match pattern"),
    ],
)
def test_an_error_is_one_line(topicflow: Command, tmp_path: Path, change: str, said: str) -> None:
    outcome = topicflow("update", write(tmp_path, story()[:20]), "--set", change)
    assert outcome.code == (1 if "no column" in said else 2)  # the documents lack it, or the config is wrong
    (line,) = outcome.errors
    assert said in line


def test_a_wrong_name_file_is_reported(topicflow: Command, tmp_path: Path) -> None:
    config = write(tmp_path, story()[:20])
    names = tmp_path / "runs" / "story" / "topic_names.toml"
    names.parent.mkdir(parents=True)
    names.write_text('seventeen = "Immigration"\n')
    outcome = topicflow("update", config)
    assert outcome.code == 2
    assert (
        "topic_names.toml: found 'seventeen'; expected lines like 17 = \"Immigration\" below [names]"
        in outcome.err
    )
