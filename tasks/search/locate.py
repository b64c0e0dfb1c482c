"""Locate: the name, id or folder of a run -> the index that it made."""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.history import RunRecord, flow_of, is_completed
from topicflow.tasks.runs.resolve import resolve, run_at
from topicflow.tasks.store.artifact_store import (
    ArtifactStore,
    open_store,
)

FLOW = "build_index"


def find_index(runs: Path, wanted: str | None) -> RunRecord:
    """Return the record of an index's run by name, id or folder; the newest published one if None.

    Raises
    ------
    ConfigError
        If there is none.
    """
    return resolve(runs, wanted, flow=FLOW)


def locate_index(path: Path) -> tuple[ArtifactStore, str, RunRecord | None]:
    """Return store, key and run record of an index, by the folder of a run or of an artifact.

    Raises
    ------
    ConfigError
        If there is no index.
    ArtifactError
        If a run's record exists but cannot be read, or is not a record.
    """
    if (path / "manifest.json").exists():
        folder = path.resolve()
        return ArtifactStore(folder.parents[1]), folder.name, None
    if (record := run_at(path)) is None:
        msg = f"{path}: no index here; expected a folder such as runs/search/latest or store/indexes/<key>"
        raise ConfigError(msg)
    return open_record(record)


def open_record(record: RunRecord) -> tuple[ArtifactStore, str, RunRecord]:
    """Return store, key and record of the index that a run names; raise ConfigError if it names none."""
    if flow_of(record) != FLOW or not is_completed(record):
        found = f"a {record.get('state')} run of {flow_of(record)}"
        msg = f"{record['name']}/{record['run_id']} is {found}, expected a completed run of {FLOW}"
        raise ConfigError(msg)
    return open_store(RuntimeConfig(store=record["store"])), index_key(record), record


def index_key(record: RunRecord) -> str:
    """Return the key of the index that a run made."""
    return str(next(stage["key"] for stage in record["stages"] if stage["stage"] == "index"))
