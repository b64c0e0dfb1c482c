"""Runs: folders are written completely or not at all, are on the disk, and `latest`; a failure leaves one record."""

import json
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.runs import complete, fail, run_id
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.runs.history import last_record, list_runs
from topicflow.tasks.runs.records import RunId, library_versions, point_latest, record_failure, run_folder
from topicflow.tasks.runs.resolve import resolve


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


def test_a_folder_is_on_the_disk_before_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file and folder is synced; then its name, and the link's, in the folder of the series."""
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append((path.relative_to(tmp_path).as_posix(), run_id(1).folder(tmp_path).exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with run_folder(tmp_path, run_id(1)) as folder:
        (folder / "run.json").write_text('{"run_id": "a", "name": "topics"}')
        (folder / "model").mkdir()
        (folder / "model" / "topics.json").write_text("[]")
    staging = f"topics/.{run_id(1).run_id}.staging"
    whole = {f"{staging}/run.json", f"{staging}/model", f"{staging}/model/topics.json", staging}
    assert {path for path, appeared in synced if not appeared} == whole
    assert {path for path, appeared in synced if appeared} == {"topics", "."}
    synced.clear()
    point_latest(tmp_path / "topics", run_id(1).run_id)
    assert synced == [("topics", True)]


def test_every_file_of_a_run_has_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        run = run_id(umask)
        before = os.umask(umask)
        try:
            with run_folder(tmp_path, run) as folder:
                (folder / "run.json").write_text('{"run_id": "a", "name": "topics"}')
                (folder / "model").mkdir()
                with tempfile.NamedTemporaryFile(dir=folder / "model", delete=False) as private:
                    private.write(b"1")  # as safetensors does, for its owner only
        finally:
            os.umask(before)
        files = [path for path in run.folder(tmp_path).rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in files} == {mode}
        assert len(files) == 2


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
    record = resolve(tmp_path, published=False)
    assert (record["state"], record["error"]) == ("failed", "load: a.csv: no such file")
    assert record["folder"] == str(run.folder(tmp_path))
    assert load_config(run.folder(tmp_path) / "config.toml").load.path == str(run.folder(tmp_path) / "a.csv")
    assert last_record(tmp_path, "topics") is None


def test_a_failed_run_has_its_true_begin_and_seconds(tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=90)
    run = RunId("topics", "20260101-000000-abcdef", began)
    config = TopicModelConfig(name="topics", load={"path": "a.csv"}, runtime={"runs": str(tmp_path)})
    record_failure(config, run, "load: a.csv: no such file")
    (record,) = list_runs(tmp_path)
    assert record["created"] == began.isoformat(timespec="seconds")
    assert 90 <= record["seconds"] < 150
    said = (tmp_path / "metrics.prom").read_text()
    assert f'topicflow_run_seconds{{flow="topic_model",name="topics"}} {record["seconds"]}' in said
    assert abs(began.timestamp() + record["seconds"] - time.time()) < 60


def test_a_failure_after_the_folder_is_there_changes_nothing(tmp_path: Path) -> None:
    run = complete(tmp_path, 1)
    config = TopicModelConfig(name="topics", load={"path": "a.csv"}, runtime={"runs": str(tmp_path)})
    assert record_failure(config, run, "the server is away") == run.folder(tmp_path)
    assert [record["state"] for record in list_runs(tmp_path)] == ["completed"]


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


def test_a_full_disk_is_one_line_from_any_library(tmp_path: Path) -> None:
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
