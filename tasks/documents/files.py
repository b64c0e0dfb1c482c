"""Files: a path, folder or glob -> the files of one format that it means."""

from __future__ import annotations

import difflib
import glob
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.documents.formats.streams import is_compressed, plain_name
from topicflow.tasks.errors import DataError

ENDINGS = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json",
    ".txt": "text", ".md": "text",
    ".xlsx": "excel", ".xlsm": "excel", ".xlsb": "excel", ".xls": "excel", ".ods": "excel",
    ".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".duckdb": "duckdb",
    ".mbox": "mail", ".eml": "mail",
    ".xml": "posts",
    ".warc": "warc", ".wet": "warc",
}  # fmt: skip
"""Format of a file by its ending; .gz, .zst or .zip may follow those of `PACKED`."""

PACKED = {"csv", "tsv", "ndjson", "json", "posts", "warc", "lines"}
"""Formats that are read from compressed files."""

_STATE = "state.json"
"""File in a folder that `Dataset.save_to_disk` of Hugging Face wrote."""


@dataclass(frozen=True)
class LocalFiles:
    """Files of one format, in the order of their names relative to `base`."""

    base: Path
    names: tuple[str, ...]
    format: str

    @property
    def paths(self) -> list[Path]:
        """The files' paths."""
        return [self.base / name for name in self.names]


def find_files(config: LoadConfig) -> LocalFiles:
    """Return the local files of `load.path`.

    Raises
    ------
    DataError
        If there is none, or their formats differ or are unknown.
    """
    given = str(config.path)
    path = Path(given).expanduser()
    if path.is_file():
        return LocalFiles(path.parent, (path.name,), format_of(given, [_inner_name(path)], config))
    if path.is_dir():
        return _files_of_folder(given, path, config)
    if glob.has_magic(given):
        base = _fixed_part(path)
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        names = sorted(name.relative_to(base).as_posix() for name in found if name.is_file())
        if names:
            inner = [_inner_name(base / name) for name in names]
            return LocalFiles(base, tuple(names), format_of(given, inner, config))
        path = base
    msg = f"load: {given}: {'no file matches' if glob.has_magic(given) else 'no such file or folder'}"
    raise DataError(f"{msg} ({path.absolute()}){_nearest_file(path)}")


def _fixed_part(path: Path) -> Path:
    """Return the folder above the first part of a glob that has a wildcard."""
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _files_of_folder(given: str, folder: Path, config: LoadConfig) -> LocalFiles:
    if config.format in {"auto", "arrow"} and (saved := _saved_dataset(given, folder)):
        return saved
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    kinds = {name: _ending_format(name) for name in names}
    wanted = config.format if config.format != "auto" else "text"
    if config.format == "auto" and "text" not in kinds.values() and "mail" in kinds.values():
        wanted = "mail"
    chosen = [name for name in names if kinds[name] == ("text" if wanted == "lines" else wanted)]
    if not chosen:
        endings = sorted({Path(name).suffix or "(no ending)" for name in names})
        there = f"its {len(names):,} files end in {', '.join(endings[:8])}" if names else "it is empty"
        msg = (
            f"load: {given}: no {wanted} file in this folder; {there}; set load.path to a file or a glob "
            "such as data/*.csv"
        )
        raise DataError(msg)
    return LocalFiles(folder, tuple(chosen), wanted)


def _saved_dataset(given: str, folder: Path) -> LocalFiles | None:
    """Return the Arrow files of a data set that Hugging Face's `save_to_disk` wrote; None if the folder is none.

    Raises
    ------
    DataError
        If the folder has several splits.
    """
    if (splits := folder / "dataset_dict.json").is_file():
        names = json.loads(splits.read_text(encoding="utf-8"))["splits"]
        shown = ", ".join(f"{given}/{name}" for name in names)
        msg = f"load: {given}: a data set of {len(names)} splits; set load.path to one: {shown}"
        raise DataError(msg)
    if not (folder / _STATE).is_file() or not (folder / "dataset_info.json").is_file():
        return None
    state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    names = tuple(each["filename"] for each in state["_data_files"])
    if state.get("_indices_files"):  # older versions; newer ones write the chosen rows
        msg = (
            f"load: {given}: rows are chosen by an indices file; call flatten_indices() before save_to_disk()"
        )
        raise DataError(msg)
    return LocalFiles(folder, names, "arrow")


def format_of(given: str, names: Sequence[str], config: LoadConfig) -> str:
    """Return the format of all files, from the config or from their endings."""
    found = {_ending_format(name) for name in names}
    if config.format != "auto":
        return "tsv" if config.format == "csv" and found == {"tsv"} else config.format
    if len(found) > 1:
        kinds = ", ".join(sorted(str(kind or "unknown") for kind in found))
        msg = f"load: {given}: files of different formats ({kinds}); restrict the glob to one ending"
        raise DataError(msg)
    (kind,) = found
    if kind is None:
        known = " ".join(ENDINGS)
        msg = f"load: {given}: unknown ending {Path(names[0]).suffix!r}, expected {known}; or set load.format"
        raise DataError(msg)
    return kind


def _inner_name(path: Path) -> str:
    """Return a file's name; for a .zip that of the file inside with .zip after it."""
    if path.suffix.lower() != ".zip" or _ending_format(path.name) is not None:
        return path.name
    with readable(str(path)):
        return plain_name(path) + ".zip"


def _ending_format(name: str) -> str | None:
    path = Path(name.lower())
    if not is_compressed(name):
        return ENDINGS.get(path.suffix)
    kind = ENDINGS.get(Path(path.stem).suffix)
    return kind if kind in PACKED else None


def _nearest_file(path: Path) -> str:
    """Return a hint with the nearest name in the folder of a missing path, or an empty string."""
    if not path.parent.is_dir():
        return f"; the folder {path.parent.absolute()} does not exist either"
    near = difflib.get_close_matches(
        path.name, [entry.name for entry in path.parent.iterdir()], n=1, cutoff=0.5
    )
    return f"; did you mean {near[0]!r}?" if near else ""
