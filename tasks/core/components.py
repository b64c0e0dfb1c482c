"""Components: vectors (n, dim) -> their first principal components (n, n_components) float32, in chunks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

CHUNK_ROWS = 16_384
"""Rows projected at a time."""

FIT_ROWS = 100_000
"""Rows, evenly taken, that the directions are fitted on: a covariance entry is then off by some .003 of its scale."""


def principal_components(vectors: FloatArray, n_components: int) -> FloatArray:
    """Return the first principal components (n, n_components) float32; fewer where there are fewer rows or columns.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        May be memory-mapped; read in chunks.
    n_components : int
        Components wanted.

    Notes
    -----
    O(min(n, FIT_ROWS) dim^2 + n dim n_components). Products run on one thread: a layout that starts here amplifies
    the last bits, and a blocked product may round otherwise on more threads. 100,000 x 384 take .6 s so. Each
    component's sign is set by its largest weight, so that it does not depend on the eigensolver.
    """
    from threadpoolctl import threadpool_limits

    n, dim = vectors.shape
    width = min(n_components, n, dim)
    rows = np.linspace(0, n - 1, min(n, FIT_ROWS)).astype(np.int64)
    with threadpool_limits(1):
        total, products = np.zeros(dim), np.zeros((dim, dim))
        for start in range(0, len(rows), CHUNK_ROWS):
            part = np.asarray(vectors[rows[start : start + CHUNK_ROWS]])
            total += part.sum(axis=0, dtype=np.float64)
            products += part.T @ part
        mean = total / len(rows)
        _, directions = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
        axes = directions[:, ::-1][:, :width]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(width)])
        projected = np.empty((n, width), np.float32)
        for start in range(0, n, CHUNK_ROWS):
            part = np.asarray(vectors[start : start + CHUNK_ROWS])
            projected[start : start + CHUNK_ROWS] = (part - mean) @ axes
    return projected
