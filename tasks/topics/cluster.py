"""Cluster: reduced (n_docs, n_components) -> labels (n_docs,) int32, -1 for noise, with probabilities and scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.sections.cluster import (
    MOST_SAMPLES,
    ClassesCluster,
    GraphCluster,
    HdbscanCluster,
    KMeansCluster,
)
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.classify.class_topics import write_classes
from topicflow.tasks.core.clusters.assign import bound_outliers
from topicflow.tasks.core.clusters.clustering import (
    Clustering,
    hdbscan_clusters,
    kmeans_clusters,
    number_by_size,
    parallel_hdbscan_clusters,
)
from topicflow.tasks.core.clusters.copies import crowds_alone, misfits_alone
from topicflow.tasks.core.clusters.graph_clusters import Density, graph_clusters
from topicflow.tasks.core.clusters.merge import merge_topics
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.states import cached
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.store.resources import compiled_threads
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.fitted_sample import FittedSample, read_sample
from topicflow.tasks.topics.neighbors import DESCENT_SEED, distinct_points, find_neighbors

AnyCluster = GraphCluster | HdbscanCluster | KMeansCluster

REFERENCE_UP_TO = 10_000
"""Maximum number of points for which `auto` takes the hdbscan package. Ours is faster from the second run on a machine,
but the first run compiles for eight seconds, too long for a first look at a small corpus."""


GRAPH_NEIGHBORS = 30
"""Neighbours of the graph in which topics are found: below it the graph falls apart, above it little changes."""


def check_size(config: AnyCluster | ClassesCluster, n_docs: int) -> None:
    """Raise StageError if there are too few documents for the smallest topic or the number of topics."""
    if isinstance(config, ClassesCluster):
        return
    if isinstance(config, KMeansCluster):
        if config.n_clusters > n_docs:
            msg = (
                f"cluster: n_clusters={config.n_clusters} exceeds n_docs={n_docs}; set it to {n_docs} or less"
            )
            raise StageError(msg)
    elif config.min_cluster_size > n_docs:
        ways = f"set it to {n_docs} or less" if n_docs >= 2 else "a topic model needs at least two documents"
        msg = f"cluster: min_cluster_size={config.min_cluster_size} exceeds n_docs={n_docs}; {ways}"
        raise StageError(msg)


def cluster_points(
    reduced: NDArray[np.float32],
    config: AnyCluster,
    seed: int,
    runtime: RuntimeConfig | None = None,
    counts: NDArray[np.integer] | None = None,
) -> Clustering:
    """Return the clusters of the points, numbered by decreasing size.

    Parameters
    ----------
    reduced : ndarray of shape (n_docs, n_components), float32
        The points.
    config : GraphCluster, HdbscanCluster or KMeansCluster
        Method and its parameters.
    seed : int
        Seed of k-means; the other methods draw no random numbers.
    runtime : RuntimeConfig, optional
        Device and threads; by default those of an empty section.
    counts : ndarray of shape (n_docs,), integer, optional
        Number of documents of each point; default 1.

    Raises
    ------
    StageError
        If there are fewer documents than the method needs, or a point is not finite.

    Notes
    -----
    Points at the same position are one point, for any reason: they have one label, and split no cluster. If
    all points are equal, they form one cluster with probability 1: HDBSCAN finds no difference in density.
    """
    runtime = runtime or RuntimeConfig()
    if not np.isfinite(reduced).all():  # compiled loops would read and write outside of their arrays
        msg = "cluster: the reduced vectors contain NaN or infinite values; choose another reduce.method"
        raise StageError(msg)
    copies = distinct_points(reduced + np.float32(0.0), runtime.n_threads)  # -0 is 0
    n_docs = np.ones(len(reduced), np.int64) if counts is None else counts
    weights = np.bincount(copies.group, weights=n_docs, minlength=copies.n_groups).astype(np.int64)
    check_size(config, int(weights.sum()))
    points = np.ascontiguousarray(reduced[copies.firsts])
    found = _cluster_distinct(points, config, seed, runtime, weights)
    group = copies.group
    return Clustering(
        number_by_size(found.labels[group], n_docs),
        found.probabilities[group],
        found.outlier_scores[group],
        None if found.stability is None else found.stability[group],
    )


def _cluster_distinct(
    points: NDArray[np.float32],
    config: AnyCluster,
    seed: int,
    runtime: RuntimeConfig,
    counts: NDArray[np.int64],
) -> Clustering:
    """Return the clusters of distinct points, each of which represents `counts` documents."""
    if len(points) < 2:
        n = len(points)
        whole = np.ones(n, np.float32) if isinstance(config, GraphCluster) else None
        return Clustering(np.zeros(n, np.int32), np.ones(n, np.float32), np.zeros(n, np.float32), whole)
    if isinstance(config, KMeansCluster):
        n_clusters = min(config.n_clusters, len(points))
        weights = counts if (counts > 1).any() else None
        return kmeans_clusters(points, n_clusters, seed, weights, runtime.n_threads)
    if isinstance(config, GraphCluster):
        return crowds_alone(_in_graph(points, config, runtime), counts, config.min_cluster_size)
    min_samples = min(config.min_samples or config.min_cluster_size, len(points) - 1)
    implementation = config.implementation
    if implementation == "auto":
        implementation = "reference" if len(points) <= REFERENCE_UP_TO else "fast"
    clusters = parallel_hdbscan_clusters if implementation == "fast" else hdbscan_clusters
    settings = (
        config.min_cluster_size,
        min_samples,
        config.selection,
        config.epsilon,
        config.max_topic_share,
    )
    return crowds_alone(clusters(points, *settings, runtime.n_threads), counts, config.min_cluster_size)


def _in_graph(points: NDArray[np.float32], config: GraphCluster, runtime: RuntimeConfig) -> Clustering:
    """Return the clusters of unit vectors (n, dim) in the graph of their own neighbours."""
    half = -(-config.min_cluster_size // 2)
    min_samples = min(config.min_samples or half, MOST_SAMPLES, len(points) - 1)
    nearest = NeighborsConfig(n_neighbors=max(GRAPH_NEIGHBORS, min_samples) + 1)
    graph = find_neighbors(points, nearest, DESCENT_SEED, runtime)
    distances = np.sqrt(np.maximum(2.0 * graph.distances, 0.0)).astype(np.float32)
    density = Density(config.min_cluster_size, min_samples, config.selection, config.max_topic_share)
    return graph_clusters(points, graph.indices, distances, density)


def scaled_down(config: AnyCluster, share: float) -> AnyCluster:
    """Return the config for a sample of the documents: the smallest topic has the same share of its documents."""
    if isinstance(config, KMeansCluster) or share == 1.0:
        return config
    sizes = {"min_cluster_size": max(2, round(config.min_cluster_size * share))}
    if config.min_samples is not None:
        sizes["min_samples"] = max(1, round(config.min_samples * share))
    return config.model_copy(update=sizes)


def settle_topics(
    labels: NDArray[np.int32],
    embeddings: NDArray[np.float32],
    config: AnyCluster,
    n_threads: int | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the labels after merging topics and reassigning outliers by `config`, and memberships of reassigned rows.

    Both use centroids in the embedding space, where copies of one vector count once and stay together. Afterwards
    topics are numbered by decreasing size. The membership of a reassigned row is its cosine to the centroid of its
    topic; that of other rows is NaN.
    """
    memberships = np.full(len(labels), np.nan, np.float32)
    if isinstance(config, KMeansCluster):
        return labels, memberships
    if config.n_topics is None and config.max_outlier_share is None:
        return number_by_size(labels), memberships
    copies = distinct_points(embeddings, n_threads)
    counts, group = np.zeros(len(labels), np.int64), copies.firsts[copies.group]
    counts[copies.firsts] = copies.counts
    if config.n_topics is not None:
        firsts = np.where(counts > 0, labels, -1).astype(np.int32)
        labels = merge_topics(embeddings, firsts, config.n_topics)[group]
    if config.max_outlier_share is not None:
        labels, memberships = bound_outliers(embeddings, labels, config.max_outlier_share, counts)
        labels, memberships = labels[group], memberships[group]
    return number_by_size(labels), memberships


