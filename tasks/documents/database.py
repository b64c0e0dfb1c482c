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
"""Rows fetched at a time; a constant, because types are inferred batch by batch."""

_DRIVER_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


def read_query(config: LoadConfig, scratch: Path) -> pl.LazyFrame:
    """Return the lazy frame of a query's rows, spooled to `scratch` so that batches agree on their types."""
    parts = []
    for number, frame in enumerate(_query_batches(config)):
        part = scratch / f"{number:05d}.parquet"
        as_text = [name for name, dtype in frame.schema.items() if dtype == pl.Object]  # UUIDs and the like
        texts = [pl.Series(name, [None if v is None else str(v) for v in frame[name]]) for name in as_text]
        frame.with_columns(texts).write_parquet(part)
        parts.append(pl.scan_parquet(part, glob=False))
        if config.limit is not None and (number + 1) * _QUERY_ROWS >= config.limit:
            break
    if not parts:
        msg = "load: load.query: no rows; check the query"
        raise DataError(msg)
    return pl.concat(parts, how="vertical_relaxed")


def _query_batches(config: LoadConfig) -> Iterator[pl.DataFrame]:
    import sqlalchemy

    variable = str(config.connection_env)
    url = os.environ.get(variable)
    if not url:
        msg = f"load: load.connection_env: variable {variable} is not set; set it to a SQLAlchemy URL"
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
    """Turn what goes wrong in connecting into one line without the URL's password."""
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
            f"load: {variable} does not hold a SQLAlchemy URL that can be used; expected the form "
            "postgresql+psycopg://user:password@host/database or sqlite:///file.db"
        )
        raise DataError(msg) from None
    except SQLAlchemyError as error:
        said = _without_password(first_line(getattr(error, "orig", None) or error), url)
        msg = f"load: the database in {variable} cannot be reached ({said})"
        raise DataError(msg) from ConnectionError(said)


@contextlib.contextmanager
def _queryable(url: str) -> Iterator[None]:
    """Turn what goes wrong in a query into one line; only a broken connection is worth another try."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        said = _without_password(first_line(getattr(error, "orig", None) or error), url)
        broken = isinstance(error, DBAPIError) and error.connection_invalidated
        msg = f"load: load.query: {said}"
        raise DataError(msg) from (ConnectionError(said) if broken else None)
    except pl.exceptions.PolarsError as error:
        msg = f"load: load.query: its rows do not fit one table ({first_line(error)}); cast the columns in the query"
        raise DataError(msg) from None


def _without_password(text: str, url: str) -> str:
    from sqlalchemy.engine import make_url

    password = make_url(url).password
    return text.replace(str(password), "***") if password else text
