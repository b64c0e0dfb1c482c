"""Run files: every file in a run's folder has a digest in its record, which also has one; use and verify compare."""

import json
import os
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from topicflow.flows.commands.every_command import app
from topicflow.flows.screen.runs import print_run
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.runs.records import RunId, run_folder, write_json
from topicflow.tasks.runs.run_files import has_file, verify_runs, whole_file
from topicflow.tasks.store import files

RECORD = {"name": "trial", "state": "completed", "n_topics": 1, "n_documents": 2, "metrics": {}, "config": ""}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder as a flow writes it."""
    monkeypatch.setattr(files, "_sound", {})
    return write_run(tmp_path / "runs")


def write_run(runs: Path) -> Path:
    number = RunId.new("trial")
    with run_folder(runs, number) as folder:
        topics = pl.DataFrame({"topic": [0], "size": [2], "keywords": [["a", "b"]]})
        topics.write_parquet(folder / "topics.parquet")
        (folder / "suggestions.csv").write_text("doc_id,label\n1,\n")
        (folder / "model").mkdir()
        (folder / "model" / "topics.json").write_text("{}")
        write_json(folder / "run.json", {**RECORD, "run_id": number.run_id})
    return number.folder(runs)


def change(path: Path, how: str) -> None:
    raw = path.read_bytes()
    if how == "flip":
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    elif how == "truncate":
        os.truncate(path, len(raw) - 1)
    else:
        path.unlink()


def problems(run: Path) -> list[str]:
    return [found.problem for found in verify_runs(run.parents[1])]


def test_an_unchanged_folder_has_no_problem_and_people_may_change_their_files(run: Path) -> None:
    record = json.loads((run / "run.json").read_bytes())
    assert set(record["files"]) == {"topics.parquet", "model/topics.json"}
    (run / "suggestions.csv").write_text("doc_id,label\n1,sport\n")
    (run / "run.log").write_text("copied in when the run has ended")
    (run.parent / "latest").symlink_to(run.name)
    (found,) = verify_runs(run.parents[1])
    assert (found.kind, found.key, found.problem, found.has_digest) == ("trial", run.name, "", True)


@pytest.mark.parametrize("how", ["flip", "truncate", "delete"])
@pytest.mark.parametrize("name", ["topics.parquet", "model/topics.json", "run.json"])
def test_a_changed_file_is_found_by_verify(run: Path, name: str, how: str) -> None:
    change(run / name, how)
    (problem,) = problems(run)
    assert problem.startswith(f"corrupt: {name} ")


def test_every_flipped_bit_of_a_record_is_found(run: Path) -> None:
    raw = (run / "run.json").read_bytes()
    for place in range(len(raw)):
        (run / "run.json").write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        (problem,) = problems(run)
        assert problem.startswith("corrupt: run.json ")
    (run / "run.json").write_bytes(raw)
    assert problems(run) == [""]


@pytest.mark.parametrize("how", ["flip", "truncate", "delete"])
def test_a_changed_table_is_named_where_the_run_is_shown(run: Path, how: str) -> None:
    change(run / "topics.parquet", how)
    record = {**json.loads((run / "run.json").read_bytes()), "folder": str(run)}
    with pytest.raises(DamagedError, match=r"^runs: .*topics\.parquet is damaged .*; run its config again"):
        print_run(record, run.parents[1])


def test_an_older_run_is_read_without_a_check_and_counted(run: Path) -> None:
    record = json.loads((run / "run.json").read_bytes())
    old = {key: value for key, value in record.items() if key not in {"files", "digest", "format"}}
    write_json(run / "run.json", old)
    change(run / "model" / "topics.json", "flip")
    assert whole_file(run, "model/topics.json") == run / "model" / "topics.json"
    (found,) = verify_runs(run.parents[1])
    assert (found.problem, found.has_digest) == ("", False)


@pytest.mark.parametrize("lost", ["files", "digest", "format"])
def test_a_record_without_one_of_its_marks_is_not_an_old_record(run: Path, lost: str) -> None:
    record = json.loads((run / "run.json").read_bytes())
    record.pop(lost)
    write_json(run / "run.json", record)
    (problem,) = problems(run)
    assert problem.startswith("corrupt: run.json ")


def test_a_folder_without_runs_has_no_findings(tmp_path: Path) -> None:
    assert list(verify_runs(tmp_path / "none")) == []


def test_compare_names_a_table_that_a_run_has_lost(run: Path) -> None:
    """It once showed the metrics alone, as of runs without topics."""
    other = write_run(run.parents[1])
    (run / "topics.parquet").unlink()
    done = CliRunner().invoke(app, ["compare", str(run), str(other), "--runs", str(run.parents[1])])
    assert isinstance(done.exception, DamagedError)
    assert f"runs: {run / 'topics.parquet'} is damaged" in str(done.exception)


def test_a_lost_file_is_damage_for_every_reader(run: Path) -> None:
    (run / "topics.parquet").unlink()
    assert (has_file(run, "topics.parquet"), has_file(run, "documents.parquet")) == (True, False)
    with pytest.raises(DamagedError, match=r"topics\.parquet is damaged \(topics\.parquet is gone\)"):
        whole_file(run, "topics.parquet")
    assert not whole_file(run, "documents.parquet").exists()
