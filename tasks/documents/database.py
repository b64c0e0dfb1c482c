"""Database: a SQL query over a connection, or a table of an SQLite or DuckDB file -> its rows as a lazy frame."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.formats.streams import missing_package
from topicflow.tasks.documents.formats.tables_in_file import table_named
from topicflow.tasks.documents.formats.text_files import new_copy
from topicflow.tasks.errors import DataError, first_line

_QUERY_ROWS = 20_000
"""Rows fetched at a time; constant, because types are inferred for each batch."""

_DUCKDB = "duckdb:///"
"""Beginning of the URL of a DuckDB file, duckdb:///reviews.duckdb, which is opened without SQLAlchemy."""

_DRIVER_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


def unset_connection(variable: str) -> DataError:
    """Return the error for a database whose URL is in no environment variable."""
    return DataError(
        f"load: load.connection_env: the environment variable {variable} is not set; set it to a SQLAlchemy URL"
    )


def read_query(config: LoadConfig, scratch: Path) -> pl.LazyFrame:
    """Return the lazy frame of a query's rows, written to `scratch` first so that all batches get the same types."""
    variable = str(config.connection_env)
    url = os.environ.get(variable)
    if not url:
        raise unset_connection(variable)
    query = str(config.query)
    if url.startswith(_DUCKDB):
        batches = _duckdb_batches(Path(url.removeprefix(_DUCKDB) or ":memory:"), query, url)
    else:
        batches = _query_batches(variable, url, query)
    found = _written(batches, scratch, config.limit)
    if found is None:
        msg = "load: load.query: the query returned no rows; check it"
        raise DataError(msg)
    return found


def read_database_file(path: Path, kind: str, config: LoadConfig, scratch: Path) -> pl.LazyFrame:
    """Return the rows of a table or view of an SQLite or DuckDB file: `load.sheet`, or the only one.

    Raises
    ------
    DataError
        If the file is no such database, or has several tables and `load.sheet` is not set.
    """
    table = _table_of(path, kind, config)
    query = f'SELECT * FROM "{table.replace(chr(34), chr(34) * 2)}"'  # noqa: S608  (a name that the database listed)
    found = _written(_file_batches(path, kind, query), scratch, config.limit)
    if found is None:
        msg = f"load: {path}: table {table!r} has no rows"
        raise DataError(msg)
    return found


def _table_of(path: Path, kind: str, config: LoadConfig) -> str:
    listing = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'",
        "duckdb": "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'main'",
    }[kind]
    names = sorted(name for frame in _file_batches(path, kind, listing) for name in frame["name"])
    return table_named(path, "table", config.sheet, names, names)


def _file_batches(path: Path, kind: str, query: str) -> Iterator[pl.DataFrame]:
    if kind == "duckdb":
        return _duckdb_batches(path, query, str(path))
    return _sqlite_batches(path, query)


def _sqlite_batches(path: Path, query: str) -> Iterator[pl.DataFrame]:
    """Yield the rows of a query in batches; a column with values of several types is text."""
    import sqlite3

    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    try:
        cursor = connection.execute(query)
        names = [each[0] for each in cursor.description]
        while rows := cursor.fetchmany(_QUERY_ROWS):
            yield _frame_of(rows, names)
    except sqlite3.DatabaseError as error:
        msg = f"load: {path}: cannot be read ({first_line(error)}); expected an SQLite database"
        raise DataError(msg) from None
    finally:
        connection.close()


def _frame_of(rows: list[tuple[Any, ...]], names: list[str]) -> pl.DataFrame:
    columns = []
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        kinds = {type(value) for value in values if value is not None}
        is_mixed = len(kinds) > 1 and kinds != {int, float}
        texts = [None if value is None else str(value) for value in values] if is_mixed else values
        columns.append(pl.Series(name, texts, strict=False))
    return pl.DataFrame(columns)


def _duckdb_batches(path: Path, query: str, where: str) -> Iterator[pl.DataFrame]:
    """Yield the rows of a query of a DuckDB file in batches."""
    try:
        import duckdb
        import pyarrow as pa  # noqa: F401  (duckdb hands rows over with it)
    except ImportError as error:
        raise missing_package(where, str(error.name)) from None
    try:
        with duckdb.connect(str(path), read_only=str(path) != ":memory:") as connection:
            for batch in connection.sql(query).to_arrow_reader(_QUERY_ROWS):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame
    except duckdb.Error as error:
        msg = f"load: {where}: {first_line(error)}"
        raise DataError(msg) from None


def _written(batches: Iterator[pl.DataFrame], scratch: Path, limit: int | None) -> pl.LazyFrame | None:
    """Return the rows of batches as one lazy frame over files in `scratch`; None if there are none."""
    parts, n_rows = [], 0
    for frame in batches:
        part = new_copy(scratch)
        as_text = [
            name for name, dtype in frame.schema.items() if dtype == pl.Object
        ]  # UUIDs and similar types
        texts = [pl.Series(name, [None if v is None else str(v) for v in frame[name]]) for name in as_text]
        frame.with_columns(texts).write_parquet(part)
        parts.append(pl.scan_parquet(part, glob=False))
        n_rows += frame.height
        if limit is not None and n_rows >= limit:
            break
    return pl.concat(parts, how="vertical_relaxed") if parts else None


def _query_batches(variable: str, url: str, query: str) -> Iterator[pl.DataFrame]:
    import sqlalchemy

    with _connectable(variable, url):
        engine = sqlalchemy.create_engine(url)
        connection = engine.connect().execution_options(stream_results=True)
    try:
        with connection, _queryable(url):
            yield from pl.read_database(
                query,
                connection,
                iter_batches=True,
                batch_size=_QUERY_ROWS,
                infer_schema_length=None,
            )
    finally:
        engine.dispose()


@contextlib.contextmanager
def _connectable(variable: str, url: str) -> Iterator[None]:
    """Turn errors while connecting into one line without the URL's password."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except ImportError as error:
        driver = str(error.name).replace("MySQLdb", "mysqlclient")
        package = _DRIVER_PACKAGES.get(driver, driver)
        msg = f"load: the connection in {variable} needs {driver!r}; install it: pip install '{package}'"
        raise DataError(msg) from None
    except (NoSuchModuleError, ArgumentError, ValueError):
        msg = (
            f"load: {variable} does not contain a valid SQLAlchemy URL; expected the form "
            "postgresql+psycopg://user:password@host/database or sqlite:///file.db"
        )
        raise DataError(msg) from None
    except SQLAlchemyError as error:
        reason = _without_password(first_line(getattr(error, "orig", None) or error), url)
        msg = f"load: the database in {variable} cannot be reached ({reason})"
        raise DataError(msg) from ConnectionError(reason)


@contextlib.contextmanager
def _queryable(url: str) -> Iterator[None]:
    """Turn errors of a query into one line; only a broken connection is retried."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        reason = _without_password(first_line(getattr(error, "orig", None) or error), url)
        broken = isinstance(error, DBAPIError) and error.connection_invalidated
        msg = f"load: load.query: {reason}"
        raise DataError(msg) from (ConnectionError(reason) if broken else None)
    except pl.exceptions.PolarsError as error:
        msg = (
            f"load: load.query: the rows do not fit into one table ({first_line(error)}); cast the "
            "columns in the query"
        )
        raise DataError(msg) from None


def _without_password(text: str, url: str) -> str:
    from sqlalchemy.engine import make_url

    password = make_url(url).password
    return text.replace(str(password), "***") if password else text
