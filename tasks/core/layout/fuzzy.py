"""Fuzzy graph: neighbour list (n, k) -> UMAP's symmetric membership graph (n, n)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.vectors.blocks import bound, threads

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]

BISECTIONS = 64
TOLERANCE = 1e-5
LEAST_SCALE = 1e-3
"""umap-learn's constants: steps and tolerance of the search for a point's scale, and its minimum in mean distances."""

BLOCK_ROWS = 4096


def fuzzy_graph(indices: IndexArray, distances: FloatArray, n_threads: int | None = None) -> csr_matrix:
    """Return UMAP's symmetric fuzzy graph (n, n) float32 of a neighbour list (n, k) with each row itself first.

    Parameters
    ----------
    indices, distances : ndarray of shape (n, k), int32 and float32
        Nearest neighbours of each point, itself first, with distances.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.

    Raises
    ------
    ValueError
        When the two shapes differ.

    Notes
    -----
    O(n k log k) time: the weights on all cores, with a kernel; the rest with numpy and scipy, which on one core take
    as long as kernels for it on two and need no compilation. Columns are sorted; the diagonal is empty.

    References
    ----------
    McInnes, Healy, Melville: UMAP (arXiv:1802.03426), algorithms 2 and 3. Weights agree with umap-learn 0.5.12
    `fuzzy_simplicial_set` to 1e-5, the tolerance of its own search.
    """
    if indices.shape != distances.shape:
        msg = f"indices {indices.shape} and distances {distances.shape} must have the same shape"
        raise ValueError(msg)
    indices = np.ascontiguousarray(indices, np.int32)
    distances = np.ascontiguousarray(distances, np.float32)
    weights = np.zeros(distances.shape, np.float32)
    mean_distance = float(distances.mean()) if distances.size else 0.0
    with threads(n_threads) as run:
        run(bound(_directed_weights, indices, distances, mean_distance, weights), len(indices), BLOCK_ROWS)
    return _union(_directed_graph(indices, weights))


def _directed_graph(indices: IndexArray, weights: FloatArray) -> csr_matrix:
    """Return the positive weights (n, k) as a graph (n, n) with sorted columns."""
    order = np.argsort(indices, axis=1)
    columns, weights = np.take_along_axis(indices, order, axis=1), np.take_along_axis(weights, order, axis=1)
    weighty = weights > 0.0
    indptr = np.zeros(len(indices) + 1, np.int64)
    np.cumsum(weighty.sum(axis=1), out=indptr[1:])
    return csr_matrix((weights[weighty], columns[weighty], indptr), shape=(len(indices), len(indices)))


def _union(graph: csr_matrix) -> csr_matrix:
    """Return `p + q - p q` of the weights p and q of both directions; the formula is symmetric in p and q."""
    back = graph.T.tocsr()
    total, product = graph + back, graph.multiply(back)
    del graph, back  # at a million points each graph has 120 MB or more
    return total - product


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _directed_weights(
    start: int,
    stop: int,
    indices: IndexArray,
    distances: FloatArray,
    mean_distance: float,
    weights: FloatArray,
) -> None:
    """Write membership strengths (n, k) of points start..stop: 1 up to the nearest distance, then falling by a scale.

    Each point has its own scale. `weights` is 0 before, and stays 0 from a point to itself.
    """
    k = distances.shape[1]
    for i in range(start, stop):
        nearest, total = 0.0, np.float32(0.0)
        for j in range(k - 1, -1, -1):
            if distances[i, j] > 0.0:
                nearest = distances[i, j]
        for j in range(k):
            total += distances[i, j]
        floor = LEAST_SCALE * (total / k if nearest > 0.0 else mean_distance)
        scale = max(_scale(distances[i], nearest), floor)
        for j in range(k):
            if indices[i, j] != i:
                beyond = distances[i, j] - nearest
                weights[i, j] = np.exp(-beyond / scale) if beyond > 0.0 and scale > 0.0 else 1.0


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _scale(distances: FloatArray, nearest: float) -> float:
    """Return the scale at which a row's strengths, without the row itself, sum to log2(k); by bisection."""
    target = np.log2(len(distances))
    low, high, scale = 0.0, np.inf, 1.0
    for _ in range(BISECTIONS):
        total = 0.0
        for j in range(1, len(distances)):
            beyond = distances[j] - nearest
            total += np.exp(-beyond / scale) if beyond > 0.0 else 1.0
        if abs(total - target) < TOLERANCE:
            break
        if total > target:
            high = scale
            scale = (low + high) / 2.0
        else:
            low = scale
            scale = scale * 2.0 if high == np.inf else (low + high) / 2.0
    return scale
