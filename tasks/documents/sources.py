"""Sources: a path, glob, folder, query or docstrings:// path -> chunks of rows, and the input's fingerprint.

Imports neither Prefect nor torch, and polars only to read: `plan` checks quickly whether the documents exist.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents import docstrings, recipes
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.files import LocalFiles, find_files, format_of
from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.errors import DataError
from topicflow.tasks.store.artifact_store import (
    ArtifactRef,
    ArtifactStore,
    canonical_json,
    digest,
    file_digest,
)

if TYPE_CHECKING:
    import polars as pl

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
    notes : tuple of str
        What was recognized or mended in the files, one sentence each.
    keys : mapping
        Keys of the section `load` that say what was recognized.
    """

    name: str
    schema: pl.Schema
    chunks: Iterator[pl.DataFrame]
    n_rows: int | None = None
    id_column: str | None = None
    column: Callable[[str], Iterator[pl.Series]] | None = None
    notes: tuple[str, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)


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


def check_columns(source: Source, config: LoadConfig) -> None:
    """Raise DataError if a column of the config is missing or has a wrong type."""
    import polars as pl

    from topicflow.tasks.documents.texts import text_columns

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
            from topicflow.tasks.documents.database import read_query

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
    import polars as pl

    from topicflow.tasks.documents.formats.text_files import text_chunks
    from topicflow.tasks.documents.tables import open_table

    name = str(config.path)
    if files.format == "text":
        names = files.names[: config.limit]
        chunks = text_chunks(files.base, names, config.encoding_errors, chunk_rows, config.encoding)
        schema = pl.Schema({"text": pl.String(), "file": pl.String()})
        return Source(name, schema, chunks, len(names), id_column="file")
    table = open_table(files, config, scratch)
    source = _source_of(table.frame, name, config, chunk_rows, n_rows=table.n_rows)
    return replace(source, notes=table.notes, keys=table.keys)


def _source_of(
    frame: pl.LazyFrame,
    name: str,
    config: LoadConfig,
    chunk_rows: int,
    *,
    counted: bool = True,
    n_rows: int | None = None,
) -> Source:
    """Return the Source of a lazy frame. Counting the rows of a remote file would download it twice."""
    import polars as pl

    from topicflow.tasks.documents.nested import with_fields

    if config.limit is not None:
        frame = frame.head(config.limit)
        n_rows = None if n_rows is None else min(n_rows, config.limit)
    with readable(name):
        frame = with_fields(frame, config)
        schema = frame.collect_schema()
        if n_rows is None and counted:
            n_rows = int(frame.select(pl.len()).collect().item())

    def column(wanted: str) -> Iterator[pl.Series]:
        return (chunk[wanted] for chunk in _chunks(frame.select(wanted), name, chunk_rows))

    return Source(name, schema, _chunks(frame, name, chunk_rows), n_rows, column=column)


def _chunks(frame: pl.LazyFrame, name: str, chunk_rows: int) -> Iterator[pl.DataFrame]:
    with readable(name):
        yield from frame.collect_batches(chunk_size=chunk_rows)


def _scan_remote(config: LoadConfig) -> pl.LazyFrame:
    import polars as pl

    path = str(config.path)
    kind = format_of(path, [urlsplit(path).path], config)
    options = _storage_options(path)
    with readable(path):
        if kind == "parquet":
            return pl.scan_parquet(path, hive_partitioning=False, storage_options=options)
        if kind == "ndjson":
            return pl.scan_ndjson(path, infer_schema_length=None, storage_options=options)
        if kind in {"csv", "tsv"}:
            return _scan_remote_csv(path, kind, config, options)
    msg = f"load: {path}: {kind} files are read only from local folders; download them, or store them as Parquet"
    raise DataError(msg)


def _scan_remote_csv(path: str, kind: str, config: LoadConfig, options: dict[str, Any]) -> pl.LazyFrame:
    """Return the rows of remote CSV files, which are not searched for lone quotes and titles."""
    import polars as pl

    from topicflow.tasks.documents.texts import text_columns

    if config.encoding not in {None, "utf-8"}:
        msg = f"load: {path}: load.encoding is for local files; download it"
        raise DataError(msg)
    named = [*text_columns(config), config.id_column, config.label_column]
    header = 1 if config.header is None else config.header
    return pl.scan_csv(
        path,
        separator=config.separator or ("\t" if kind == "tsv" else ","),
        quote_char=None if config.quote == "" else config.quote or '"',
        skip_lines=config.skip_rows or 0,
        has_header=header > 0,
        skip_rows_after_header=max(0, header - 1),
        schema_overrides={column: pl.String for column in named if column},  # an id 007 stays 007
        infer_schema_length=None,
        encoding="utf8-lossy" if config.encoding_errors == "replace" else "utf8",
        storage_options=options,
    )


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
