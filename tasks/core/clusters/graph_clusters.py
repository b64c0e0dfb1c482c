"""Graph clusters: directions (n, dim) and their neighbour graph (n, k) -> labels, and how stable they are.

Dense parts of the graph are the cores of the topics: few documents, and nearly the same ones whatever is added or
removed. Every other document belongs to the core whose centre is nearest, or is an outlier because it is far from all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.clustering import Clustering, FloatArray, LabelArray, number_by_size
from topicflow.tasks.core.clusters.graph_density import (
    IndexArray,
    LongArray,
    core_distances,
    reachability,
    spanning_tree_of,
)
from topicflow.tasks.core.clusters.hierarchy import flat_clusters

FARTHEST = 1.0
"""Sparseness above which a document is an outlier, in quartile ranges beyond the median of all documents. 1.5 leaves
fewer outliers, and the same documents have the same topic less often (tests/benchmarks/README.md)."""

CORE_SHARE = 0.99
"""Share of the documents in cores that are never outliers: on a corpus of clear topics most documents are in cores."""

N_REPLICATES = 8
DROPPED = 0.1
"""Stability is the agreement with this many fits, each without this share of the documents."""

BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class Density:
    """What decides about cores.

    Attributes
    ----------
    min_cluster_size : int
        Points of the smallest topic. A core has half as many.
    min_samples : int
        Neighbours that make a point dense.
    selection : str
        `eom` or `leaf`, as in `flat_clusters`.
    max_share : float
        As in `flat_clusters`.
    """

    min_cluster_size: int
    min_samples: int
    selection: str
    max_share: float

    def of_share(self, share: float) -> Density:
        """Return the same for a share of the points."""
        least, samples = (max(2, round(share * each)) for each in (self.min_cluster_size, self.min_samples))
        return Density(least, samples, self.selection, self.max_share)


@dataclass(frozen=True)
class Graph:
    """A neighbour graph (n, k) int32, the mutual reachability of its edges (n, k) and their order."""

    indices: IndexArray
    lengths: FloatArray
    order: LongArray


@dataclass(frozen=True)
class Surroundings:
    """Label and nearest core (n,) of each point, its distance beyond the limit (n,), and centres (n_cores, dim)."""

    labels: LabelArray
    nearest: LabelArray
    beyond: FloatArray
    centres: FloatArray


def graph_clusters(
    points: FloatArray,
    indices: IndexArray,
    distances: FloatArray,
    density: Density,
    n_replicates: int = N_REPLICATES,
    n_threads: int | None = None,
) -> Clustering:
    """Return the clusters of points, numbered by decreasing size, with the stability of each point.

    Parameters
    ----------
    points : ndarray of shape (n, dim), float32
        Unit vectors; two or more.
    indices, distances : ndarray of shape (n, k), int32 and float32
        Nearest neighbours of each point, itself first, and Euclidean distances.
    density : Density
        What decides about cores.
    n_replicates : int
        Fits that measure the stability; none, and no stability, if 0.
    n_threads : int, optional
        Threads that measure the edges; default all cores.

    Returns
    -------
    Clustering
        The probability is the margin of the nearest centre before the second (a simplified silhouette); the outlier
        score is above .5 for points that are too far from all centres. The stability of a point is the share of
        `n_replicates` fits, each without a DROPPED share of the points, in which it is in the same topic, or in none.

    Notes
    -----
    Nothing is drawn at random but the points that the replicates leave out, by their order: equal points in an equal
    order have the same clusters, bit for bit, on any number of threads.
    O(n k log(n k) + n n_topics dim) time for each of the 1 + n_replicates fits.
    """
    graph = Graph(indices, *reachability(indices, distances, density.min_samples, n_threads))
    sparse = core_distances(distances, density.min_cluster_size)
    cores = _cores(graph, np.ones(len(points), bool), density)
    found = _surroundings(points, sparse, cores, density.min_cluster_size)
    labels = number_by_size(found.labels)
    return Clustering(
        labels,
        np.where(labels >= 0, _margins(points, found), 0.0).astype(np.float32),
        (1.0 / (1.0 + np.exp(-np.clip(found.beyond, -50.0, 50.0)))).astype(np.float32),
        _stability(points, graph, density, sparse, labels, n_replicates) if n_replicates else None,
    )


def _cores(graph: Graph, kept: NDArray[np.bool_], density: Density) -> LabelArray:
    """Return the core (n,) int32 of each point, -1 of most, as if there were only the `kept` points."""
    tree = spanning_tree_of(graph.indices, graph.lengths, graph.order, kept)
    least = max(2, density.min_cluster_size // 2)
    cores = np.full(len(kept), -1, np.int32)
    cores[kept] = flat_clusters(tree, least, density.selection, 0.0, density.max_share)[0]
    return cores


def _surroundings(points: FloatArray, sparse: FloatArray, cores: LabelArray, least: int) -> Surroundings:
    """Return what becomes of all points around the cores; topics of fewer than `least` points are dissolved."""
    centres = _centres(points, cores)
    lasts = np.ones(len(centres), bool)
    nearest, own = _nearest_centres(points, centres, cores)
    while lasts.any():
        beyond = _beyond(sparse, own, cores >= 0)
        labels = np.where(beyond <= 0.0, nearest, -1).astype(np.int32)
        small = lasts & (np.bincount(labels[labels >= 0], minlength=len(centres)) < least)
        if not small.any():
            number = np.append(np.cumsum(lasts) - 1, -1).astype(np.int32)
            return Surroundings(number[labels], number[nearest], beyond, centres[lasts])
        lasts &= ~small
        cores = np.where((cores >= 0) & small[cores], -1, cores).astype(np.int32)
        if lasts.any():
            moved = np.flatnonzero(small[nearest])
            to_one, to_it = _nearest_centres(points[moved], centres[lasts], np.full(len(moved), -1))
            nearest[moved], own[moved] = np.flatnonzero(lasts)[to_one], to_it
    none = np.full(len(points), -1, np.int32)
    return Surroundings(none, none, np.ones(len(points), np.float32), centres[:0])


def _centres(points: FloatArray, cores: LabelArray) -> FloatArray:
    """Return the unit vector (n_cores, dim) float32 of each core's mean, summed in the order of the points."""
    n_cores, rows = int(cores.max(initial=-1)) + 1, np.flatnonzero(cores >= 0)
    if n_cores == 0:
        return np.empty((0, points.shape[1]), np.float32)
    rows = rows[np.argsort(cores[rows], kind="stable")]
    sums = np.add.reduceat(
        points[rows].astype(np.float64), np.searchsorted(cores[rows], np.arange(n_cores)), axis=0
    )
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(lengths > 0.0, lengths, 1.0)).astype(np.float32)


