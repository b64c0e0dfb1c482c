"""Sources: a path, glob, folder, query or docstrings:// path -> chunks of rows, and the input's fingerprint.

Imports neither Prefect nor torch, so that `plan` can check quickly whether the documents exist.
"""

from __future__ import annotations

import contextlib
import difflib
import glob
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents import docstrings, recipes
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.database import read_query
from topicflow.tasks.documents.read_errors import readable
from topicflow.tasks.documents.text_files import plain_utf8, text_chunks
from topicflow.tasks.errors import DataError
from topicflow.tasks.store.artifact_store import (
    ArtifactRef,
    ArtifactStore,
    canonical_json,
    digest,
    file_digest,
)

ENDINGS = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".tsv": "tsv",
    ".ndjson": "ndjson", ".jsonl": "ndjson",
    ".txt": "text", ".md": "text",
}  # fmt: skip
"""Format of a file by its ending; .gz may follow those of CSV, TSV and NDJSON."""

_HEADER_BYTES = 1 << 22
"""Maximum length of the header line that is searched for a separator."""

_AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip
_AWS_OPTIONS = {"AWS_ENDPOINT_URL_S3": "aws_endpoint_url", "AWS_DEFAULT_REGION": "aws_region"}
"""Variables in order of precedence, and the options that they set if the name differs."""


@dataclass(frozen=True)
class Source:
    """An opened input.

    Attributes
    ----------
    name : str
        The user's name for it, for messages.
    schema : mapping of str to polars data type
        Its columns.
    chunks : iterator of pl.DataFrame
        Its rows in order, once.
    n_rows : int or None
        Number of rows; None if it is unknown before they are read.
    id_column : str or None
        The column that identifies rows because of the source's kind (text files have their names).
    column : callable or None
        Returns the values of a column from its first row on, independent of `chunks`; None if the source has no
        columns.
    """

    name: str
    schema: pl.Schema
    chunks: Iterator[pl.DataFrame]
    n_rows: int | None = None
    id_column: str | None = None
    column: Callable[[str], Iterator[pl.Series]] | None = None


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


# --- identity of the input --------------------------------------------------------------------------------------


def find_documents(
    store: ArtifactStore, config: LoadConfig, source: str | None = None, *, claim: bool = False
) -> ArtifactRef | None:
    """Return the documents that an earlier run made from the same input and config, or None.

    Parameters
    ----------
    store : ArtifactStore
        The store to search.
    config : LoadConfig
        The input and its columns.
    source : str, optional
        The input's fingerprint, if the caller has it.
    claim : bool
        Wait for another run that loads the same input, as in `ArtifactStore.find`.

    Raises
    ------
    DataError
        If the input does not exist.
    """
    source = source or fingerprint(config)
    if source is None:
        return None
    record = store.find(recipes.load(config, source), claim=claim)
    if record is None:
        return None
    named = store.json(record, "documents")["documents"]
    return store.find(recipes.documents(config), key=named, claim=claim)


def fingerprint(config: LoadConfig) -> str | None:
    """Return a digest of the input; the same bytes give the same digest in any place.

    None for remote paths and queries, which every run reads again.

    Raises
    ------
    DataError
        If a file, folder or package does not exist or cannot be read.
    """
    if config.path is None or is_remote(config.path):
        return None
    if docstrings.is_docstrings(config.path):
        return docstrings.fingerprint(docstrings.packages_of(config.path))
    files = find_files(config)
    with readable(config.path):
        digests = [file_digest(path) for path in files.paths]
    names = files.names if files.format == "text" else None  # a text file's name is its id
    return digest(canonical_json([files.format, names, digests]))


