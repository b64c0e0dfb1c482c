"""Hierarchy: a spanning tree (n - 1, 3) -> HDBSCAN's labels, membership and outlier scores of n points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Reals = NDArray[np.float64]

DENSEST = 1e100
"""Density (1 / distance) of points that coincide; finite, so that differences of densities are numbers."""

INSIDE = 0.05
"""Minimum excess of mass of the clusters inside an oversized cluster, as a share of its own, for them to replace it. On
14 corpora of 200 to 1,500 documents it was .13 or more; in a planted cluster without topics .025 or less
(tests/benchmarks/README.md)."""


class CondensedTree(NamedTuple):
    """Clusters of at least a minimum size. Each comes after its parent; the first contains all points.

    Attributes
    ----------
    parent : ndarray of shape (n_clusters,), int64
        The cluster that each one split off from; -1 for the first.
    birth : ndarray of shape (n_clusters,), float64
        Density (1 / distance) at which it split off.
    size : ndarray of shape (n_clusters,), int64
        Number of its points at that density.
    cluster : ndarray of shape (n,), int64
        The last cluster that each point belonged to.
    density : ndarray of shape (n,), float64
        Density at which the point left it.
    """

    parent: Indices
    birth: Reals
    size: Indices
    cluster: Indices
    density: Reals


def flat_clusters(
    tree: Reals, min_cluster_size: int, selection: str, epsilon: float, max_share: float = 1.0
) -> tuple[Indices, Reals, Reals]:
    """Return labels (n,), -1 for noise, membership strengths (n,) and outlier scores (n,), in [0, 1].

    Parameters
    ----------
    tree : ndarray of shape (n - 1, 3), float64
        Edges of a spanning tree: two rows and their mutual reachability distance.
    min_cluster_size : int
        Points of the smallest cluster, two or more.
    selection : str
        `eom` for the clusters with the largest excess of mass, or `leaf` for the smallest clusters. The cluster of all
        points is never selected.
    epsilon : float
        Clusters that split off at a smaller distance are merged with their neighbours.
    max_share : float
        `eom` replaces a cluster with more than this share of all points by the clusters inside it, if there are at
        least two and their excess of mass is at least INSIDE of its own; 1 for plain excess of mass.

    Notes
    -----
    Plain excess of mass often selects two halves of all points, one of them tiny: a large cluster that is far from the
    rest has a large excess of mass, however many clusters it contains.
    O(n log n) time for sorting the edges, O(n) for the rest; 100 bytes for each point.

    References
    ----------
    Campello, Moulavi, Zimek, Sander: Hierarchical density estimates for data clustering, visualization, and outlier
    detection (TKDD 2015), sections 3 to 5 (clusters, GLOSH) and 7; Malzer, Baum: A hybrid approach to hierarchical
    density-based cluster selection (2020), for epsilon. With `max_share` 1 the results are those of hdbscan 0.8.44,
    except where distances tie.
    """
    condensed = _condensed_tree(*merges_of(tree), min_cluster_size)
    n_clusters = len(condensed.parent)
    chosen = np.zeros(n_clusters, np.bool_)
    if selection == "eom":
        _choose_lasting(
            condensed,
            int(max_share * condensed.size[0]),
            *np.zeros((2, n_clusters)),
            np.zeros(n_clusters, np.int64),
            chosen,
        )
        chosen = _topmost(condensed, chosen)
    else:
        _choose_leaves(condensed, chosen)
    if epsilon > 0.0:
        joined = np.zeros(n_clusters, np.bool_)
        _join(condensed, chosen, epsilon, joined)
        chosen = _topmost(condensed, joined)
    nearest = np.zeros(n_clusters, np.int64)
    _find_nearest(condensed, chosen, nearest)
    chosen_of = nearest[condensed.cluster]
    labels = np.where(chosen, np.cumsum(chosen) - 1, -1)[chosen_of]
    own, below = condensed.birth.copy(), np.empty(n_clusters)
    _find_deaths(condensed, own, below)
    ends = own[chosen_of]
    strengths = np.where(labels >= 0, _share(np.minimum(condensed.density, ends), ends), 0.0)
    densest = below[condensed.cluster]
    return labels, strengths, _share(densest - condensed.density, densest)


def merges_of(tree: Reals) -> tuple[Indices, Indices, Reals]:
    """Return the merges (n - 1, 2) of a spanning tree, shortest edge first, node sizes (2 n - 1,), lengths (n - 1,)."""
    edges = tree[np.lexsort((tree[:, 1], tree[:, 0], tree[:, 2]))]
    n = len(edges) + 1
    merges, sizes = np.empty((n - 1, 2), np.int64), np.ones(2 * n - 1, np.int64)
    _merge(
        edges[:, 0].astype(np.int64),
        edges[:, 1].astype(np.int64),
        *np.tile(np.arange(n), (2, 1)),
        merges,
        sizes,
    )
    return merges, sizes, np.ascontiguousarray(edges[:, 2])


def _condensed_tree(merges: Indices, sizes: Indices, distances: Reals, min_size: int) -> CondensedTree:
    """Return the hierarchy without clusters smaller than `min_size`: their points leave the parent cluster."""
    n = len(merges) + 1
    most = 2 * (n // min_size) + 1
    parent, size, birth = np.full(most, -1, np.int64), np.zeros(most, np.int64), np.zeros(most)
    cluster, density = np.zeros(2 * n - 1, np.int64), np.full(2 * n - 1, -1.0)
    tree = CondensedTree(parent, birth, size, cluster, density)
    n_clusters = _condense(merges, sizes, distances, min_size, tree)
    parent, birth, size = parent[:n_clusters], birth[:n_clusters], size[:n_clusters]
    return CondensedTree(parent, birth, size, cluster[:n].copy(), density[:n].copy())


def _topmost(tree: CondensedTree, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the selection (n_clusters,) without clusters inside a selected cluster."""
    covered = np.zeros(len(chosen), np.bool_)
    _cover(tree, chosen, covered)
    return chosen & ~covered


