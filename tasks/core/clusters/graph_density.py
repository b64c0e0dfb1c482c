"""Graph density: nearest neighbours (n, k) -> HDBSCAN's spanning tree (n - 1, 3) of the graph's own edges."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.spanning_kernels import root_of
from topicflow.tasks.core.vectors.blocks import bound, threads

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]
LongArray = NDArray[np.int64]

BLOCK_ROWS = 4096


def core_distances(distances: FloatArray, min_samples: int) -> FloatArray:
    """Return the distance (n,) float32 of each point to its min_samples-th other neighbour, or to its last one."""
    return np.ascontiguousarray(distances[:, min(min_samples, distances.shape[1] - 1)])


def reachability(
    indices: IndexArray, distances: FloatArray, min_samples: int, n_threads: int | None = None
) -> tuple[FloatArray, LongArray]:
    """Return the mutual reachability distance (n, k) float32 of the graph's edges, and their order, shortest first.

    Parameters
    ----------
    indices, distances : ndarray of shape (n, k)
        Nearest neighbours of each point, itself first, with distances; int32 and float32.
    min_samples : int
        The core distance of a point is the distance to this neighbour.
    n_threads : int, optional
        Threads; default all cores.

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
    lengths, is_first = np.empty(indices.shape, np.float32), np.zeros(indices.shape, np.bool_)
    core = core_distances(distances, min_samples)
    with threads(n_threads) as run:
        run(bound(_measure, indices, distances, core, lengths, is_first), len(indices), BLOCK_ROWS)
    edges = np.flatnonzero(is_first)
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
    edges = np.empty((int(number[-1]), 3))
    _kruskal(indices, lengths, order, kept, number, edges)
    return edges


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _measure(
    start: int,
    stop: int,
    indices: IndexArray,
    distances: FloatArray,
    core: FloatArray,
    lengths: FloatArray,
    is_first: NDArray[np.bool_],
) -> None:
    """Write the length of each edge (n, k) of the points start..stop, and whether it is the first entry of its edge.

    The length is the mutual reachability distance, infinite from a point to itself. An entry is the first of its edge
    if it does not lead to the row itself and the edge is not in the row of an earlier point. `is_first` is False
    before.
    """
    k = indices.shape[1]
    for i in range(start, stop):
        for j in range(k):
            other = indices[i, j]
            if other == i:
                lengths[i, j] = np.inf
                continue
            lengths[i, j] = max(distances[i, j], core[i], core[other])
            known = False
            if other < i:
                for back in range(k):
                    if indices[other, back] == i:
                        known = True
                        break
            is_first[i, j] = not known


@njit(cache=True)  # type: ignore[untyped-decorator]
def _kruskal(
    indices: IndexArray,
    lengths: FloatArray,
    order: LongArray,
    kept: NDArray[np.bool_],
    number: LongArray,
    edges: NDArray[np.float64],
) -> None:
    """Write the edges (n_kept - 1, 3) of the tree of the points that are `kept`."""
    k, n_kept, n_edges = indices.shape[1], len(edges) + 1, 0
    root = np.empty(n_kept, np.int64)
    for point in range(n_kept):
        root[point] = point
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
