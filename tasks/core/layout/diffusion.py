"""Diffusion: vectors (n, dim) and a graph (n, n) -> vectors averaged over the graph, on all cores."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

FloatArray = NDArray[np.float32]


def diffuse(graph: csr_matrix, vectors: FloatArray, steps: int) -> FloatArray:
    """Return `vectors` after `steps` steps of a random walk on the graph, (n, dim) float32.

    Parameters
    ----------
    graph : csr_matrix of shape (n, n), float32
        Symmetric weights in [0, 1], such as those of `fuzzy_graph`; its diagonal is empty.
    vectors : ndarray of shape (n, dim), float32
        The vectors.
    steps : int
        Number of steps. In each step a vector becomes the weighted mean of itself, with weight 1, and its neighbours.

    Notes
    -----
    O(steps edges dim) time on all cores. Each row is summed in the order of its columns by one thread, so that the
    result does not depend on the number of threads. As in a layout, documents with common neighbours move together;
    unlike in a layout, nothing is drawn at random and every document has one place.
    """
    found = np.ascontiguousarray(vectors, np.float32)
    for _ in range(steps):
        found = _step(graph.indptr, graph.indices, graph.data, found)
    return found


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _step(
    indptr: NDArray[np.int64], columns: NDArray[np.int32], weights: FloatArray, vectors: FloatArray
) -> FloatArray:
    n, dim = vectors.shape
    moved = np.empty_like(vectors)
    for i in prange(n):
        total = np.float32(1.0)
        row = vectors[i].copy()
        for at in range(indptr[i], indptr[i + 1]):
            weight = weights[at]
            total += weight
            other = vectors[columns[at]]
            for d in range(dim):
                row[d] += weight * other[d]
        moved[i] = row / total
    return moved


def directions(vectors: FloatArray) -> FloatArray:
    """Return vectors (n, dim) relative to their mean, with length 1; a vector equal to the mean stays 0."""
    centred = np.asarray(vectors, np.float32) - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.ascontiguousarray(centred / np.where(lengths > 0.0, lengths, 1.0), np.float32)
