"""Read errors: errors while reading an input -> one line with the name of the input."""

from __future__ import annotations

import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Iterator

import polars as pl

from topicflow.tasks.errors import DataError, first_line


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn errors while reading `name` into one line; an OSError as cause means that a retry may help."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"load: {name}: {first_line(error.strerror or str(error)).lower()}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"load: {name}: not a complete gzip file ({first_line(error)}); download it again"
        ) from None
    except zipfile.BadZipFile as error:
        raise DataError(
            f"load: {name}: not a complete zip file ({first_line(error)}); download it again"
        ) from None
    except OSError as error:
        raise DataError(f"load: {name}: cannot be read ({first_line(error)})") from error
    except pl.exceptions.PolarsError as error:
        failure = _unreadable(name, first_line(error))
        raise failure from failure.__cause__
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "zstandard":
            raise
        raise DataError(
            f"load: {name}: not a complete zstd file ({first_line(error)}); download it again"
        ) from None


def _unreadable(name: str, reason: str) -> DataError:
    """Return the error for an input that polars could not read; hf:// paths report network failures this way."""
    if "expanded paths were empty" in reason:
        return DataError(f"load: {name}: no file matches")
    failure = DataError(f"load: {name}: cannot be read ({reason}); check the file and load.format")
    if "error sending request" in reason:
        failure = DataError(f"load: {name}: cannot be reached ({reason})")
        failure.__cause__ = ConnectionError(reason)
    return failure
