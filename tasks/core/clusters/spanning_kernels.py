"""Kernels of the spanning tree: loops over points that numba compiles once and caches on disk.

Functions import this module when they run. Each kernel runs on one thread without the interpreter's lock and writes
only to the rows of its caller. Distances are squared; points and nodes are those of
`tasks.core.clusters.spanning.Tree`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]
LongArray = NDArray[np.int64]
FlagArray = NDArray[np.bool_]

DEPTH = 128
"""Maximum number of waiting nodes: two for each level of a tree of 2^60 points."""


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _to_box(x: FloatArray, lower: FloatArray, upper: FloatArray, node: int) -> np.float32:
    """Return the squared distance of a point (dim,) to a node's box."""
    total = np.float32(0.0)
    for d in range(x.shape[0]):
        gap = max(lower[node, d] - x[d], x[d] - upper[node, d], np.float32(0.0))
        total += gap * gap
    return total


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _to_leaf(x: FloatArray, points: FloatArray, start: int, stop: int, distances: FloatArray) -> None:
    """Write the squared distances of a point (dim,) to the points of a leaf; symmetric, as differences come first."""
    for j in range(stop - start):
        distances[j] = np.float32(0.0)
    for d in range(x.shape[0]):
        at = x[d]
        row = points[d]
        for j in range(stop - start):
            gap = at - row[start + j]
            distances[j] += gap * gap


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def nearest_points(  # noqa: C901, PLR0912 - one walk down the tree and one insertion, on the same arrays
    first: int,
    last: int,
    k: int,
    points: FloatArray,
    starts: LongArray,
    stops: LongArray,
    is_leaf: FlagArray,
    lower: FloatArray,
    upper: FloatArray,
    core: FloatArray,
    neighbors: IndexArray,
    distances: FloatArray,
) -> None:
    """Write the `k`-th nearest distance of the points first..last, and the nearest points that fit in `neighbors`."""
    dim = points.shape[0]
    kept = neighbors.shape[1]
    x = np.empty(dim, np.float32)
    best, ids = np.empty(k, np.float32), np.empty(k, np.int32)
    longest = 0
    for node in range(starts.shape[0]):
        longest = max(longest, stops[node] - starts[node])
    to_leaf = np.empty(longest, np.float32)
    waiting, waits = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.float32)
    for i in range(first, last):
        for d in range(dim):
            x[d] = points[d, i]
        for j in range(k):
            best[j], ids[j] = np.inf, -1
        bar = best[k - 1]
        waiting[0], waits[0], n_waiting = 0, 0.0, 1
        while n_waiting > 0:
            n_waiting -= 1
            node, to_node = waiting[n_waiting], waits[n_waiting]
            if to_node >= bar:
                continue
            while not is_leaf[node]:
                near, far = 2 * node + 1, 2 * node + 2
                to_near, to_far = _to_box(x, lower, upper, near), _to_box(x, lower, upper, far)
                if to_far < to_near or (to_far == to_near and starts[far] <= i < stops[far]):
                    near, far, to_near, to_far = far, near, to_far, to_near
                if to_far < bar:
                    waiting[n_waiting], waits[n_waiting] = far, to_far
                    n_waiting += 1
                node, to_node = near, to_near
                if to_node >= bar:
                    break
            if to_node >= bar:
                continue
            start, stop = starts[node], stops[node]
            _to_leaf(x, points, start, stop, to_leaf)
            for j in range(stop - start):
                if to_leaf[j] < bar and start + j != i:
                    at = k - 1
                    while at > 0 and best[at - 1] > to_leaf[j]:
                        best[at] = best[at - 1]
                        ids[at] = ids[at - 1]
                        at -= 1
                    best[at] = to_leaf[j]
                    ids[at] = start + j
                    bar = best[k - 1]
        core[i] = best[k - 1]
        for j in range(kept):
            neighbors[i, j] = ids[j]
            distances[i, j] = best[j]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def settle_edges(
    first: int,
    last: int,
    neighbors: IndexArray,
    distances: FloatArray,
    core: FloatArray,
    component: IndexArray,
    found: IndexArray,
    weights: FloatArray,
    low: FloatArray,
) -> None:
    """Write the lightest known edge of the points first..last to another component: `found` (-1 = none), `weights`.

    No edge of a point to another component is lighter than `low`, so an edge of that weight is the lightest. An edge
    found earlier stays as long as it leads to another component.
    """
    for i in range(first, last):
        own = component[i]
        if found[i] >= 0 and component[found[i]] != own:
            continue
        found[i] = -1
        weights[i] = np.inf
        for j in range(neighbors.shape[1]):
            other = neighbors[i, j]
            if component[other] != own:
                weight = max(distances[i, j], core[i], core[other])
                if weight < weights[i]:
                    weights[i] = weight
                    found[i] = other
                    if weight <= low[i]:
                        break


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def node_components(
    starts: LongArray, stops: LongArray, is_leaf: FlagArray, component: IndexArray, of_node: IndexArray
) -> None:
    """Write the component of each node if all its points are in one component, otherwise -1."""
    for node in range(starts.shape[0] - 1, -1, -1):
        if is_leaf[node]:
            own = component[starts[node]]
            for at in range(starts[node] + 1, stops[node]):
                if component[at] != own:
                    own = -1
                    break
        else:
            own = of_node[2 * node + 1]
            if of_node[2 * node + 2] != own:
                own = -1
        of_node[node] = own


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def component_bounds(component: IndexArray, weights: FloatArray, bounds: FloatArray) -> None:
    """Lower the bounds (n_components,) to the lightest known edge of each component."""
    for i in range(component.shape[0]):
        bounds[component[i]] = min(bounds[component[i]], weights[i])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def nearest_edges(  # noqa: C901 - one walk down the tree
    first: int,
    last: int,
    points: FloatArray,
    starts: LongArray,
    stops: LongArray,
    is_leaf: FlagArray,
    lower: FloatArray,
    upper: FloatArray,
    core: FloatArray,
    component: IndexArray,
    found: IndexArray,
    weights: FloatArray,
    low: FloatArray,
    of_node: IndexArray,
    bounds: FloatArray,
) -> None:
    """Search the tree for the points first..last whose lightest edge is unknown and may be their component's lightest.

    A point's result limits the search of later points of its component in the same block; other blocks do not see it.
    """
    bounds = bounds.copy()
    dim = points.shape[0]
    x = np.empty(dim, np.float32)
    longest = 0
    for node in range(starts.shape[0]):
        longest = max(longest, stops[node] - starts[node])
    to_leaf = np.empty(longest, np.float32)
    waiting, waits = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.float32)
    for i in range(first, last):
        own = component[i]
        bar = min(weights[i], bounds[own])
        if low[i] >= bar:
            continue
        for d in range(dim):
            x[d] = points[d, i]
        waiting[0], waits[0], n_waiting = 0, 0.0, 1
        while n_waiting > 0 and bar > low[i]:
            n_waiting -= 1
            node, to_node = waiting[n_waiting], waits[n_waiting]
            while to_node < bar and of_node[node] != own and not is_leaf[node]:
                near, far = 2 * node + 1, 2 * node + 2
                to_near, to_far = _to_box(x, lower, upper, near), _to_box(x, lower, upper, far)
                if to_far < to_near:
                    near, far, to_near, to_far = far, near, to_far, to_near
                if to_far < bar and of_node[far] != own:
                    waiting[n_waiting], waits[n_waiting] = far, to_far
                    n_waiting += 1
                node, to_node = near, to_near
            if to_node >= bar or of_node[node] == own:
                continue
            start, stop = starts[node], stops[node]
            _to_leaf(x, points, start, stop, to_leaf)
            for j in range(stop - start):
                if to_leaf[j] < bar and component[start + j] != own:
                    weight = max(to_leaf[j], core[i], core[start + j])
                    if weight < bar:
                        bar = weight
                        weights[i] = weight
                        found[i] = start + j
        low[i] = max(low[i], bar)
        bounds[own] = min(bounds[own], bar)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def merge_components(
    component: IndexArray,
    n_components: int,
    found: IndexArray,
    weights: FloatArray,
    edges: NDArray[np.float64],
    n_edges: int,
) -> tuple[int, int]:
    """Merge each component along its lightest edge; return the new number of edges and of components.

    Of equally light edges the first point's counts. An edge that would close a cycle (of equal edges) is skipped.
    """
    lightest = np.full(n_components, -1, np.int64)
    for i in range(component.shape[0]):
        if found[i] >= 0 and (lightest[component[i]] < 0 or weights[i] < weights[lightest[component[i]]]):
            lightest[component[i]] = i
    root = np.arange(n_components)
    for own in range(n_components):
        i = lightest[own]
        one, other = root_of(root, own), root_of(root, component[found[i]])
        if one != other:
            root[max(one, other)] = min(one, other)
            edges[n_edges, 0], edges[n_edges, 1], edges[n_edges, 2] = i, found[i], weights[i]
            n_edges += 1
    number, n_numbers = np.full(n_components, -1, np.int32), 0
    for i in range(component.shape[0]):
        top = root_of(root, component[i])
        if number[top] < 0:
            number[top] = n_numbers
            n_numbers += 1
        component[i] = number[top]
    return n_edges, n_numbers


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def root_of(root: LongArray, node: int) -> int:
    """Return the root of a node's tree and halve the path to it."""
    while root[node] != node:
        root[node] = root[root[node]]
        node = root[node]
    return node
