"""Components: vectors (n, dim) -> their first principal components (n, n_components) float32, in chunks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import threads

FloatArray = NDArray[np.float32]

CHUNK_ROWS = 8_192
"""Rows multiplied or projected at a time by a thread."""

FIT_ROWS = 100_000
"""Rows, evenly taken, that the directions are fitted on: a covariance entry is then off by some .003 of its scale."""


def principal_components(vectors: FloatArray, n_components: int, n_threads: int | None = None) -> FloatArray:
    """Return the first principal components (n, n_components) float32; fewer where there are fewer rows or columns.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        May be memory-mapped; read in chunks.
    n_components : int
        Components wanted.
    n_threads : int, optional
        Threads; all cores if None. Their number changes no bit of the result.

    Notes
    -----
    O(min(n, FIT_ROWS) dim^2 + n dim n_components). A layout that starts here amplifies the last bits, so each chunk is
    multiplied by one thread and the sums are taken in the chunks' order: the number of threads changes no bit. Each
    component's sign is set by its largest weight, so that it does not depend on the eigensolver.
    """
    from threadpoolctl import threadpool_limits

    n, dim = vectors.shape
    width = min(n_components, n, dim)
    rows = np.linspace(0, n - 1, min(n, FIT_ROWS)).astype(np.int64)

    def moments(start: int, stop: int) -> tuple[NDArray[np.float64], FloatArray]:
        part = np.asarray(vectors[rows[start:stop]])
        return part.sum(axis=0, dtype=np.float64), part.T @ part

    with threadpool_limits(1), threads(n_threads) as run:
        total, products = np.zeros(dim), np.zeros((dim, dim))
        for of_chunk, squares in run(moments, len(rows), CHUNK_ROWS):
            total += of_chunk
            products += squares
        mean = total / len(rows)
        _, directions = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
        axes = directions[:, ::-1][:, :width]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(width)])
        projected = np.empty((n, width), np.float32)
        flat, middle = axes.astype(np.float32), mean.astype(np.float32)

        def project(start: int, stop: int) -> None:
            projected[start:stop] = (np.asarray(vectors[start:stop]) - middle) @ flat

        run(project, n, CHUNK_ROWS)
    return projected
