"""Fuzzy graph: neighbour list (n, k) -> UMAP's symmetric membership graph (n, n), on all cores."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]

BISECTIONS = 64
TOLERANCE = 1e-5
LEAST_SCALE = 1e-3
"""umap-learn's constants: steps and tolerance of the search for a point's scale, and its minimum in mean distances."""


def fuzzy_graph(indices: IndexArray, distances: FloatArray) -> csr_matrix:
    """Return UMAP's symmetric fuzzy graph (n, n) float32 of a neighbour list (n, k) with each row itself first.

    Raises
    ------
    ValueError
        When the two shapes differ.

    Notes
    -----
    O(n k log k) time on all cores; the result does not depend on their number, because rows are independent and an
    entry of the union is computed only from its two directed weights. Columns are sorted; the diagonal is empty.

    References
    ----------
    McInnes, Healy, Melville: UMAP (arXiv:1802.03426), algorithms 2 and 3. Weights agree with umap-learn 0.5.12
    `fuzzy_simplicial_set` to 1e-5, the tolerance of its own search.
    """
    if indices.shape != distances.shape:
        msg = f"indices {indices.shape} and distances {distances.shape} must have the same shape"
        raise ValueError(msg)
    n = len(indices)
    indices = np.ascontiguousarray(indices, np.int32)
    distances = np.ascontiguousarray(distances, np.float32)
    weights = _directed_weights(indices, distances, float(distances.mean()) if distances.size else 0.0)
    columns, weights = _sorted_rows(indices, weights)
    back_indptr, back_columns, back_weights = _transposed(columns, weights, n)
    sizes = _union_sizes(columns, weights, back_indptr, back_columns)
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(sizes, out=indptr[1:])
    joined, values = _union(columns, weights, back_indptr, back_columns, back_weights, indptr)
    return csr_matrix((values, joined, indptr), shape=(n, n), copy=False)


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _directed_weights(indices: IndexArray, distances: FloatArray, mean_distance: float) -> FloatArray:
    """Return each point's membership strengths (n, k): 1 up to its nearest distance, then falling by its own scale."""
    n, k = distances.shape
    weights = np.zeros((n, k), np.float32)
    for i in prange(n):
        nearest = 0.0
        for j in range(k - 1, -1, -1):
            if distances[i, j] > 0.0:
                nearest = distances[i, j]
        floor = LEAST_SCALE * (distances[i].mean() if nearest > 0.0 else mean_distance)
        scale = max(_scale(distances[i], nearest), floor)
        for j in range(k):
            if indices[i, j] != i:
                beyond = distances[i, j] - nearest
                weights[i, j] = np.exp(-beyond / scale) if beyond > 0.0 and scale > 0.0 else 1.0
    return weights


@njit(cache=True)  # type: ignore[untyped-decorator]
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


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _sorted_rows(indices: IndexArray, weights: FloatArray) -> tuple[IndexArray, FloatArray]:
    """Return both with each row sorted by column; the row itself stays, with weight 0."""
    columns, sorted_weights = np.empty_like(indices), np.empty_like(weights)
    for i in prange(len(indices)):
        order = np.argsort(indices[i])
        for at in range(len(order)):
            columns[i, at] = indices[i, order[at]]
            sorted_weights[i, at] = weights[i, order[at]]
    return columns, sorted_weights


@njit(cache=True)  # type: ignore[untyped-decorator]
def _transposed(
    columns: IndexArray, weights: FloatArray, n: int
) -> tuple[NDArray[np.int64], IndexArray, FloatArray]:
    """Return the reversed edges as rows, indices and weights; rows are sorted because sources are visited in order."""
    indptr = np.zeros(n + 1, np.int64)
    for i in range(columns.shape[0]):
        for at in range(columns.shape[1]):
            if weights[i, at] > 0.0:
                indptr[columns[i, at] + 1] += 1
    for i in range(n):
        indptr[i + 1] += indptr[i]
    free = indptr[:-1].copy()
    sources, strengths = np.empty(indptr[n], np.int32), np.empty(indptr[n], np.float32)
    for i in range(columns.shape[0]):
        for at in range(columns.shape[1]):
            if weights[i, at] > 0.0:
                slot = free[columns[i, at]]
                sources[slot], strengths[slot] = i, weights[i, at]
                free[columns[i, at]] = slot + 1
    return indptr, sources, strengths


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _union_sizes(
    columns: IndexArray, weights: FloatArray, back_indptr: NDArray[np.int64], back_columns: IndexArray
) -> NDArray[np.int64]:
    """Return the number of columns with a weight in each row of the union; the row itself has no weight."""
    n, k = columns.shape
    sizes = np.zeros(n, np.int64)
    for i in prange(n):
        at, back, end, size = 0, back_indptr[i], back_indptr[i + 1], 0
        while at < k or back < end:
            own = columns[i, at] if at < k else n
            other = back_columns[back] if back < end else n
            column = min(own, other)
            weighty = other == column
            if own == column:
                weighty |= weights[i, at] > 0.0
                at += 1
            back += other == column
            size += weighty
        sizes[i] = size
    return sizes


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _union(
    columns: IndexArray,
    weights: FloatArray,
    back_indptr: NDArray[np.int64],
    back_columns: IndexArray,
    back_weights: FloatArray,
    indptr: NDArray[np.int64],
) -> tuple[IndexArray, FloatArray]:
    """Return columns and weights `p + q - p q` of the union; the formula is symmetric in p and q."""
    n, k = columns.shape
    joined, values = np.empty(indptr[n], np.int32), np.empty(indptr[n], np.float32)
    for i in prange(n):
        at, back, end, slot = 0, back_indptr[i], back_indptr[i + 1], indptr[i]
        while at < k or back < end:
            own = columns[i, at] if at < k else n
            other = back_columns[back] if back < end else n
            column = min(own, other)
            p = q = np.float32(0.0)
            if own == column:
                p = weights[i, at]
                at += 1
            if other == column:
                q = back_weights[back]
                back += 1
            if p > 0.0 or q > 0.0:
                joined[slot] = column
                values[slot] = (p + q) - p * q
                slot += 1
    return joined, values