def _share(part: Reals, whole: Reals) -> Reals:
    """Return part / whole (n,); 0 if the whole is 0, as for points at an infinite distance from all others."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _merge(
    left: Indices, right: Indices, above: Indices, node: Indices, merges: Indices, sizes: Indices
) -> None:
    """Write the two nodes (n - 1, 2) that each edge joins, shortest edge first, and the size (2 n - 1,) of each node.

    Node i < n is a point; node n + k is the result of the k-th edge. Before, `above` and `node` (n,) are the numbers of
    the points, and all sizes are 1.
    """
    n = len(left) + 1
    for k in range(n - 1):
        a, b = left[k], right[k]
        while above[a] != a:
            above[a] = above[above[a]]
            a = above[a]
        while above[b] != b:
            above[b] = above[above[b]]
            b = above[b]
        merges[k, 0], merges[k, 1] = node[a], node[b]
        sizes[n + k] = sizes[node[a]] + sizes[node[b]]
        if sizes[node[a]] < sizes[node[b]]:
            a, b = b, a
        above[b] = a
        node[a] = n + k


@njit(cache=True)  # type: ignore[untyped-decorator]
def _condense(merges: Indices, sizes: Indices, distances: Reals, min_size: int, tree: CondensedTree) -> int:
    """Write the condensed tree, with the cluster and density of nodes after those of points; return its clusters."""
    n = len(merges) + 1
    parent, birth, size, cluster, density = tree
    size[0], n_clusters = n, 1
    for node in range(2 * n - 2, n - 1, -1):
        here = cluster[node]
        at = density[node]
        fell = at >= 0.0
        if not fell:
            distance = distances[node - n]
            at = min(DENSEST, 1.0 / distance) if distance > 0.0 else DENSEST
        splits = not fell and min(sizes[merges[node - n, 0]], sizes[merges[node - n, 1]]) >= min_size
        for side in range(2):
            child = merges[node - n, side]
            cluster[child] = here
            if splits:
                cluster[child] = n_clusters
                parent[n_clusters], birth[n_clusters], size[n_clusters] = here, at, sizes[child]
                n_clusters += 1
            elif fell or sizes[child] < min_size:
                density[child] = at
    return n_clusters


@njit(cache=True)  # type: ignore[untyped-decorator]
def _choose_lasting(
    tree: CondensedTree, most: int, mass: Reals, inside: Reals, n_inside: Indices, chosen: NDArray[np.bool_]
) -> None:
    """Choose the clusters (n_clusters,) that have more excess of mass than the best clusters inside them.

    A cluster of more than `most` points is replaced by two or more inside it that have INSIDE of its excess of mass.
    The last four arguments are 0 before.
    """
    for point in range(len(tree.cluster)):
        mass[tree.cluster[point]] += tree.density[point] - tree.birth[tree.cluster[point]]
    for child in range(1, len(tree.parent)):
        parent = tree.parent[child]
        mass[parent] += (tree.birth[child] - tree.birth[parent]) * tree.size[child]
    for child in range(len(mass) - 1, 0, -1):
        parent = tree.parent[child]
        oversized = tree.size[child] > most and n_inside[child] > 1 and inside[child] >= INSIDE * mass[child]
        chosen[child] = inside[child] <= mass[child] and not oversized
        inside[parent] += mass[child] if chosen[child] else inside[child]
        n_inside[parent] += 1 if chosen[child] else n_inside[child]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _choose_leaves(tree: CondensedTree, chosen: NDArray[np.bool_]) -> None:
    """Choose the clusters (n_clusters,) that do not split."""
    for child in range(1, len(chosen)):
        chosen[child] = True
        chosen[tree.parent[child]] = False


@njit(cache=True)  # type: ignore[untyped-decorator]
def _join(tree: CondensedTree, chosen: NDArray[np.bool_], epsilon: float, joined: NDArray[np.bool_]) -> None:
    """Choose again (n_clusters,): for a cluster born nearer than epsilon the first one above it that is not."""
    for cluster in range(1, len(chosen)):
        if not chosen[cluster]:
            continue
        above = cluster
        while tree.parent[above] > 0 and tree.birth[above] * epsilon > 1.0:
            above = tree.parent[above]
        joined[above] = True


@njit(cache=True)  # type: ignore[untyped-decorator]
def _cover(tree: CondensedTree, chosen: NDArray[np.bool_], covered: NDArray[np.bool_]) -> None:
    """Mark the clusters (n_clusters,) inside a selected cluster."""
    for cluster in range(1, len(chosen)):
        parent = tree.parent[cluster]
        covered[cluster] = covered[parent] or chosen[parent]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _find_nearest(tree: CondensedTree, chosen: NDArray[np.bool_], nearest: Indices) -> None:
    """Write each cluster (n_clusters,) if selected, otherwise the selected cluster around it; 0 if there is none."""
    for cluster in range(1, len(chosen)):
        nearest[cluster] = cluster if chosen[cluster] else nearest[tree.parent[cluster]]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _find_deaths(tree: CondensedTree, own: Reals, below: Reals) -> None:
    """Write the density (n_clusters,) at which each cluster ends or splits, and the highest inside it.

    Before, `own` is the density at which it split off.
    """
    for point in range(len(tree.cluster)):
        own[tree.cluster[point]] = max(own[tree.cluster[point]], tree.density[point])
    for child in range(1, len(own)):
        own[tree.parent[child]] = max(own[tree.parent[child]], tree.birth[child])
    for cluster in range(len(own)):
        below[cluster] = own[cluster]
    for child in range(len(own) - 1, 0, -1):
        below[tree.parent[child]] = max(below[tree.parent[child]], below[child])
