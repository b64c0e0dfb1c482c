"""Density fits: points (n, dim) and a section `cluster` -> clusters for any smallest topic, from one search."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.cluster import MOST_SAMPLES, GraphCluster, HdbscanCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.clustering import (
    Clustering,
    hdbscan_clusters,
    parallel_hdbscan_clusters,
)
from topicflow.tasks.core.clusters.graph_clusters import Density, graph_clusters
from topicflow.tasks.core.clusters.graph_density import reachability, spanning_tree_of
from topicflow.tasks.core.clusters.spanning import spanning_tree
from topicflow.tasks.topics.neighbors import DESCENT_SEED, find_neighbors

FloatArray = NDArray[np.float32]

REFERENCE_UP_TO = 10_000
"""Maximum number of points for which `auto` takes the hdbscan package. Ours is faster from the second run on a machine,
but the first run compiles for eight seconds, too long for a first look at a small corpus."""

GRAPH_NEIGHBORS = 30
"""Neighbours of the graph in which topics are found: below it the graph falls apart, above it little changes."""


class DensityFit(Protocol):
    """The clusters of the same points for any smallest topic."""

    core_share: float
    """Size of the smallest part that the hierarchy keeps, as a share of the smallest topic."""

    def tree(self, min_samples: int) -> NDArray[np.float64]:
        """Return the spanning tree (n - 1, 3) by which sizes are compared."""

    def clusters(self, size: int) -> Clustering:
        """Return the clusters for a smallest topic of `size` documents, as if the config had this number."""

    def estimated(self, size: int, n_replicates: int) -> Clustering:
        """Return nearly the same in less time, with the stability over `n_replicates` fits if there can be one."""

    def widen(self, size: int) -> bool:
        """Make the estimates for sizes up to `size` better; return whether they were not as good as they can be."""


class GraphFit:
    """Clusters of unit vectors (n, dim) in the graph of their own neighbours."""

    core_share = 0.5

    def __init__(self, points: FloatArray, config: GraphCluster, runtime: RuntimeConfig) -> None:
        self._points, self._config, self._runtime = points, config, runtime
        self._graphs: dict[int, tuple[NDArray[np.int32], FloatArray]] = {}

    def tree(self, min_samples: int) -> NDArray[np.float64]:
        """Return the spanning tree of the graph's own edges."""
        indices, distances = self._graph(min_samples)
        edges = reachability(indices, distances, min_samples, self._runtime.n_threads)
        return spanning_tree_of(indices, *edges, np.ones(len(self._points), bool))

    def clusters(self, size: int) -> Clustering:
        """Return the clusters in the graph that a config with this number searches."""
        min_samples = self._samples(size)
        graph, density = self._graph(min_samples), self._density(size, min_samples)
        return graph_clusters(self._points, *graph, density, n_threads=self._runtime.n_threads)

    def estimated(self, size: int, n_replicates: int) -> Clustering:
        """Return the clusters in the widest graph that is known, with fewer neighbours if it has not enough."""
        indices, distances = self._graphs[max(self._graphs)] if self._graphs else self._graph(1)
        min_samples = min(self._samples(size), max(GRAPH_NEIGHBORS, indices.shape[1] - 1), len(indices) - 1)
        width = max(GRAPH_NEIGHBORS, min_samples) + 1
        near, far = np.ascontiguousarray(indices[:, :width]), np.ascontiguousarray(distances[:, :width])
        density = self._density(size, min_samples)
        return graph_clusters(self._points, near, far, density, n_replicates, self._runtime.n_threads)

    def widen(self, size: int) -> bool:
        """Search the graph for `size`; return whether it has more neighbours than those before."""
        before = max(self._graphs, default=0)
        self._graph(self._samples(size))
        return max(self._graphs) > before

    def _samples(self, size: int) -> int:
        half = -(-size // 2)
        return min(self._config.min_samples or half, MOST_SAMPLES, len(self._points) - 1)

    def _density(self, size: int, min_samples: int) -> Density:
        return Density(size, min_samples, self._config.selection, self._config.max_topic_share)

    def _graph(self, min_samples: int) -> tuple[NDArray[np.int32], FloatArray]:
        """Return indices and Euclidean distances (n, k) of the graph that a fit with `min_samples` searches."""
        width = min(max(GRAPH_NEIGHBORS, min_samples) + 1, len(self._points))
        if width not in self._graphs:
            nearest = NeighborsConfig(n_neighbors=max(GRAPH_NEIGHBORS, min_samples) + 1)
            graph = find_neighbors(self._points, nearest, DESCENT_SEED, self._runtime)
            distances = np.sqrt(np.maximum(2.0 * graph.distances, 0.0)).astype(np.float32)
            self._graphs[width] = (graph.indices, distances)
        return self._graphs[width]


class HdbscanFit:
    """Clusters of points (n, dim) by HDBSCAN."""

    core_share = 1.0

    def __init__(self, points: FloatArray, config: HdbscanCluster, runtime: RuntimeConfig) -> None:
        self._points, self._config, self._runtime = points, config, runtime

    def tree(self, min_samples: int) -> NDArray[np.float64]:
        """Return HDBSCAN's spanning tree."""
        return spanning_tree(self._points, min_samples, self._runtime.n_threads)

    def clusters(self, size: int) -> Clustering:
        """Return HDBSCAN's clusters."""
        config, n = self._config, len(self._points)
        implementation = config.implementation
        if implementation == "auto":
            implementation = "reference" if n <= REFERENCE_UP_TO else "fast"
        fitted = parallel_hdbscan_clusters if implementation == "fast" else hdbscan_clusters
        min_samples = min(config.min_samples or size, n - 1)
        settings = (size, min_samples, config.selection, config.epsilon, config.max_topic_share)
        return fitted(self._points, *settings, self._runtime.n_threads)

    def estimated(self, size: int, n_replicates: int) -> Clustering:  # noqa: ARG002  (HDBSCAN has no stability)
        """Return HDBSCAN's clusters, without stability."""
        return self.clusters(size)

    def widen(self, size: int) -> bool:  # noqa: ARG002  (estimates are exact)
        """Return False."""
        return False


def density_fit(
    points: FloatArray, config: GraphCluster | HdbscanCluster, runtime: RuntimeConfig
) -> DensityFit:
    """Return the fits of the points by the method of `config`; two or more points."""
    if isinstance(config, GraphCluster):
        return GraphFit(points, config, runtime)
    return HdbscanFit(points, config, runtime)
