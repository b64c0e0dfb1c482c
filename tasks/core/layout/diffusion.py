"""Diffusion: vectors (n, dim) and a graph (n, n) -> vectors averaged over the graph, on all cores."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.vectors.blocks import bound, threads

FloatArray = NDArray[np.float32]

BLOCK_ROWS = 1024


def diffuse(graph: csr_matrix, vectors: FloatArray, steps: int, n_threads: int | None = None) -> FloatArray:
    """Return `vectors` after `steps` steps of a random walk on the graph, (n, dim) float32.

    Parameters
    ----------
    graph : csr_matrix of shape (n, n), float32
        Symmetric weights in [0, 1], such as those of `fuzzy_graph`; its diagonal is empty.
    vectors : ndarray of shape (n, dim), float32
        The vectors.
    steps : int
        Number of steps. In each step a vector becomes the weighted mean of itself, with weight 1, and its neighbours.
    n_threads : int, optional
        Threads; default all cores.

    Notes
    -----
    O(steps edges dim) time on all cores. Each row is summed in the order of its columns by one thread, so that the
    result does not depend on the number of threads. As in a layout, documents with common neighbours move together;
    unlike in a layout, nothing is drawn at random and every document has one place.
    """
    old, new = np.array(vectors, np.float32, order="C"), np.empty(vectors.shape, np.float32)
    with threads(n_threads) as run:
        for _ in range(steps):
            run(bound(_step, graph.indptr, graph.indices, graph.data, old, new), len(old), BLOCK_ROWS)
            old, new = new, old
    return old


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _step(
    start: int,
    stop: int,
    indptr: NDArray[np.int32],
    columns: NDArray[np.int32],
    weights: FloatArray,
    old: FloatArray,
    new: FloatArray,
) -> None:
    """Write the weighted means of the rows start..stop of `old` (n, dim) and their neighbours into `new`."""
    dim = old.shape[1]
    for i in range(start, stop):
        total = np.float32(1.0)
        row = new[i]
        for d in range(dim):
            row[d] = old[i, d]
        for at in range(indptr[i], indptr[i + 1]):
            weight = weights[at]
            total += weight
            other = old[columns[at]]
            for d in range(dim):
                row[d] += weight * other[d]
        for d in range(dim):
            row[d] /= total


def directions(vectors: FloatArray) -> FloatArray:
    """Return vectors (n, dim) relative to their mean, with length 1; a vector equal to the mean stays 0."""
    centred = np.asarray(vectors, np.float32) - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.ascontiguousarray(centred / np.where(lengths > 0.0, lengths, 1.0), np.float32)
