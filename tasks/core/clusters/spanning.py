"""Spanning: points (n, dim) -> the minimum spanning tree (n - 1, 3) of their mutual reachability, on all cores.

Borůvka's rounds over a k-d tree. A round reads only what earlier rounds wrote, and the blocks of points do not depend
on the number of threads, so the result is the same, bit for bit, for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers, bound, threads

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]

LEAF_ROWS = 32
"""Maximum number of points in a leaf: their distances to one point fill two vectors of sixteen."""

BLOCK_ROWS = 4096
"""Points in a block: 100,000 points are 25 blocks, which the threads share."""

LISTED = 16
"""Nearest neighbours kept for each point: they give the edge of most points."""


@dataclass(frozen=True)
class Tree:
    """A k-d tree: points (dim, n) in the order of the tree, their row numbers, and the nodes as a binary heap.

    Node i contains the points starts[i] up to stops[i], within lower[i] and upper[i] (dim,). Unless it is a leaf, its
    children are 2i + 1 and 2i + 2.
    """

    points: FloatArray
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    is_leaf: NDArray[np.bool_]
    lower: FloatArray
    upper: FloatArray


def spanning_tree(points: FloatArray, min_samples: int, n_threads: int | None = None) -> NDArray[np.float64]:
    """Return the edges (n - 1, 3) of a minimum spanning tree: two rows and their mutual reachability distance.

    Parameters
    ----------
    points : ndarray of shape (n, dim), float32
        Finite values; at least two points.
    min_samples : int
        The core distance of a point is the distance to its min_samples-th nearest other point; less than n.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.

    Notes
    -----
    About O(n log n) time in few dimensions, O(n^2) in many. Many edges have the same length (most lengths are the core
    distance of a point), and any of them can be in the tree; only the points decide which.

    References
    ----------
    McInnes, Healy: Accelerated hierarchical density based clustering (ICDMW 2017), for rounds over a space tree;
    Campello, Moulavi, Sander: Density-based clustering based on hierarchical density estimates (PAKDD 2013).
    """
    from topicflow.tasks.core.clusters.spanning_kernels import (
        component_bounds,
        merge_components,
        nearest_edges,
        node_components,
        settle_edges,
    )

    tree = _tree(points)
    n = len(points)
    with threads(n_threads) as run:
        core, neighbors, distances = _nearest(tree, min_samples, run)
        component, n_components = np.arange(n, dtype=np.int32), n
        found, weights, low = np.full(n, -1, np.int32), np.full(n, np.inf, np.float32), core.copy()
        edges, n_edges = np.empty((n - 1, 3)), 0
        while n_components > 1:
            state = (core, component, found, weights, low)
            run(bound(settle_edges, neighbors, distances, *state), n, BLOCK_ROWS)
            bounds = np.full(n_components, np.inf, np.float32)
            component_bounds(component, weights, bounds)
            of_node = np.empty(len(tree.starts), np.int32)
            node_components(tree.starts, tree.stops, tree.is_leaf, component, of_node)
            run(bound(nearest_edges, *_fields(tree), *state, of_node, bounds), n, BLOCK_ROWS)
            n_edges, n_components = merge_components(component, n_components, found, weights, edges, n_edges)
    edges[:, :2] = tree.order[edges[:, :2].astype(np.int64)]
    edges[:, 2] = np.sqrt(edges[:, 2])
    return edges


def _tree(points: FloatArray) -> Tree:
    from sklearn.neighbors import KDTree

    _, order, nodes, bounds = KDTree(points, leaf_size=LEAF_ROWS).get_arrays()
    order = np.asarray(order)
    return Tree(
        np.ascontiguousarray(np.asarray(points)[order].T, np.float32),
        order,
        np.ascontiguousarray(nodes["idx_start"]),
        np.ascontiguousarray(nodes["idx_end"]),
        np.ascontiguousarray(nodes["is_leaf"]).astype(bool),
        np.asarray(bounds[0], np.float32),
        np.asarray(bounds[1], np.float32),
    )


def _fields(tree: Tree) -> tuple[NDArray[Any], ...]:
    return tree.points, tree.starts, tree.stops, tree.is_leaf, tree.lower, tree.upper


def _nearest(tree: Tree, k: int, run: Workers) -> tuple[FloatArray, IndexArray, FloatArray]:
    """Return each point's squared core distance (n,), and its `LISTED` nearest (n, kept) with squared distances."""
    from topicflow.tasks.core.clusters.spanning_kernels import nearest_points

    n = tree.points.shape[1]
    kept = min(k, LISTED)
    core = np.empty(n, np.float32)
    neighbors, distances = np.empty((n, kept), np.int32), np.empty((n, kept), np.float32)
    run(bound(nearest_points, k, *_fields(tree), core, neighbors, distances), n, BLOCK_ROWS)
    return core, neighbors, distances
