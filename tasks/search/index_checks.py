"""Index checks: a part of an index's files -> the same, checked, or an error that says what is wrong with which file.

Three things are checked before anything is computed from the files. Files that native code reads (the graph, Arrow
and Parquet files) must have the digest of the written file: that code trusts every byte, and a damaged graph of the
right size kills the process. Arrays must have the type and shape that the manifest names, and numbers that point into
other arrays must be in their range. The manifest's own values must be possible.

Digests are computed at each opening, because size, times and inode of a file do not prove that its bytes are the
same. This takes half a second for the graph of a million vectors of 384, which is then in memory for the first query.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from topicflow.tasks.errors import ArtifactError, DamagedError, first_line

REMEDY = "`topicflow index CONFIG` makes the index again"


def damaged(path: Path | str, why: str) -> DamagedError:
    """Return the error for a damaged file."""
    return DamagedError(f"index: {path} is damaged ({why}); {REMEDY}")


# --- the manifest ---


class _Space(BaseModel):
    """The space of the vectors; the manifest has more values, for queries."""

    model_config = ConfigDict(strict=True)
    dim: int


class _Meta(BaseModel):
    """The values that the manifest of an index must have before its files are read."""

    model_config = ConfigDict(strict=True)
    dim: int = Field(ge=1, le=2**20)
    parts: list[int]
    n_documents: int = Field(ge=0)
    lexical: bool
    method: Literal["exact", "hnsw"]
    ef: int | None = Field(ge=1)
    topics: str | None
    topic_keys: dict[str, str]
    documents: str | None
    space: _Space
    embed: dict[str, Any]
    config: dict[str, Any]

    @model_validator(mode="after")
    def _agrees(self) -> _Meta:
        if self.space.dim != self.dim:
            raise ValueError(f"dim={self.dim}, but the vectors' space has {self.space.dim}")
        if not self.parts or min(self.parts) < 0:
            raise ValueError(f"parts={self.parts}, expected lengths")
        return self


class _GraphMeta(BaseModel):
    """The values that the manifest of an index with a graph must have, too."""

    model_config = ConfigDict(strict=True)
    codes: Literal["int8", "float16", "float32"]
    scale: float = Field(gt=0.0, lt=math.inf)
    M: int = Field(ge=2, le=1024)
    ef_construction: int = Field(ge=1, le=100_000)
    ef: int = Field(ge=1, le=1_000_000)


def check_meta(path: Path | str, meta: Mapping[str, Any], rows: object) -> None:
    """Raise DamagedError if a manifest has impossible values.

    Parameters
    ----------
    path : Path or str
        The manifest, for the message.
    meta : mapping
        The manifest's values about the index.
    rows : object
        The manifest's number of documents, including removed ones.
    """
    try:
        about = _Meta.model_validate(meta)
        if about.method == "hnsw":
            _GraphMeta.model_validate(meta)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = (
            f"{where}={first['input']!r}: "
            if where and not isinstance(first["input"], dict)
            else where and f"{where}: "
        )
        raise damaged(path, f"{what}{first['msg'].removeprefix('Value error, ')}") from None
    if rows != sum(about.parts):
        raise damaged(path, f"rows={rows!r}, but its parts have {sum(about.parts):,}")


# --- arrays ---


def load_array(path: Path, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return the array of a .npy file, mapped into memory.

    Parameters
    ----------
    path : Path
        The file.
    dtype : str
        The required type.
    shape : tuple of int or None
        The required shape; None for any length.

    Raises
    ------
    DamagedError
        If it contains another array, or none.
    ArtifactError
        If it cannot be read.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, EOFError, TypeError, OverflowError, MemoryError) as error:
        raise damaged(path, first_line(error)) from None
    fits = len(array.shape) == len(shape) and all(
        want in {None, have} for have, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits or not array.flags.c_contiguous:
        wanted = " × ".join("any" if want is None else f"{want:,}" for want in shape)
        found = " × ".join(f"{have:,}" for have in array.shape)
        raise damaged(
            path, f"it contains {array.dtype} of {found or 'no'} values, expected {dtype} of {wanted}"
        )
    return array


def check_flags(path: Path, flags: NDArray[np.bool_], n_false: int) -> None:
    """Raise DamagedError if flags have other bytes than 0 and 1, or not `n_false` zeros."""
    raw = flags.view(np.uint8)
    if raw.max(initial=0) > 1 or int((raw == 0).sum()) != n_false:
        raise damaged(path, f"{int((raw == 0).sum()):,} documents are not removed, expected {n_false:,}")


def check_range(path: Path, values: NDArray[Any], low: int, high: int) -> None:
    """Raise DamagedError if a value is less than `low`, or not less than `high`."""
    if values.size and not (low <= int(values.min()) and int(values.max()) < high):
        raise damaged(
            path, f"values from {values.min():,} to {values.max():,}, expected {low:,} to {high - 1:,}"
        )


def check_offsets(path: Path, offsets: NDArray[np.int64], n: int) -> None:
    """Raise DamagedError if offsets do not increase from 0 to `n`."""
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != n or (np.diff(offsets) < 0).any():
        raise damaged(path, f"its offsets do not increase from 0 to {n:,}")


# --- tables ---


def read_arrow(path: Path) -> pl.DataFrame:
    """Return the table of an Arrow file; raise ArtifactError if it cannot be read."""
    try:
        return pl.read_ipc(path)
    except OSError as error:
        raise unreadable(path, error) from None
    except pl.exceptions.PolarsError as error:
        raise damaged(path, first_line(error)) from None


def unreadable(path: Path, error: OSError) -> ArtifactError:
    """Return the error for a file that cannot be read, which is not damage."""
    return ArtifactError(
        f"index: {path} cannot be read ({error.strerror or first_line(error)}); make it readable"
    )
