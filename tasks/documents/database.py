"""Database: a SQL query over a SQLAlchemy connection -> its rows as a lazy frame."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.errors import DataError, first_line

_QUERY_ROWS = 20_000
"""Rows fetched at a time; constant, because types are inferred for each batch."""

_DRIVER_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


def read_query(config: LoadConfig, scratch: Path) -> pl.LazyFrame:
    """Return the lazy frame of a query's rows, written to `scratch` first so that all batches get the same types."""
    parts = []
    for number, frame in enumerate(_query_batches(config)):
        part = scratch / f"{number:05d}.parquet"
        as_text = [
            name for name, dtype in frame.schema.items() if dtype == pl.Object
        ]  # UUIDs and similar types
        texts = [pl.Series(name, [None if v is None else str(v) for v in frame[name]]) for name in as_text]
        frame.with_columns(texts).write_parquet(part)
        parts.append(pl.scan_parquet(part, glob=False))
        if config.limit is not None and (number + 1) * _QUERY_ROWS >= config.limit:
            break
    if not parts:
        msg = "load: load.query: the query returned no rows; check it"
        raise DataError(msg)
    return pl.concat(parts, how="vertical_relaxed")


def _query_batches(config: LoadConfig) -> Iterator[pl.DataFrame]:
    import sqlalchemy

    variable = str(config.connection_env)
    url = os.environ.get(variable)
    if not url:
        msg = f"load: load.connection_env: the environment variable {variable} is not set; set it to a SQLAlchemy URL"
        raise DataError(msg)
    with _connectable(variable, url):
        engine = sqlalchemy.create_engine(url)
        connection = engine.connect().execution_options(stream_results=True)
    try:
        with connection, _queryable(url):
            yield from pl.read_database(
                str(config.query),
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
