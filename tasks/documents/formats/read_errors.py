"""Read errors: errors while reading an input -> one line with the name of the input."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zipfile
import zlib
from collections.abc import Iterator

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
    except _polars_errors() as error:
        failure = _unreadable(name, first_line(error))
        raise failure from failure.__cause__
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "zstandard":
            raise
        raise DataError(
            f"load: {name}: not a complete zstd file ({first_line(error)}); download it again"
        ) from None


def _polars_errors() -> tuple[type[Exception], ...]:
    """Return the errors of polars; none if it is not imported, as in a plan that only reads bytes."""
    polars = sys.modules.get("polars")
    return () if polars is None else (polars.exceptions.PolarsError,)


def _unreadable(name: str, reason: str) -> DataError:
    """Return the error for an input that polars could not read; hf:// paths report network failures this way."""
    if "expanded paths were empty" in reason:
        return DataError(f"load: {name}: no file matches")
    failure = DataError(f"load: {name}: cannot be read ({reason}); check the file and load.format")
    if "error sending request" in reason:
        failure = DataError(f"load: {name}: cannot be reached ({reason})")
        failure.__cause__ = ConnectionError(reason)
    return failure
