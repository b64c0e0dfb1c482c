"""Unit rows: vectors (n, dim) of any float -> unit vectors (n, dim) float32, for any scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SQUARES = (1e-15, 1e15)
"""Lengths between which the squares of float32 neither overflow nor lose digits; other rows are scaled first."""


def unit_rows(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each row with length 1 (n, dim) float32, and its length (n,) up to a scale.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), floating
        Also with values such as 1e30 and 1e-25, whose squares float32 cannot represent.

    Returns
    -------
    unit : ndarray of shape (n, dim), float32
        Not finite if the length is 0 or not finite.
    lengths : ndarray of shape (n,), float32
        0 for a row of zeros, not finite for a row with NaN or infinite values; for other rows a length up to a scale.
    """
    with np.errstate(all="ignore"):  # a row that cannot be divided is not finite, and the caller reports it
        values = vectors.astype(np.float32)
        lengths = np.linalg.norm(values, axis=1)
        extreme = np.flatnonzero(~((lengths > SQUARES[0]) & (lengths < SQUARES[1])))
        if len(extreme):
            rows = vectors[extreme].astype(np.float64)
            scaled = rows / np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
            scaled[(rows == 0).all(axis=1)] = 0.0
            values[extreme] = scaled
            lengths[extreme] = np.linalg.norm(values[extreme], axis=1)
        unit: NDArray[np.float32] = values / lengths[:, None]
    return unit, lengths
