"""History: a folder of runs -> the records of past runs, newest first, and those that cannot be read.

Absent and unreadable are two results. A folder without a record is not a run. An unreadable record stops everything
that depends on it: it may be the last run of a chain, or name the artifacts that `gc` must keep.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.store.artifacts import NAMES_IN_KEYS, digest

RunRecord = dict[str, Any]
"""The values of run.json, and the run's folder as `folder`."""

RECORD = "run.json"
FORMAT = 2
"""Version of the file. From version 2 it has a digest of its values."""

SEAL = ("format", "digest")
"""Keys of the file that are not values of the record; files before format 2 have neither."""

OLD_STAGES: Mapping[str, str] = {
    **{old: new for new, old in NAMES_IN_KEYS.items()},
    "reembed": "embed_again",
    "re-embed": "embed_again",
}
"""Names of stages in records of 0.1.0, and today's names."""

LATEST = "latest"
"""Name of the link, in the folder of a series, to its last published run."""

CONTINUED: Mapping[str, str] = {"update_topics": "topic_model"}
"""Flows that continue the series of another flow."""

_RUN_ID = re.compile(r"\d{8}-\d{6}-\w+")
"""Pattern of a run's folder: a folder with such a name and without a record has lost its record."""


@dataclass(frozen=True)
class Unreadable:
    """A run whose record exists but cannot be read: the file, and why."""

    path: Path
    reason: str

    @property
    def run_id(self) -> str:
        """The run's id, the name of its folder."""
        return self.path.parent.name

    @property
    def error(self) -> ArtifactError:
        """The error to raise if the record is needed."""
        return ArtifactError(
            f"runs: {self}; restore the file from a backup, or move the folder {self.run_id} out of "
            f"{self.path.parent.parent} if that run no longer matters"
        )

    def __str__(self) -> str:
        """Return the file and the reason."""
        return f"{self.path} cannot be read ({self.reason})"


def read_run(folder: Path) -> RunRecord | Unreadable | None:
    """Return the record of a run's folder; None if the folder is not a run's."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        lost = _RUN_ID.fullmatch(folder.name) and folder.is_dir()
        return Unreadable(path, "no such file") if lost else None
    except OSError as error:
        return Unreadable(path, (error.strerror or str(error)).lower())
    except ValueError as error:
        return Unreadable(path, f"not valid JSON: {error}")
    if wrong := _wrong_with(record) or _of_another_run(record, folder):
        return Unreadable(path, wrong)
    values = {key: value for key, value in record.items() if key not in SEAL}
    if stages := values.get("stages"):
        values["stages"] = [
            {**each, "stage": OLD_STAGES.get(each["stage"], each["stage"])} for each in stages
        ]
    return {**values, "folder": str(folder)}


def _wrong_with(record: Any) -> str | None:  # noqa: ANN401  (any JSON value)
    """Return why a file's content is not a run's record as it was written, None if it is."""
    if not isinstance(record, dict) or not {"run_id", "name"} <= record.keys():
        return "it is not the record of a run"
    seal = {key: record[key] for key in SEAL if key in record}
    form = seal.get("format", FORMAT)
    if isinstance(form, int) and form > FORMAT:
        return f"it has format {form}, this version reads up to {FORMAT}"
    values = {key: value for key, value in record.items() if key not in SEAL}
    return "it changed since it was written" if seal and seal != seal_of(values) else None


def _of_another_run(record: Mapping[str, Any], folder: Path) -> str | None:
    """Return that a whole record lies in the folder of another run; a folder that a person named may hold any."""
    if not _RUN_ID.fullmatch(folder.name) or record["run_id"] == folder.name:
        return None
    return f"it is the record of the run {record['run_id']}"


def seal_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a record's file has besides its values: the file's format, and the digest of the values."""
    values = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return {"format": FORMAT, "digest": digest(values.encode())}


def each_run(runs: Path, name: str | None = None) -> Iterator[RunRecord | Unreadable]:
    """Yield the past runs, of one name or of all, newest first; each is read only when it is asked for."""
    for folder in run_folders(runs, name):
        if (found := read_run(folder)) is not None:
            yield found


def run_folders(runs: Path, name: str | None = None) -> list[Path]:
    """Return the folders that may be runs, newest first; hidden folders of killed runs are not included.

    Raises
    ------
    ArtifactError
        If a folder exists but cannot be listed.
    """
    series = [runs / name] if name is not None else _folders(runs)
    found = [path for each in series for path in _folders(each) if path.name != LATEST]
    return sorted(found, key=lambda path: (path.name, path.parent.name), reverse=True)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that are not hidden; none if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry) for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        msg = (
            f"runs: {folder} cannot be read ({reason}); make it readable, or name another folder with --runs"
        )
        raise ArtifactError(msg) from None


def readable(found: RunRecord | Unreadable) -> RunRecord:
    """Return a record; if it cannot be read, raise ArtifactError, which names the file."""
    if isinstance(found, Unreadable):
        raise found.error
    return found


def list_runs(runs: Path, name: str | None = None) -> list[RunRecord]:
    """Return the records of past runs, newest first; raise ArtifactError if one cannot be read."""
    return [readable(found) for found in each_run(runs, name)]


def newest(runs: Path, name: str | None, fits: Callable[[RunRecord], bool]) -> RunRecord | None:
    """Return the newest record that fits, None if there is none.

    Raises
    ------
    ArtifactError
        If a newer record cannot be read: it might be the one that fits.
    """
    return next((record for record in map(readable, each_run(runs, name)) if fits(record)), None)


def is_completed(record: Mapping[str, Any]) -> bool:
    """Return whether a run completed, even if a gate held it back."""
    return record.get("state") == "completed"


def is_published(record: Mapping[str, Any]) -> bool:
    """Return whether a run completed and no gate held it back."""
    return is_completed(record) and record.get("published") is not False


def is_held(record: Mapping[str, Any]) -> bool:
    """Return whether gates hold back a run that completed; a trial with --set is not published either, and not held."""
    return is_completed(record) and record.get("published") is False and not record.get("tried")


def called(record: Mapping[str, Any]) -> str:
    """Return the name and the id of a run, as commands take it."""
    return f"{record['name']}/{record['run_id']}"


def flow_of(record: Mapping[str, Any]) -> str:
    """Return the name of a run's flow."""
    return str(record.get("flow", "topic_model"))


def last_record(runs: Path, name: str) -> RunRecord | None:
    """Return the record of the last completed run of a name, or None."""
    return newest(runs, name, is_completed)


def check_series(runs: Path, name: str, flow: str) -> None:
    """Raise ConfigError if the completed runs of a name belong to another flow: a name is one series of one flow.

    Only updates continue runs of another flow, those of a topic model. Failed runs do not count.
    """
    last = last_record(runs, name)
    if last is None or flow_of(last) in {flow, CONTINUED.get(flow)}:
        return
    if CONTINUED.get(flow_of(last)) == flow:
        msg = (
            f"{runs / name} is a series of updates, whose topics keep their ids; `topicflow update` continues it, "
            "and --set name=… fits other topics under a name of their own"
        )
        raise ConfigError(msg)
    msg = f"{runs / name} contains runs of {flow_of(last)}; give this config another name"
    raise ConfigError(msg)
