"""Run files: a run's folder -> the size and digest of each file in its record, and later, what is wrong with a file.

    run.json    files: {name: {bytes, blake2b}} of all files except itself and those that people fill in
                digest: of the record's own values; format: of the file

Older runs have neither; their files are read without a check.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from topicflow.tasks.errors import DamagedError
from topicflow.tasks.runs.history import FORMAT, RECORD, SEAL, seal_of
from topicflow.tasks.store.access import ABSENT, reason_of
from topicflow.tasks.store.artifacts import file_digest
from topicflow.tasks.store.files import problem_of
from topicflow.tasks.store.verify import Finding

FILLED_IN = frozenset({"suggestions.csv"})
"""Files in a run's folder that people change: they have no digest."""


def seal_run(folder: Path) -> None:
    """Write the digests of a run's files into its record, and then the record's own digest."""
    path = folder / RECORD
    record = {**json.loads(path.read_bytes()), "files": described(folder)}
    path.write_bytes(_text({**record, **seal_of(record)}))


def described(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and digest of every file in a folder, except its record and the files that people fill in."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: {"bytes": path.stat().st_size, "blake2b": file_digest(path)}
        for name, path in sorted(names.items())
        if name != RECORD and name not in FILLED_IN
    }


def whole_file(folder: Path, name: str) -> Path:
    """Return the path of a file of a run's folder after comparing its bytes with the digest in the record.

    Raises
    ------
    DamagedError
        If the bytes are not those that were written.
    """
    files, path = _recorded(folder), folder / name
    if name in files and (problem := problem_of(path, name, files[name], whole=True)):
        msg = f"runs: {path} is damaged ({problem}); run its config again, or restore the file from a backup"
        raise DamagedError(msg)
    return path


def has_file(folder: Path, name: str) -> bool:
    """Return whether a run's folder has a file, or once had it: reading a lost one is an error, not an absence."""
    return name in _recorded(folder) or (folder / name).exists()


def _recorded(folder: Path) -> Mapping[str, Any]:
    """Return the record's entries of files; none if the record is older or cannot be read."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        files: Mapping[str, Any] = json.loads((folder / RECORD).read_bytes()).get("files", {})
        return files
    return {}


def verify_runs(runs: Path) -> Iterator[Finding]:
    """Check all files of every run's folder, by name and id, and yield a finding for each."""
    for folder in sorted(runs.glob("*/*")):
        if folder.name == "latest" or folder.name.startswith(".") or not folder.is_dir():
            continue
        yield _verified(folder)


def _verified(folder: Path) -> Finding:
    """Return the finding for a run's folder."""
    name, run_id = folder.parent.name, folder.name
    try:
        files = _files_of((folder / RECORD).read_bytes())
        wrong = ", ".join(_wrong_files(folder, files or {}))
        return Finding(name, run_id, wrong, has_digest=files is not None)
    except DamagedError as error:
        return Finding(name, run_id, str(error))
    except ABSENT:
        return Finding(name, run_id, f"{RECORD} is gone")
    except OSError as error:
        return Finding(
            name, run_id, refused=f"{error.filename or folder} could not be read: {reason_of(error)}"
        )


def _files_of(raw: bytes) -> Mapping[str, Any] | None:
    """Return the record's entries of files, None in an older record; raise DamagedError if the record was changed."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        raise DamagedError(f"{RECORD} is not JSON") from None
    if not isinstance(record, dict) or not {"run_id", "name"} <= record.keys():
        raise DamagedError(f"{RECORD} is not the record of a run")
    if not {*SEAL, "files"} & record.keys():
        return None
    if record.get("format") != FORMAT:
        raise DamagedError(f"{RECORD} has format {record.get('format')}, this version reads {FORMAT}")
    own = {key: each for key, each in record.items() if key not in SEAL}
    if raw != _text({**own, **seal_of(own)}) or "files" not in own:
        raise DamagedError(f"{RECORD} changed since written")
    files: Mapping[str, Any] = record["files"]
    return files


def _wrong_files(folder: Path, files: Mapping[str, Any]) -> list[str]:
    found = (problem_of(folder / name, name, entry, whole=True) for name, entry in files.items())
    return [problem for problem in found if problem]


def _text(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=2, ensure_ascii=False).encode()
