"""Linkage: mean vectors and sizes of topics -> the order in which similar topics merge, and persistent layers of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray

Indices = NDArray[np.int64]
Reals = NDArray[np.float64]

FEWEST = 3
"""The smallest number of groups in a layer below the root: two groups of all topics say little."""

FINEST, COARSEST = 1.5, 3.0
"""A layer has fewer groups than the layer below it by a factor between these two."""

TOLERANCE = 1.25
"""Maximum factor between a wished number of groups and the number that a layer has."""

DIGITS = 9
"""Digits of a distance: the last bits of a product may depend on the number of threads."""

CLOSEST = 0.01
"""Distances below this one are equal: ratios of tiny distances say nothing."""


@dataclass(frozen=True)
class Dendrogram:
    """The merges of n topics, the most similar groups first.

    Attributes
    ----------
    merges : ndarray of shape (n - 1, 2), int64
        The two nodes of each merge. Node i < n is a topic; node n + k is the result of merge k.
    distances : ndarray of shape (n - 1,), float64
        Mean cosine distance between the documents of both nodes, ascending.
    """

    merges: Indices
    distances: Reals

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return len(self.merges) + 1

    @property
    def parents(self) -> Indices:
        """The node (2 n - 1,) into which each node merges; -1 for the root."""
        parents = np.full(2 * len(self.merges) + 1, -1, np.int64)
        parents[self.merges.ravel()] = np.repeat(np.arange(len(self.merges)) + self.n_topics, 2)
        return parents

    def roots(self, n_groups: int) -> Indices:
        """Return the node (n,) of each topic's group if there are `n_groups` groups."""
        last = 2 * self.n_topics - 1 - n_groups
        parents = self.parents
        root = np.arange(len(parents))
        for node in range(last, -1, -1):
            if 0 <= parents[node] <= last:
                root[node] = root[parents[node]]
        return root[: self.n_topics]


def topic_means(points: FloatArray, labels: LabelArray, counts: NDArray[np.integer], n_topics: int) -> Reals:
    """Return the mean (n_topics, dim) float64 of each topic's points, each of which stands for `counts` documents.

    A topic without points has the mean 0.
    """
    rows = np.flatnonzero(labels >= 0)
    shape = (n_topics, len(labels))
    members = csr_matrix((counts[rows].astype(np.float64), (labels[rows], rows)), shape=shape)
    sizes = np.asarray(members.sum(axis=1))
    return np.asarray((members @ points.astype(np.float64)) / np.maximum(sizes, 1.0))


def average_linkage(means: Reals, sizes: NDArray[np.integer]) -> Dendrogram:
    """Return the merges of topics by the mean cosine distance of their documents, each document counted once.

    Parameters
    ----------
    means : ndarray of shape (n, dim), float64
        Mean of the unit vectors of each topic's documents; one or more topics. The product of two means is the mean
        cosine of all pairs of documents from both topics, without any pair being compared.
    sizes : ndarray of shape (n,), integer
        Documents of each topic.

    Notes
    -----
    O(n^2 + n dim) memory and O(n^2 dim) time, by chains of nearest neighbours: 5,000 topics take 200 MB.

    References
    ----------
    Müllner: Modern hierarchical, agglomerative clustering algorithms (arXiv:1109.2378), section 3.2.
    """
    distances = np.round(1.0 - means @ means.T, DIGITS)
    np.fill_diagonal(distances, np.inf)
    weights = np.maximum(sizes, 1).astype(np.float64)
    n = len(means)
    pairs, lengths = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    chain: list[int] = []
    alive = np.ones(n, bool)
    for step in range(n - 1):
        if not chain:
            chain.append(int(alive.argmax()))
        while True:
            nearest = int(distances[chain[-1]].argmin())
            if len(chain) > 1 and distances[chain[-1], chain[-2]] <= distances[chain[-1], nearest]:
                break
            chain.append(nearest)
        one, other = chain.pop(), chain.pop()
        pairs[step], lengths[step] = (one, other), distances[one, other]
        _join(distances, weights, one, other)
        alive[other] = False
    return _in_order(pairs, lengths)


def _join(distances: Reals, weights: Reals, one: int, other: int) -> None:
    """Put the weighted mean of two rows in the place of `one`, and take `other` out."""
    whole = weights[one] + weights[other]
    joined = (weights[one] * distances[one] + weights[other] * distances[other]) / whole
    joined[one] = np.inf
    distances[one], distances[:, one] = joined, joined
    distances[other], distances[:, other] = np.inf, np.inf
    weights[one] = whole


def _in_order(pairs: Indices, lengths: Reals) -> Dendrogram:
    """Return the merges in the order of their distances; a pair names one topic of each group."""
    n = len(pairs) + 1
    node, above = np.arange(n), np.arange(n)
    merges = np.empty_like(pairs)
    order = np.argsort(lengths, kind="stable")
    for step, (one, other) in enumerate(pairs[order].tolist()):
        first, second = _root(above, one), _root(above, other)
        merges[step] = sorted((node[first], node[second]))
        above[second] = first
        node[first] = n + step
    return Dendrogram(merges, np.clip(lengths[order], 0.0, None))


def _root(above: Indices, at: int) -> int:
    while above[at] != at:
        above[at] = above[above[at]]
        at = int(above[at])
    return at


def layer_counts(distances: Reals, about: int | None = None) -> list[int]:
    """Return the number of groups of each layer between the topics and the root, the finest layer first.

    Parameters
    ----------
    distances : ndarray of shape (n - 1,), float64
        Distances of the merges of n topics, ascending.
    about : int, optional
        One layer has about this many groups.

    Notes
    -----
    A number of groups persists from the merge that makes it to the merge that ends it. Of the numbers that are smaller
    than that of the layer below by a factor between FINEST and COARSEST, the one that persists longest is a layer: the
    ratio of the two distances is largest. So each layer is a choice among few, and a tree of n topics has about
    log n / log 2 layers.

    References
    ----------
    Bot, McInnes, Aerts: Persistent multiscale density-based clustering (2025), for layers that persist; here merges of
    topics persist over distances, because the merges of documents chain (tests/benchmarks/README.md).
    """
    n = len(distances) + 1
    if about is None or about >= n:
        return _counts_below(distances, n, FEWEST)
    wished = _longest(distances, math.ceil(about / TOLERANCE), math.floor(about * TOLERANCE))
    finer = _counts_below(distances, n, math.ceil(wished * FINEST))
    return [*finer, wished, *_counts_below(distances, wished, FEWEST)]


def _counts_below(distances: Reals, n_groups: int, fewest: int) -> list[int]:
    """Return the numbers of groups of the layers above a layer of `n_groups`, down to `fewest`."""
    found: list[int] = []
    while True:
        low, high = max(fewest, math.ceil(n_groups / COARSEST)), math.floor(n_groups / FINEST)
        if low > high:
            return found
        n_groups = _longest(distances, low, high)
        found.append(n_groups)


def _longest(distances: Reals, low: int, high: int) -> int:
    """Return the number of groups from `low` to `high` that persists longest; the larger one if equal."""
    n = len(distances) + 1
    counts = np.arange(min(high, n - 1), max(low, 2) - 1, -1)
    lengths = np.log(np.maximum(distances, CLOSEST))
    return int(counts[np.argmax(lengths[n - counts] - lengths[n - counts - 1])])