def is_remote(path: str) -> bool:
    """Return whether a path is a URL for polars."""
    return "://" in path and not docstrings.is_docstrings(path)


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
        return LocalFiles(path.parent, (path.name,), _format_of(given, [path.name], config))
    if path.is_dir():
        return _files_of_folder(given, path, config)
    if glob.has_magic(given):
        base = _fixed_part(path)
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        names = sorted(name.relative_to(base).as_posix() for name in found if name.is_file())
        if names:
            return LocalFiles(base, tuple(names), _format_of(given, names, config))
        path = base
    msg = f"load: {given}: {'no file matches' if glob.has_magic(given) else 'no such file or folder'}"
    raise DataError(f"{msg} ({path.absolute()}){_nearest_file(path)}")


def _fixed_part(path: Path) -> Path:
    """Return the folder above the first part of a glob that has a wildcard."""
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _files_of_folder(given: str, folder: Path, config: LoadConfig) -> LocalFiles:
    wanted = "text" if config.format == "auto" else config.format
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = [name for name in names if _ending_format(name) == wanted]
    if not chosen:
        endings = sorted({Path(name).suffix or "(no ending)" for name in names})
        there = f"its {len(names):,} files end in {', '.join(endings[:8])}" if names else "it is empty"
        msg = (
            f"load: {given}: no {wanted} file in this folder; {there}; set load.path to a file or a glob "
            "such as data/*.csv"
        )
        raise DataError(msg)
    return LocalFiles(folder, tuple(chosen), wanted)


def _format_of(given: str, names: Sequence[str], config: LoadConfig) -> str:
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


def _ending_format(name: str) -> str | None:
    lower = name.lower()
    kind = ENDINGS.get(Path(lower.removesuffix(".gz")).suffix)
    return None if lower.endswith(".gz") and kind in {"parquet", "text"} else kind


def _nearest_file(path: Path) -> str:
    """Return a hint with the nearest name in the folder of a missing path, or an empty string."""
    if not path.parent.is_dir():
        return f"; the folder {path.parent.absolute()} does not exist either"
    near = difflib.get_close_matches(
        path.name, [entry.name for entry in path.parent.iterdir()], n=1, cutoff=0.5
    )
    return f"; did you mean {near[0]!r}?" if near else ""


def text_columns(config: LoadConfig) -> tuple[str, ...]:
    """Return the names of the text columns, one or several."""
    return (config.text_column,) if isinstance(config.text_column, str) else config.text_column


def check_columns(source: Source, config: LoadConfig) -> None:
    """Raise DataError if a column of the config is missing or has a wrong type."""
    named = [(column, "text_column") for column in text_columns(config)]
    single = {"id_column": config.id_column, "label_column": config.label_column}
    single["timestamp_column"] = config.timestamp_column
    named += [(column, key) for key, column in single.items() if column is not None]
    for column, key in [*named, *((column, "columns") for column in config.columns or ())]:
        require_column(f"load: {source.name}", column, source.schema, f"load.{key}")
    for column, key in named:
        dtype = source.schema[column]
        if dtype.is_nested() or dtype in {pl.Binary, pl.Object}:
            msg = f"load: {source.name}: column {column!r} (load.{key}) is {dtype}, expected single values"
            raise DataError(msg)


# --- reading ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_source(config: LoadConfig, chunk_rows: int) -> Iterator[Source]:
    """Yield the opened input; temporary copies are deleted at the end of the block.

    Parameters
    ----------
    config : LoadConfig
        The input and its columns.
    chunk_rows : int
        Approximate number of rows in a chunk; the rows do not depend on it.

    Raises
    ------
    DataError
        If the input does not exist, is not readable or is not in its format; the cause is an OSError if a retry may
        help.
    """
    with tempfile.TemporaryDirectory(prefix="topicflow-load-") as scratch:
        if config.path is None:
            frame = read_query(config, Path(scratch))
            yield _source_of(frame, "load.query", config, chunk_rows)
        elif docstrings.is_docstrings(config.path):
            table = docstrings.collect(docstrings.packages_of(config.path))
            yield _source_of(table.lazy(), config.path, config, chunk_rows)
        elif is_remote(config.path):
            yield _source_of(_scan_remote(config), config.path, config, chunk_rows, counted=False)
        else:
            yield _open_files(find_files(config), config, chunk_rows, Path(scratch))