def _clustered(
    points: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    sample: FittedSample | None,
    config: AnyCluster,
    seed: int,
    runtime: RuntimeConfig,
) -> Clustering:
    """Return the clusters of all documents: those of the fitted points, which the others follow."""
    if sample is None:
        return cluster_points(points, config, seed, runtime)
    scaled, counts = scaled_down(config, sample.share), sample.counts
    fitted = cluster_points(points[sample.rows], scaled, seed, runtime, counts)
    if counts is not None and not isinstance(scaled, KMeansCluster):
        fitted = misfits_alone(fitted, embeddings[sample.rows], counts, scaled.min_cluster_size)
    return sample.extend(fitted)


@task(name="cluster", cache_policy=NO_CACHE, persist_result=False)
def cluster(
    context: Context,
    embeddings: ArtifactRef,
    neighbors: ArtifactRef,
    reduced: ArtifactRef,
    config: AnyCluster | ClassesCluster,
) -> ArtifactRef:
    """Return the labels' artifact, computing it on a miss."""
    store, runtime = context.store, context.runtime
    recipe = recipes.cluster(config, embeddings.key, neighbors.key, reduced.key, context.seed)
    if found := store.find(recipe):
        return cached(found)
    if isinstance(config, ClassesCluster):
        with store.writing(recipe) as writer:
            write_classes(store, writer, embeddings, config)
        return store.committed(recipe, writer)
    with store.writing(recipe) as writer, compiled_threads(runtime.n_threads):
        points, vectors = store.array(reduced, "reduced"), store.array(embeddings, "embeddings")
        clustering = _clustered(points, vectors, read_sample(store, neighbors), config, context.seed, runtime)
        labels, memberships = settle_topics(clustering.labels, vectors, config, runtime.n_threads)
        reassigned = ~np.isnan(memberships)
        writer.save_array("labels", labels)
        writer.save_array("probabilities", np.where(reassigned, memberships, clustering.probabilities))
        writer.save_array("outlier_scores", clustering.outlier_scores)
        writer.save_array("reassigned", reassigned)
        if clustering.stability is not None:
            writer.save_array("stability", clustering.stability)
        writer.rows = len(labels)
        writer.meta = {
            "n_topics": int(labels.max(initial=-1)) + 1,
            "outlier_share": float((labels < 0).mean()),
            "outlier_share_before": float((clustering.labels < 0).mean()),
        }
    return store.committed(recipe, writer)
