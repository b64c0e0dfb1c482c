"""Frames: documents in memory -> a Parquet file whose name is the digest of its content.

The same data has the same file, so that a second call with it computes nothing. The files lie in a folder beside the
store; nothing refers to a file after its documents are loaded, so a person may delete it.
"""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ArtifactError, DataError, first_line
from topicflow.tasks.store.artifact_store import file_digest, local_folder

TEXT = "text"
"""Name of the column of a list of texts."""


def frame_of(data: Any) -> pl.DataFrame:  # noqa: ANN401  (frames of several libraries)
    """Return a table of documents as a polars frame.

    Parameters
    ----------
    data : polars, pandas or arrow table, mapping of columns, or sequence of str
        A table has one row a document; the index of a pandas frame is not used. Texts become the column `text`.

    Raises
    ------
    DataError
        If the data is none of these.
    """
    try:
        found = _frame_of(data)
    except pl.exceptions.PolarsError as error:
        msg = f"{type(data).__name__}: not a table of documents: {first_line(error)}"
        raise DataError(msg) from None
    if found is None:
        msg = f"{type(data).__name__}: expected a file, a polars, pandas or arrow table, or a list of texts"
        raise DataError(msg)
    return found


def _frame_of(data: Any) -> pl.DataFrame | None:  # noqa: ANN401  (frames of several libraries)
    """Return a table as a polars frame, None if the data is no table."""
    if isinstance(data, pl.DataFrame | pl.LazyFrame):
        return data.lazy().collect()
    if _is_pandas(data, "DataFrame"):
        return pl.DataFrame([_column_of_pandas(str(name), column) for name, column in data.items()])
    if (texts := _texts(data)) is not None:
        return pl.DataFrame({TEXT: pl.Series(texts, dtype=pl.String)})
    is_table = isinstance(data, Mapping) or hasattr(data, "__arrow_c_stream__")
    return pl.DataFrame(data) if is_table and not isinstance(data, pl.Series) else None


def is_texts(data: Any) -> bool:  # noqa: ANN401  (whatever the caller has)
    """Return whether data is a sequence of texts, and no table."""
    return _texts(data) is not None


def write_once(table: pl.DataFrame, runtime: RuntimeConfig) -> Path:
    """Return the path of the Parquet file of a table, written if it does not exist.

    Raises
    ------
    DataError
        If a column cannot be written to Parquet.
    ArtifactError
        If the folder cannot be written.
    """
    folder = inputs_folder(runtime)
    staging = folder / f".{uuid.uuid4().hex}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table.write_parquet(staging)
        path = folder / f"{file_digest(staging)}.parquet"
        if not path.exists():
            staging.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        msg = f"{folder} cannot be written ({reason}); free space, or choose another store"
        raise ArtifactError(msg) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        kinds = ", ".join(f"{name} {dtype}" for name, dtype in table.schema.items() if dtype == pl.Object)
        msg = f"the table cannot be written to Parquet ({kinds or error}); leave these columns out"
        raise DataError(msg) from None
    finally:
        with contextlib.suppress(OSError):
            staging.unlink()
    return path


def inputs_folder(runtime: RuntimeConfig) -> Path:
    """Return the folder of the tables in memory: beside the store, or beside the runs if the store has a URL."""
    is_local = urlsplit(runtime.store).scheme in {"", "file"}
    beside = local_folder(runtime) if is_local else Path(runtime.runs)
    return beside.with_name(f"{beside.name}-inputs")


def _is_pandas(data: Any, kind: str) -> bool:  # noqa: ANN401  (whatever the caller has)
    """Return whether data is pandas' class of this name; pandas is not imported for that."""
    made = type(data)
    return made.__name__ == kind and made.__module__.partition(".")[0] == "pandas"


def _column_of_pandas(name: str, column: Any) -> pl.Series:  # noqa: ANN401  (a pandas column)
    """Return a pandas column as polars has it; missing values of any kind are null.

    polars' own way needs pyarrow, which pandas does not install.
    """
    if getattr(column.dtype, "kind", "O") in "iufb" and hasattr(column.dtype, "itemsize"):
        plain = pl.Series(name, column.to_numpy())
        return plain.fill_nan(None) if plain.dtype.is_float() else plain
    values = column.astype(object)
    return pl.Series(name, values.where(column.notna(), None).tolist(), strict=False)


def _texts(data: Any) -> list[str | None] | None:  # noqa: ANN401  (whatever the caller has)
    """Return a sequence of texts as a list, None if the data is anything else."""
    if isinstance(data, str | bytes | Mapping) or hasattr(data, "columns"):
        return None
    if not isinstance(data, Sequence | pl.Series) and not hasattr(data, "tolist"):
        return None
    values = data.tolist() if hasattr(data, "tolist") else list(data)
    missing = [each is None or (isinstance(each, float) and math.isnan(each)) for each in values]
    if not all(gone or isinstance(each, str) for each, gone in zip(values, missing, strict=True)):
        return None
    return [None if gone else each for each, gone in zip(values, missing, strict=True)]