def _nearest_centres(
    points: FloatArray, centres: FloatArray, cores: LabelArray
) -> tuple[LabelArray, FloatArray]:
    """Return each point's centre (n,), that of its own core or else the nearest, and the cosine to it (n,)."""
    nearest, own = np.zeros(len(points), np.int32), np.zeros(len(points), np.float32)
    for start in range(0, len(points) if len(centres) else 0, BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        cosines = points[part] @ centres.T
        nearest[part] = np.where(cores[part] >= 0, cores[part], cosines.argmax(axis=1))
        own[part] = cosines[np.arange(len(cosines)), nearest[part]]
    return nearest, own


def _margins(points: FloatArray, found: Surroundings) -> FloatArray:
    """Return the margin (n,) of each point's centre before the nearest other one, by cosine distances, in [0, 1]."""
    margins = np.ones(len(points), np.float32)
    for start in range(0, len(points) if len(found.centres) > 1 else 0, BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        distances = 1.0 - points[part] @ found.centres.T
        rows, nearest = np.arange(len(distances)), found.nearest[part]
        own = distances[rows, nearest]
        distances[rows, nearest] = np.inf
        margins[part] = 1.0 - own / np.maximum(distances.min(axis=1), 1e-6)
    return np.clip(margins, 0.0, 1.0)


def _beyond(sparse: FloatArray, own: FloatArray, is_core: NDArray[np.bool_]) -> FloatArray:
    """Return by how much (n,) each point is sparser and farther from its centre than the limit; negative within it."""
    total = _in_ranges(sparse) - _in_ranges(own)
    return (total - max(FARTHEST, float(np.quantile(total[is_core], CORE_SHARE)))).astype(np.float32)


def _in_ranges(values: FloatArray) -> NDArray[np.float64]:
    """Return the distance (n,) of each value from the median, in quartile ranges."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return np.asarray((values - middle) / max(high - low, 1e-6))


# --- stability ---


def _stability(
    points: FloatArray,
    graph: Graph,
    density: Density,
    sparse: FloatArray,
    labels: LabelArray,
    n_replicates: int,
) -> FloatArray:
    """Return the share (n,) of the replicates in which each point is in the same topic, or in none, as in `labels`."""
    agreed = np.zeros(len(points), np.int64)
    fewer = density.of_share(1.0 - DROPPED)
    for replicate in range(n_replicates):
        kept = np.random.default_rng(replicate).random(len(points)) >= DROPPED
        cores = _cores(graph, kept, fewer) if kept.sum() > 1 else labels
        found = _surroundings(points, sparse, cores, fewer.min_cluster_size)
        agreed += _as_named_in(labels, found.labels) == labels
    return (agreed / n_replicates).astype(np.float32)


def _as_named_in(labels: LabelArray, found: LabelArray) -> LabelArray:
    """Return `found` (n,) by the numbers of the topics in `labels` that share most with it; -2 if there is none."""
    both = (labels >= 0) & (found >= 0)
    names = np.full(int(found.max(initial=-1)) + 2, -2, np.int32)
    names[-1] = -1
    if both.any():
        width = int(labels.max()) + 1
        pairs, shared = np.unique(found[both].astype(np.int64) * width + labels[both], return_counts=True)
        one, other = pairs // width, pairs % width
        sizes = np.bincount(found[found >= 0])[one] + np.bincount(labels[labels >= 0])[other]
        is_free = np.ones(width, bool)
        for at in np.argsort(-(shared / (sizes - shared)), kind="stable"):
            if names[one[at]] == -2 and is_free[other[at]]:
                names[one[at]], is_free[other[at]] = other[at], False
    return names[found]
