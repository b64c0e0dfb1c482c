"""Locate: the name, id or folder of a run -> the index that it made."""

from __future__ import annotations

import json
from pathlib import Path

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.records import (
    RunRecord,
    find_run,
    list_runs,
)
from topicflow.tasks.store.artifact_store import (
    ArtifactStore,
    open_store,
)

FLOW = "build_index"


def newest_index(runs: Path, wanted: str | None) -> RunRecord:
    """Return the record of an index's run by name, id or folder; of the newest completed one if None.

    Raises
    ------
    ConfigError
        When there is none.
    """
    if wanted is not None:
        return _index_record(
            find_run(runs, f"{wanted}/latest" if (runs / wanted / "latest").exists() else wanted)
        )
    for record in list_runs(runs):
        if record.get("flow") == FLOW and record.get("state") == "completed":
            return record
    msg = f"{runs}: no index; make one with `topicflow index CONFIG`, or name another folder with --runs"
    raise ConfigError(msg)


def _index_record(record: RunRecord) -> RunRecord:
    if record.get("flow") != FLOW or record.get("state") != "completed":
        found = f"a {record.get('state')} run of {record.get('flow')}"
        msg = f"{record['name']}/{record['run_id']} is {found}, expected a completed run of {FLOW}"
        raise ConfigError(msg)
    return record


def locate_index(path: Path) -> tuple[ArtifactStore, str, RunRecord | None]:
    """Return store, key and run's record of an index, by a run's folder or an artifact's.

    Raises
    ------
    ConfigError
        When there is no index.
    ArtifactError
        When there is a run whose record cannot be read, or is none.
    """
    if (path / "manifest.json").exists():
        folder = path.resolve()
        return ArtifactStore(folder.parents[1]), folder.name, None
    folder = path / "latest" if (path / "latest").exists() else path
    try:
        record = json.loads((folder / "run.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        msg = f"{path}: no index here; expected a folder such as runs/search/latest or store/indexes/<key>"
        raise ConfigError(msg) from None
    except OSError as error:
        msg = f"{folder / 'run.json'} cannot be read ({error.strerror}); make it readable"
        raise ArtifactError(msg) from None
    except ValueError:
        record = None
    if not isinstance(record, dict) or not record.keys() >= {"name", "run_id", "store", "stages"}:
        msg = f"{folder / 'run.json'} is damaged (it is no record of a run); `topicflow index CONFIG` makes another run"
        raise ArtifactError(msg)
    return open_record({**record, "folder": str(folder.resolve())})


def open_record(record: RunRecord) -> tuple[ArtifactStore, str, RunRecord]:
    """Return store, key and record of the index that a run names."""
    _index_record(record)
    return open_store(RuntimeConfig(store=record["store"])), index_key(record), record


def index_key(record: RunRecord) -> str:
    """Return the key of the index that a run made."""
    return str(next(stage["key"] for stage in record["stages"] if stage["stage"] == "index"))
