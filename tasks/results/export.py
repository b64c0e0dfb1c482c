"""Export: the tables of a run -> CSV files and a workbook in a folder, or some documents in one file."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path

import polars as pl

from topicflow.tasks.documents.spreadsheet_csv import RUN, write_csv
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.results.flat import flat
from topicflow.tasks.results.tables import check_topic, read_table, table_names
from topicflow.tasks.results.workbook import write_workbook
from topicflow.tasks.runs.history import RunRecord, called
from topicflow.tasks.search.filters.operands import near
from topicflow.tasks.search.filters.parser import parse_filter

FORMATS = (".csv", ".xlsx", ".parquet")


@dataclass(frozen=True)
class Choice:
    """Which documents are wanted.

    Attributes
    ----------
    topics : sequence of int
        Documents of any of these topics, -1 for those without one; all if empty.
    where : str or None
        A condition on the columns, as in a search.
    sort : str or None
        A column; the largest value comes first, nulls last. In the order of the run if None.
    limit : int or None
        Maximum number of documents.
    """

    topics: Sequence[int] = ()
    where: str | None = None
    sort: str | None = None
    limit: int | None = None


def chosen_documents(record: RunRecord, choice: Choice) -> pl.LazyFrame:
    """Return the documents of a run that are wanted, with the names of their topics, lazily.

    Raises
    ------
    ConfigError
        If the run has no documents, or the condition or a column is wrong.
    DataError
        If there is no such topic.
    """
    documents = read_table(record, "documents")
    schema = documents.collect_schema()
    for topic in choice.topics:
        if "topic" not in schema:
            msg = f"--topic {topic}: {called(record)} has no topics"
            raise ConfigError(msg)
        check_topic(record, topic)
    if choice.topics:
        documents = documents.filter(pl.col("topic").is_in(list(choice.topics)))
    if choice.where is not None:
        documents = documents.filter(parse_filter(choice.where, schema)[0])
    if choice.sort is not None:
        if choice.sort not in schema:
            msg = f"--sort {choice.sort}: no such column; {near(choice.sort, schema)}"
            raise ConfigError(msg)
        documents = documents.sort(choice.sort, descending=True, nulls_last=True, maintain_order=True)
    return documents if choice.limit is None else documents.head(choice.limit)


def write_table(table: pl.LazyFrame, path: Path, *, force: bool = False) -> tuple[int, list[str]]:
    """Write a table to a CSV, XLSX or Parquet file, by its ending; return its rows and what the file could not hold.

    Raises
    ------
    ConfigError
        If the ending is another one, or the file exists and `force` is false.
    ArtifactError
        If the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        msg = f"{path}: expected a file that ends in {', '.join(FORMATS)}"
        raise ConfigError(msg)
    _refuse_existing([path], force=force)
    if not path.absolute().parent.is_dir():
        raise _unwritable(path, FileNotFoundError(ENOENT, os.strerror(ENOENT)))
    staging = path.with_name(f".{uuid.uuid4().hex}{path.suffix.lower()}")
    lines: list[str] = []
    try:
        if path.suffix.lower() == ".xlsx":
            lines = write_workbook(staging, {"documents": table})
        elif path.suffix.lower() == ".csv":
            _write_csv(table, staging)
        else:
            table.sink_parquet(staging)
        staging.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        staging.unlink(missing_ok=True)
    return int(table.select(pl.len()).collect().item()), lines


def export_run(record: RunRecord, folder: Path, *, force: bool = False) -> tuple[list[Path], list[str]]:
    """Write all tables of a run into a folder: a CSV file each, and one workbook with a sheet each.

    Returns the files, the workbook last, and a line for each thing that the workbook could not hold.

    Raises
    ------
    ConfigError
        If the run has no tables, or a file exists and `force` is false.
    ArtifactError
        If a file cannot be written.
    """
    tables = {name: read_table(record, name) for name in table_names(record)}
    if not tables:
        msg = f"{called(record)}: a {record['state']} run of {record.get('flow')} has no tables to export"
        raise ConfigError(msg)
    files = [*(folder / f"{name}.csv" for name in tables), folder / f"{record['name']}.xlsx"]
    _refuse_existing(files, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, table in zip(files, tables.values(), strict=False):
            _write_csv(table, path)
        return files, write_workbook(files[-1], tables)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _write_csv(table: pl.LazyFrame, path: Path) -> None:
    """Write a CSV file without cells, or names of columns, that a spreadsheet would run."""
    plain = flat(table).collect()
    write_csv(plain.rename({name: re.sub(rf"\A({RUN})", r"'\1", name) for name in plain.columns}), path)


def _refuse_existing(files: Sequence[Path], *, force: bool) -> None:
    existing = [path for path in files if path.exists()]
    if existing and not force:
        msg = f"{existing[0]} exists already; --force writes over it, --output names another place"
        raise ConfigError(msg)


def _unwritable(path: Path, error: OSError) -> ArtifactError:
    reason = (error.strerror or str(error).partition(" (os error")[0]).lower()
    return ArtifactError(f"{path} cannot be written ({reason}); choose another --output")
