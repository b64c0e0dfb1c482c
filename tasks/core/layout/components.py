"""Components: vectors (n, dim) -> their first principal components (n, n_components) float32, in chunks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import threads

FloatArray = NDArray[np.float32]

CHUNK_ROWS = 8_192
"""Rows that a thread multiplies or projects at a time."""

FIT_ROWS = 100_000
"""Evenly spaced rows that the directions are fitted on: a covariance entry is then off by about .003 of its scale."""


def principal_components(vectors: FloatArray, n_components: int, n_threads: int | None = None) -> FloatArray:
    """Return the first principal components (n, n_components) float32; fewer if there are fewer rows or columns.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        May be memory-mapped; read in chunks.
    n_components : int
        Number of components.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.

    Notes
    -----
    O(min(n, FIT_ROWS) dim^2 + n dim n_components). A layout that starts here amplifies the last bits. Each chunk is
    therefore multiplied by one thread, and the sums are added up in the order of the chunks, so that the result does
    not depend on the number of threads. The largest weight of a component sets its sign, whatever the eigensolver.
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
