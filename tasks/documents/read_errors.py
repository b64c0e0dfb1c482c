"""Readable: what goes wrong in reading an input -> one line that names it."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator

import polars as pl

from topicflow.tasks.errors import DataError, first_line


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what goes wrong in reading `name` into one line; an OSError as cause says a retry may help."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"load: {name}: {first_line(error.strerror or str(error)).lower()}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"load: {name}: not a whole gzip file ({first_line(error)}); fetch it again"
        ) from None
    except OSError as error:
        raise DataError(f"load: {name}: cannot be read ({first_line(error)})") from error
    except pl.exceptions.PolarsError as error:
        failure = _unreadable(name, first_line(error))
        raise failure from failure.__cause__


def _unreadable(name: str, said: str) -> DataError:
    """Return the error of what polars could not read; hf:// paths report a failing network this way."""
    if "expanded paths were empty" in said:
        return DataError(f"load: {name}: no file matches")
    failure = DataError(f"load: {name}: cannot be read ({said}); check the file and load.format")
    if "error sending request" in said:
        failure = DataError(f"load: {name}: cannot be reached ({said})")
        failure.__cause__ = ConnectionError(said)
    return failure
