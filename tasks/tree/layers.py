"""Layers: the merges of topics and the number of groups of each layer -> the nodes of a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.clusters.linkage import Dendrogram

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Nodes:
    """The nodes of a tree: first the topics by number, then the groups, those of the highest layer first.

    Attributes
    ----------
    members : csr_matrix of shape (n_nodes, n_topics), int64
        1 for each topic of a node.
    parents : ndarray of shape (n_nodes,), int64
        The node above each node; -1 for the root.
    layers : ndarray of shape (n_nodes,), int64
        0 for topics. A group is in the lowest layer that has it.
    distances : ndarray of shape (n_nodes,), float64
        Mean cosine distance of the two parts that merged last; NaN for topics.
    """

    members: csr_matrix
    parents: Indices
    layers: Indices
    distances: NDArray[np.float64]

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return int(self.members.shape[1])


def tree_nodes(dendrogram: Dendrogram, counts: Sequence[int], sizes: NDArray[np.integer]) -> Nodes:
    """Return the nodes of a tree whose layers above the topics have `counts` groups, and a root above them.

    Parameters
    ----------
    dendrogram : Dendrogram
        The merges of one or more topics.
    counts : sequence of int
        Number of groups of each layer, the finest layer first.
    sizes : ndarray of shape (n_topics,), integer
        Documents of each topic: groups of a layer are ordered by them.

    Notes
    -----
    A group that is the same in two layers is one node: a topic that is unlike all others hangs below a high layer.
    """
    n = dendrogram.n_topics
    levels = [dendrogram.roots(k) for k in (n, *counts, 1)]
    layer_of: dict[int, int] = {}
    parent_of: dict[int, int] = {}
    for layer, roots in enumerate(levels):
        below = levels[max(layer - 1, 0)]
        for child, node in dict.fromkeys(zip(below.tolist(), roots.tolist(), strict=True)):
            layer_of.setdefault(node, layer)
            if child != node:
                parent_of[child] = node
    covered = {node: np.flatnonzero(roots == node) for roots in levels for node in np.unique(roots).tolist()}
    groups = [node for node in layer_of if node >= n]
    groups.sort(key=lambda node: (-layer_of[node], -int(sizes[covered[node]].sum()), covered[node][0]))
    order = [*range(n), *groups]
    place = {node: at for at, node in enumerate(order)} | {-1: -1}
    columns = np.concatenate([covered[node] for node in order])
    ranges = np.cumsum([0, *(len(covered[node]) for node in order)])
    members = csr_matrix((np.ones(len(columns), np.int64), columns, ranges), shape=(len(order), n))
    lengths = np.concatenate([np.full(n, np.nan), dendrogram.distances])
    return Nodes(
        members,
        np.array([place[parent_of.get(node, -1)] for node in order], np.int64),
        np.array([layer_of[node] for node in order], np.int64),
        lengths[order],
    )


def nearest_layer(n_topics: int, counts: Sequence[int], about: int) -> tuple[int, int]:
    """Return the layer whose number of groups is nearest to `about` by ratio, and that number; 0 are the topics."""
    found = [n_topics, *counts]
    layer = int(np.argmin([abs(np.log(each / about)) for each in found]))
    return layer, found[layer]
