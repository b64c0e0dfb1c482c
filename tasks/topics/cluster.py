"""Cluster: reduced (n_docs, n_components) -> labels (n_docs,) int32, -1 for noise, with probabilities and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.cluster import ClassesCluster, GraphCluster, HdbscanCluster, KMeansCluster
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.classify.class_topics import write_classes
from topicflow.tasks.core.clusters.assign import bound_outliers
from topicflow.tasks.core.clusters.clustering import Clustering, kmeans_clusters, number_by_size
from topicflow.tasks.core.clusters.copies import crowds_alone, misfits_alone
from topicflow.tasks.core.clusters.merge import merge_topics
from topicflow.tasks.core.vectors.blocks import gathered
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.requirements.sizes import check_size
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.store.resources import compiled_threads
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.density_fits import density_fit
from topicflow.tasks.topics.fitted_sample import FittedSample, fitted_points, read_sample
from topicflow.tasks.topics.neighbors import distinct_points
from topicflow.tasks.topics.size_choice import SizeChoice, choose_size

AnyCluster = GraphCluster | HdbscanCluster | KMeansCluster


def sized_clusters(
    reduced: NDArray[np.float32],
    config: AnyCluster,
    seed: int,
    runtime: RuntimeConfig | None = None,
    counts: NDArray[np.integer] | None = None,
) -> tuple[Clustering, SizeChoice | None]:
    """Return the clusters of the points, numbered by decreasing size, and how their smallest size was chosen.

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

    Returns
    -------
    clustering : Clustering
        The clusters.
    choice : SizeChoice or None
        The choice of the size in `counts`; None if `config` has a number, and if all points are equal.

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
    found, choice = _cluster_distinct(points, config, seed, runtime, weights)
    group = copies.group
    everyone = Clustering(
        number_by_size(found.labels[group], n_docs),
        found.probabilities[group],
        found.outlier_scores[group],
        None if found.stability is None else found.stability[group],
    )
    return everyone, choice


def cluster_points(
    reduced: NDArray[np.float32],
    config: AnyCluster,
    seed: int,
    runtime: RuntimeConfig | None = None,
    counts: NDArray[np.integer] | None = None,
) -> Clustering:
    """Return the clusters of `sized_clusters` alone."""
    return sized_clusters(reduced, config, seed, runtime, counts)[0]


def _cluster_distinct(
    points: NDArray[np.float32],
    config: AnyCluster,
    seed: int,
    runtime: RuntimeConfig,
    counts: NDArray[np.int64],
) -> tuple[Clustering, SizeChoice | None]:
    """Return the clusters of distinct points, each of which represents `counts` documents, and the choice of a size."""
    if len(points) < 2:
        n = len(points)
        whole = np.ones(n, np.float32) if isinstance(config, GraphCluster) else None
        one = Clustering(np.zeros(n, np.int32), np.ones(n, np.float32), np.zeros(n, np.float32), whole)
        return one, None
    if isinstance(config, KMeansCluster):
        n_clusters = min(config.n_clusters, len(points))
        weights = counts if (counts > 1).any() else None
        return kmeans_clusters(points, n_clusters, seed, weights, runtime.n_threads), None
    fit, size, choice = density_fit(points, config, runtime), config.min_cluster_size, None
    if size == "auto":
        choice = choose_size(fit, config, len(points))
        size = choice.size
    return crowds_alone(fit.clusters(size), counts, size), choice


def scaled_down(config: AnyCluster, share: float) -> AnyCluster:
    """Return the config for a sample of the documents: the smallest topic has the same share of its documents."""
    if isinstance(config, KMeansCluster) or share == 1.0:
        return config
    sizes: dict[str, int] = {}
    if config.min_cluster_size != "auto":
        sizes["min_cluster_size"] = max(2, round(config.min_cluster_size * share))
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
) -> tuple[Clustering, dict[str, Any]]:
    """Return the clusters of all documents, those of the fitted points, which the others follow; and what to record."""
    share, counts = (1.0, None) if sample is None else (sample.share, sample.counts)
    scaled = scaled_down(config, share)
    fitted, choice = sized_clusters(points, scaled, seed, runtime, counts)
    record = {} if choice is None else {"size_choice": choice.described(fitted, share)}
    if sample is None:
        return fitted, record
    if counts is not None and not isinstance(scaled, KMeansCluster):
        size = scaled.min_cluster_size if choice is None else choice.size
        if size != "auto":  # it is where all points are equal, and nothing can be a misfit
            fitted = misfits_alone(fitted, gathered(embeddings, sample.rows), counts, size)
    return sample.extend(fitted), record


def sized_as(config: AnyCluster, of_labels: Mapping[str, Any]) -> tuple[AnyCluster, dict[str, Any]]:
    """Return the config with the smallest topic that other labels chose, and what to record of the choice.

    `of_labels` are the meta data of these labels. Without a choice the config is as before.
    """
    choice = of_labels.get("size_choice")
    if choice is None:
        return config, {}
    size = {"min_cluster_size": choice["min_cluster_size"], "topics": None, "about": None}
    return config.model_copy(update=size), {"size_choice": {**choice, "unseeded": True}}


@stage("cluster")
def cluster(
    context: Context,
    embeddings: ArtifactRef,
    neighbors: ArtifactRef,
    reduced: ArtifactRef,
    config: AnyCluster | ClassesCluster,
    sizing: ArtifactRef | None = None,
) -> ArtifactRef:
    """Return the labels' artifact, computing it on a miss; with `sizing` the smallest topic is that of these labels."""
    store, runtime = context.store, context.runtime
    of_size = None if sizing is None else sizing.key
    recipe = recipes.cluster(config, embeddings.key, neighbors.key, reduced.key, context.seed, of_size)
    if found := store.find(recipe):
        return found
    if isinstance(config, ClassesCluster):
        with store.writing(recipe) as writer:
            write_classes(store, writer, embeddings, config)
        return store.committed(recipe, writer)
    with store.writing(recipe) as writer, compiled_threads(runtime.n_threads):
        vectors, sample = store.array(embeddings, "embeddings"), read_sample(store, neighbors)
        points = fitted_points(store, reduced, sample)
        config, taken = sized_as(config, {} if sizing is None else store.meta(sizing))
        clustering, record = _clustered(points, vectors, sample, config, context.seed, runtime)
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
            **record,
            **taken,
        }
    return store.committed(recipe, writer)
