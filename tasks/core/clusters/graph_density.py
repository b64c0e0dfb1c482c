"""Graph density: nearest neighbours (n, k) -> HDBSCAN's spanning tree (n - 1, 3) of the graph's own edges."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.spanning_kernels import root_of

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]
LongArray = NDArray[np.int64]


def core_distances(distances: FloatArray, min_samples: int) -> FloatArray:
    """Return the distance (n,) float32 of each point to its min_samples-th other neighbour, or to its last one."""
    return np.ascontiguousarray(distances[:, min(min_samples, distances.shape[1] - 1)])


def reachability(
    indices: IndexArray, distances: FloatArray, min_samples: int
) -> tuple[FloatArray, LongArray]:
    """Return the mutual reachability distance (n, k) float32 of the graph's edges, and their order, shortest first.

    Parameters
    ----------
    indices, distances : ndarray of shape (n, k)
        Nearest neighbours of each point, itself first, with distances; int32 and float32.
    min_samples : int
        The core distance of a point is the distance to this neighbour.

    Returns
    -------
    lengths : ndarray of shape (n, k), float32
        Infinite from a point to itself.
    order : ndarray, int64
        Positions in the flat `lengths` of each edge once, without those from a point to itself; ties by position.

    References
    ----------
    Campello, Moulavi, Sander: Density-based clustering based on hierarchical density estimates (PAKDD 2013).
    """
    lengths = _reachability(indices, distances, core_distances(distances, min_samples))
    edges = np.flatnonzero(_is_first(indices))
    return lengths, edges[np.argsort(lengths.ravel()[edges], kind="stable")]


def spanning_tree_of(
    indices: IndexArray, lengths: FloatArray, order: LongArray, kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the edges (n_kept - 1, 3) of a minimum spanning tree of the `kept` points: two of them and the distance.

    Parameters
    ----------
    indices : ndarray of shape (n, k), int32
    lengths, order
        The result of `reachability`.
    kept : ndarray of shape (n,), bool
        The points of the tree, two or more; they are numbered without the others.

    Notes
    -----
    Only edges of the neighbour graph are compared: O(n k) time in any number of dimensions, besides sorting once. Parts
    of the graph without an edge between them are joined at an infinite distance.
    """
    number = np.cumsum(kept) - 1
    tree: NDArray[np.float64] = _kruskal(indices, lengths, order, kept, number, int(number[-1]) + 1)
    return tree


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _is_first(indices: IndexArray) -> NDArray[np.bool_]:
    """Return which entries (n, k) are the first of their edge: not to the row itself, nor again from the other end."""
    n, k = indices.shape
    first = np.zeros((n, k), np.bool_)
    for i in prange(n):
        for j in range(k):
            other = indices[i, j]
            if other > i:
                first[i, j] = True
            elif other < i:
                first[i, j] = True
                for back in range(k):
                    if indices[other, back] == i:
                        first[i, j] = False
                        break
    return first


@njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _reachability(indices: IndexArray, distances: FloatArray, core: FloatArray) -> FloatArray:
    """Return the mutual reachability distance (n, k) of each edge; infinite from a point to itself."""
    n, k = indices.shape
    lengths = np.empty((n, k), np.float32)
    for i in prange(n):
        for j in range(k):
            other = indices[i, j]
            lengths[i, j] = max(distances[i, j], core[i], core[other]) if other != i else np.inf
    return lengths


@njit(cache=True)  # type: ignore[untyped-decorator]
def _kruskal(
    indices: IndexArray,
    lengths: FloatArray,
    order: LongArray,
    kept: NDArray[np.bool_],
    number: LongArray,
    n_kept: int,
) -> NDArray[np.float64]:
    k = indices.shape[1]
    root, edges, n_edges = np.arange(n_kept), np.empty((n_kept - 1, 3)), 0
    for at in order:
        row, column = at // k, indices[at // k, at % k]
        if not kept[row] or not kept[column]:
            continue
        one, other = root_of(root, number[row]), root_of(root, number[column])
        if one != other:
            root[max(one, other)] = min(one, other)
            edges[n_edges, 0], edges[n_edges, 1] = number[row], number[column]
            edges[n_edges, 2] = lengths[row, at % k]
            n_edges += 1
            if n_edges == n_kept - 1:
                break
    for point in range(1, n_kept):
        other = root_of(root, point)
        if other != 0:
            root[other] = 0
            edges[n_edges, 0], edges[n_edges, 1], edges[n_edges, 2] = 0, point, np.inf
            n_edges += 1
    return edges