def _open_files(files: LocalFiles, config: LoadConfig, chunk_rows: int, scratch: Path) -> Source:
    name = str(config.path)
    if files.format == "text":
        names = files.names[: config.limit]
        chunks = text_chunks(files.base, names, config.encoding_errors, chunk_rows)
        schema = pl.Schema({"text": pl.String(), "file": pl.String()})
        return Source(name, schema, chunks, len(names), id_column="file")
    paths = files.paths
    if files.format != "parquet":
        with readable(name):
            paths = [plain_utf8(path, config.encoding_errors, scratch) for path in paths]
    return _source_of(_scan(paths, files.format, config), name, config, chunk_rows)


def _source_of(
    frame: pl.LazyFrame, name: str, config: LoadConfig, chunk_rows: int, *, counted: bool = True
) -> Source:
    """Return the Source of a lazy frame. Counting the rows of a remote file would download it twice."""
    if config.limit is not None:
        frame = frame.head(config.limit)
    with readable(name):
        schema = frame.collect_schema()
        n_rows = int(frame.select(pl.len()).collect().item()) if counted else None

    def column(wanted: str) -> Iterator[pl.Series]:
        return (chunk[wanted] for chunk in _chunks(frame.select(wanted), name, chunk_rows))

    return Source(name, schema, _chunks(frame, name, chunk_rows), n_rows, column=column)


def _chunks(frame: pl.LazyFrame, name: str, chunk_rows: int) -> Iterator[pl.DataFrame]:
    with readable(name):
        yield from frame.collect_batches(chunk_size=chunk_rows)


def _scan(
    paths: Sequence[Path | str], kind: str, config: LoadConfig, storage_options: dict[str, Any] | None = None
) -> pl.LazyFrame:
    """Return the lazy frame of files of one format; types are inferred from all rows, not from the first ones."""
    remote = storage_options is not None
    sources: Any = list(paths)
    if kind == "parquet":
        return pl.scan_parquet(sources, glob=remote, hive_partitioning=False, storage_options=storage_options)
    if kind == "ndjson":
        sources = sources if remote else [glob.escape(str(path)) for path in paths]
        return pl.scan_ndjson(sources, infer_schema_length=None, storage_options=storage_options)
    named = [*text_columns(config), config.id_column, config.label_column]
    return pl.scan_csv(
        sources,
        separator="\t" if kind == "tsv" else "," if remote else _separator(Path(paths[0])),
        schema_overrides={column: pl.String for column in named if column},  # an id 007 stays 007
        infer_schema_length=None,
        infer_schema_files=len(sources),
        encoding="utf8-lossy" if config.encoding_errors == "replace" else "utf8",
        glob=remote,
        storage_options=storage_options,
    )


def _separator(path: Path) -> str:
    """Return the separator of a CSV file's first line: the most frequent of , ; tab and |."""
    with path.open("rb") as file:
        header = re.sub(rb'"[^"]*"', b"", file.readline(_HEADER_BYTES))
    counts = {mark: header.count(mark.encode()) for mark in (",", ";", "\t", "|")}
    return max(counts, key=lambda mark: counts[mark])  # a comma if there is none, because max takes the first


def _scan_remote(config: LoadConfig) -> pl.LazyFrame:
    path = str(config.path)
    kind = _format_of(path, [urlsplit(path).path], config)
    if kind == "text":
        msg = f"load: {path}: text files are read only from local folders; download them, or store them as Parquet"
        raise DataError(msg)
    with readable(path):
        return _scan([path], kind, config, _storage_options(path))


def _storage_options(path: str) -> dict[str, Any]:
    """Return polars' options for a remote path: the AWS variables, and few retries, because Prefect retries too."""
    options: dict[str, Any] = {"max_retries": 2}
    if not path.startswith(("s3://", "s3a://")):
        return options
    for variable in _AWS_VARIABLES:
        option = _AWS_OPTIONS.get(variable, variable.lower())
        if os.environ.get(variable) and option not in options:
            options[option] = os.environ[variable]
    return options
