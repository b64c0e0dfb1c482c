"""Components: vectors (n, dim) -> their first principal components (n, n_components) float32, in chunks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers, threads

FloatArray = NDArray[np.float32]
Reals = NDArray[np.float64]
Rows = NDArray[np.int64]

CHUNK_ROWS = 8_192
"""Rows that a thread multiplies or projects at a time."""

FIT_ROWS = 100_000
"""Evenly spaced rows that the directions are fitted on: a covariance entry is then off by about .003 of its scale."""


WIDE = 1_024
"""Above this number of columns only the requested directions are computed: all of 4,096 take a minute on one thread."""

BLOCK_ROWS = 256
"""Number of rows that a thread multiplies with all others at a time."""


def principal_components(
    vectors: FloatArray, n_components: int, n_threads: int | None = None, among: Rows | None = None
) -> FloatArray:
    """Return the first principal components (n, n_components) float32; fewer if there are fewer rows or columns.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        May be memory-mapped; read in chunks.
    n_components : int
        Number of components.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.
    among : ndarray of integers, optional
        The rows that decide the directions; default all. Copies of a vector would pull the directions towards it.

    Notes
    -----
    O(min(n, FIT_ROWS) dim^2 + n dim n_components). A layout that starts here amplifies the last bits. Each chunk is
    therefore multiplied by one thread, and the sums are added up in the order of the chunks, so that the result does
    not depend on the number of threads. The largest weight of a component sets its sign, for any eigensolver.
    With more than WIDE columns and fewer rows, the products of the rows (n x n) are decomposed instead of the
    products of the columns.
    """
    from threadpoolctl import threadpool_limits

    n, dim = vectors.shape
    n_counted = n if among is None else len(among)
    width = min(n_components, n, dim)
    rows = np.linspace(0, n_counted - 1, min(n_counted, FIT_ROWS)).astype(np.int64)
    rows = rows if among is None else np.asarray(among, np.int64)[rows]
    with threadpool_limits(1), threads(n_threads) as run:
        if dim > WIDE and len(rows) < dim:
            mean, axes = _axes_of_rows(np.asarray(vectors[rows]), width, run)
        else:
            mean, axes = _axes_of_columns(vectors, rows, width, run)
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(width)])
        projected = np.empty((n, width), np.float32)
        flat, middle = axes.astype(np.float32), mean.astype(np.float32)

        def project(start: int, stop: int) -> None:
            projected[start:stop] = (np.asarray(vectors[start:stop]) - middle) @ flat

        run(project, n, CHUNK_ROWS)
    return projected


def _axes_of_columns(vectors: FloatArray, rows: Rows, width: int, run: Workers) -> tuple[Reals, Reals]:
    """Return the mean (dim,) and the first principal axes (dim, width) of the rows, from the products of columns."""
    dim = vectors.shape[1]

    def moments(start: int, stop: int) -> tuple[Reals, FloatArray]:
        part = np.asarray(vectors[rows[start:stop]])
        return part.sum(axis=0, dtype=np.float64), part.T @ part

    total, products = np.zeros(dim), np.zeros((dim, dim))
    for of_chunk, squares in run(moments, len(rows), CHUNK_ROWS):
        total += of_chunk
        products += squares
    mean = total / len(rows)
    covariance = products / len(rows) - np.outer(mean, mean)
    if dim > WIDE:
        return mean, _last_eigenvectors(covariance, width)[1]
    return mean, np.linalg.eigh(covariance)[1][:, ::-1][:, :width]


def _axes_of_rows(vectors: FloatArray, width: int, run: Workers) -> tuple[Reals, Reals]:
    """Return the mean (dim,) and the first principal axes (dim, width) from the products of rows, fewer than columns.

    Axes beyond the rank of the rows are zeros: the rows have no extent along them.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    products = np.concatenate(
        run(lambda start, stop: centred[start:stop] @ centred.T, len(centred), BLOCK_ROWS)
    )
    sizes, weights = _last_eigenvectors(products, width)
    known = sizes > np.finfo(np.float32).eps * sizes[0]
    axes = np.zeros((vectors.shape[1], width))
    axes[:, known] = centred.T @ weights[:, known] / np.sqrt(sizes[known])
    return mean, axes


def _last_eigenvectors(matrix: Reals, width: int) -> tuple[Reals, Reals]:
    """Return the largest eigenvalues (width,) of a symmetric matrix, descending, and their eigenvectors (n, width)."""
    from scipy.linalg import eigh

    n = len(matrix)
    values, found = eigh(matrix, subset_by_index=[n - width, n - 1])
    return values[::-1], found[:, ::-1]
