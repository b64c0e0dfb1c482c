"""Runs: folders written whole or not at all, `latest`, and finding past runs."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.records import (
    RunId,
    check_series,
    find_run,
    last_record,
    library_versions,
    list_runs,
    point_latest,
    record_failure,
    run_folder,
    write_json,
)


def run_id(number: int, name: str = "topics") -> RunId:
    return RunId(name, f"20260101-00000{number}-abcdef", datetime.now(UTC))


def complete(runs: Path, number: int, name: str = "topics") -> RunId:
    run = run_id(number, name)
    with run_folder(runs, run) as folder:
        write_json(folder / "run.json", {"run_id": run.run_id, "name": name, "state": "completed"})
    point_latest(runs / name, run.run_id)
    return run


def fail(runs: Path, number: int, name: str = "topics") -> RunId:
    run = run_id(number, name)
    config = TopicModelConfig(name=name, load={"path": "a.csv"}, runtime={"runs": str(runs)})
    record_failure(config, run, "load: a.csv: no such file")
    return run


def found(runs: Path, wanted: str | None = None) -> str:
    return str(find_run(runs, wanted)["run_id"])


def test_ids_sort_by_time_and_are_distinct() -> None:
    ids = [RunId.new("topics").run_id for _ in range(50)]
    assert len(set(ids)) == 50
    assert [i[:15] for i in ids] == sorted(i[:15] for i in ids)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    run = run_id(1)
    with pytest.raises(ZeroDivisionError), run_folder(tmp_path, run) as folder:  # noqa: PT012
        (folder / "run.json").write_text("{}")
        assert not run.folder(tmp_path).exists()
        _ = 1 / 0
    assert list((tmp_path / "topics").iterdir()) == []
    complete(tmp_path, 1)
    assert [path.name for path in run.folder(tmp_path).iterdir()] == ["run.json"]


def test_latest_is_a_link_to_the_newest_completed_run(tmp_path: Path) -> None:
    first = complete(tmp_path, 1)
    latest = tmp_path / "topics" / "latest"
    assert latest.is_symlink()
    assert latest.resolve() == first.folder(tmp_path)
    second = complete(tmp_path, 2)
    fail(tmp_path, 3)
    assert latest.resolve() == second.folder(tmp_path)
    assert len(list((tmp_path / "topics").iterdir())) == 4


def test_a_failed_run_leaves_its_error_and_its_config(tmp_path: Path) -> None:
    run = fail(tmp_path, 1)
    record = find_run(tmp_path)
    assert (record["state"], record["error"]) == ("failed", "load: a.csv: no such file")
    assert record["folder"] == str(run.folder(tmp_path))
    assert load_config(run.folder(tmp_path) / "config.toml").load.path == str(run.folder(tmp_path) / "a.csv")
    assert last_record(tmp_path, "topics") is None


def test_runs_are_listed_newest_first_and_each_once(tmp_path: Path) -> None:
    complete(tmp_path, 1)
    complete(tmp_path, 3, "other")
    fail(tmp_path, 2)
    assert [record["run_id"][:15] for record in list_runs(tmp_path)] == [
        "20260101-000003",
        "20260101-000002",
        "20260101-000001",
    ]
    assert [record["name"] for record in list_runs(tmp_path, "topics")] == ["topics", "topics"]
    last = last_record(tmp_path, "topics")
    assert last is not None
    assert last["run_id"] == run_id(1).run_id
    assert list_runs(tmp_path / "none") == []


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"run_id": "x"}'])
def test_folders_without_a_readable_record_are_left_out(tmp_path: Path, content: str) -> None:
    complete(tmp_path, 1)
    broken = tmp_path / "topics" / "20260101-000009-broken"
    broken.mkdir()
    (broken / "run.json").write_text(content)
    assert [record["run_id"] for record in list_runs(tmp_path)] == [run_id(1).run_id]


def test_what_a_killed_run_left_is_no_run(tmp_path: Path) -> None:
    complete(tmp_path, 1)
    staging = tmp_path / "topics" / f".{run_id(2).run_id}.staging"
    staging.mkdir()
    write_json(staging / "run.json", {"run_id": run_id(2).run_id, "name": "topics", "state": "completed"})
    assert [record["run_id"] for record in list_runs(tmp_path)] == [run_id(1).run_id]


def test_a_run_is_found_by_each_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = complete(tmp_path, 1), complete(tmp_path, 2)
    other = complete(tmp_path, 3, "other")
    failed = fail(tmp_path, 4)
    for wanted in (
        first.run_id,
        f"topics/{first.run_id}",
        str(first.folder(tmp_path)),
        f"{first.folder(tmp_path)}/",
    ):
        assert found(tmp_path, wanted) == first.run_id
    monkeypatch.chdir(tmp_path)
    assert found(tmp_path, f"./topics/{first.run_id}") == first.run_id
    assert found(tmp_path, "other") == other.run_id
    assert found(tmp_path) == found(tmp_path, "topics") == failed.run_id
    assert found(tmp_path, "topics/latest") == second.run_id
    assert found(tmp_path, str(tmp_path / "topics" / "latest")) == second.run_id


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        find_run(tmp_path)
    assert str(error.value) == f"{tmp_path}: no runs"
    run = complete(tmp_path, 1)
    with pytest.raises(ConfigError) as error:
        find_run(tmp_path, "nope")
    assert str(error.value) == f"{tmp_path}: no run nope; the newest is topics/{run.run_id}"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ArtifactError, match=r"^runs: .* cannot be written \(not a directory\); free space or cho"
    ):
        complete(tmp_path / "file", 1)
    (tmp_path / "runs" / "topics" / "latest").mkdir(parents=True)
    with pytest.raises(ArtifactError, match=r"latest cannot be written \(is a directory\)"):
        complete(tmp_path / "runs", 1)
    assert not list((tmp_path / "runs" / "topics").glob(".latest*"))


def test_a_full_disk_is_one_line_whoever_says_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match=r"cannot be written \(no space left on device\)"),
        run_folder(tmp_path, run_id(1)),
    ):
        raise pl.exceptions.ComputeError(
            "parquet: underlying IO error: No space left on device (os error 28)"
        )
    with pytest.raises(pl.exceptions.ComputeError), run_folder(tmp_path, run_id(1)):
        raise pl.exceptions.ComputeError("another")


def test_versions_are_those_installed() -> None:
    import numpy as np

    assert library_versions()["numpy"] == np.__version__
    assert json.dumps(library_versions())


def test_a_name_is_one_series_of_one_flow(tmp_path: Path) -> None:
    run = run_id(1)
    with run_folder(tmp_path, run) as folder:
        write_json(folder / "run.json", {"run_id": run.run_id, "name": "topics", "flow": "deduplicate"})
    check_series(tmp_path, "topics", "deduplicate")
    check_series(tmp_path, "other", "topic_model")
    with pytest.raises(ConfigError, match="holds runs of deduplicate; give this config another name"):
        check_series(tmp_path, "topics", "topic_model")
