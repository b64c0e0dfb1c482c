"""Vector files: a .npy, .npz or .safetensors file, or a column of lists or texts -> vectors, one for each row."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.errors import DataError, first_line

_NAMES = ("embeddings", "vectors", "arr_0")
"""Names of the array that is taken if a file has several, in order of preference."""

_VECTOR = r"^[\[(]?\s*[-+\d.eE\s,;]*\d\.?\s*[,;]?\s*[\])]?$"


def read_vectors(path: Path) -> NDArray[np.floating]:
    """Return the array of a file, of any float type, byte order and memory order.

    Raises
    ------
    DataError
        If the file is no such file, or holds several arrays of which none has a known name.

    Notes
    -----
    A .npy file is memory-mapped; the arrays of the others are in memory as they are stored.
    """
    try:
        if path.suffix == ".npz":
            return _from_npz(path)
        if path.suffix == ".safetensors":
            return _from_safetensors(path)
        loaded: NDArray[np.floating] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        kind, way = (
            ("a .npz file", "numpy.savez") if path.suffix == ".npz" else ("a .npy array", "numpy.save")
        )
        msg = f"embed: {path} is not {kind} ({first_line(error)}); write it with {way}"
        raise DataError(msg) from None
    return loaded


def _from_npz(path: Path) -> NDArray[np.floating]:
    with np.load(path, allow_pickle=False) as arrays:
        found: NDArray[np.floating] = arrays[_only(path, list(arrays))]
    return found


def _from_safetensors(path: Path) -> NDArray[np.floating]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as tensors:  # numpy has no bfloat16
            tensor = tensors.get_tensor(_only(path, list(tensors.keys())))
    except SafetensorError as error:
        msg = f"embed: {path} is not a .safetensors file ({first_line(error)}); write it with safetensors"
        raise DataError(msg) from None
    import torch

    found: NDArray[np.floating] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def _only(path: Path, names: list[str]) -> str:
    """Return the name of the array to take: the only one, or one with a known name."""
    if len(names) == 1:
        return names[0]
    known = next((name for name in _NAMES if name in names), None)
    if known is None:
        there = ", ".join(map(repr, names[:8])) or "none"
        msg = f"embed: {path} holds the arrays {there}; expected one array, or one named {_NAMES[0]!r}"
        raise DataError(msg)
    return known


def vectors_in_texts(values: pl.Series) -> pl.Series:
    """Return lists of floats of texts such as `[0.1, 0.2]` or `0.1 0.2`; null for other texts.

    Parameters
    ----------
    values : pl.Series
        Strings, as pandas, numpy and databases write lists into CSV files.
    """
    inner = values.str.strip_chars(" \t\r\n[](){}").str.replace_all(r"[\s,;]+", ",").str.strip_chars(",")
    lists = inner.str.split(",").cast(pl.List(pl.Float64), strict=False)
    is_wrong = ~values.str.contains(_VECTOR) | lists.list.eval(pl.element().is_null()).list.any()
    return lists.set(is_wrong.fill_null(value=True), None)
