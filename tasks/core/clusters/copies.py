"""Copies: clusters of distinct points and the count of each point -> clusters in which copies count.

Topics are computed from distinct points, as if each occurred once: a point with many copies would have an unlimited
density and split clusters. Its copies follow it. A point that occurs at least as often as the smallest topic has
documents becomes its own topic if it is in none, or in one that it does not fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.assign import topic_centroids
from topicflow.tasks.core.clusters.clustering import Clustering, FloatArray, number_by_size

MISFIT = 0.05
"""Quantile of the similarities of a topic's texts to its centroid; a text with many copies below it does not fit: three
short answers among 250 news were less similar than all texts of their topic of 60 (tests/benchmarks)."""

Counts = NDArray[np.integer]


def crowds_alone(found: Clustering, counts: Counts, least: int) -> Clustering:
    """Return the clusters (n,); each point without a cluster that occurs at least `least` times becomes its own."""
    return _alone(found, (found.labels < 0) & (counts >= least), counts)


def misfits_alone(found: Clustering, embeddings: FloatArray, counts: Counts, least: int) -> Clustering:
    """Return the clusters (n,); a point that occurs at least `least` times and fits its cluster badly becomes its own.

    Parameters
    ----------
    found : Clustering
        Clusters of n distinct points.
    embeddings : ndarray of shape (n, dim), float32
        Unit vectors.
    counts : ndarray of shape (n,), integer
        The number of copies of each point.
    least : int
        Size of the smallest cluster. Only clusters with at least this many points that occur less often are compared.

    Notes
    -----
    A layout puts every point beside its nearest points, even if these are far away; the embeddings show the distance.
    """
    often = counts >= least
    rare = np.where(often, -1, found.labels).astype(np.int32)
    sizes = np.bincount(rare[rare >= 0], minlength=found.n_clusters)
    asked = np.flatnonzero(often & (found.labels >= 0))
    asked = asked[sizes[found.labels[asked]] >= least]
    if not len(asked):
        return found
    centroids = np.zeros((found.n_clusters, embeddings.shape[1]), np.float32)
    means = topic_centroids(embeddings, rare)
    centroids[: len(means)] = means
    alone = np.zeros(len(counts), bool)
    for cluster in np.unique(found.labels[asked]):
        likeness = embeddings[rare == cluster] @ centroids[cluster]
        own = asked[found.labels[asked] == cluster]
        alone[own] = embeddings[own] @ centroids[cluster] < np.quantile(likeness, MISFIT)
    return _alone(found, alone, counts)


def _alone(found: Clustering, alone: NDArray[np.bool_], counts: Counts) -> Clustering:
    if not alone.any():
        return found
    labels = found.labels.astype(np.int64)
    labels[alone] = found.n_clusters + np.arange(int(alone.sum()))
    return Clustering(
        number_by_size(labels, counts),
        np.where(alone, 1.0, found.probabilities).astype(np.float32),
        np.where(alone, 0.0, found.outlier_scores).astype(np.float32),
        None if found.stability is None else np.where(alone, 1.0, found.stability).astype(np.float32),
    )
