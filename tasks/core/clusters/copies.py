"""Copies: clusters of distinct points and how often each occurs -> clusters in which copies count, and harm no other.

Topics are found among distinct points, as if each occurred once: a point with many copies has no density of its own,
which would be without bound, so that it pulls no cluster apart. Its copies follow it. What occurs as often as the
smallest topic has documents is a topic by itself where it lies in none, or in one that it does not fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.assign import topic_centroids
from topicflow.tasks.core.clusters.clustering import Clustering, FloatArray, number_by_size

MISFIT = 0.05
"""Share of a topic's texts below whose similarity to its centroid a text with many copies does not fit it: three short
answers among 250 news lay below all of the topic of 60 that they were put into (tests/benchmarks)."""

Counts = NDArray[np.integer]


def crowds_alone(found: Clustering, counts: Counts, least: int) -> Clustering:
    """Return the clusters (n,) with each point of no cluster that occurs `least` times and more as one of its own."""
    return _alone(found, (found.labels < 0) & (counts >= least), counts)


def misfits_alone(found: Clustering, embeddings: FloatArray, counts: Counts, least: int) -> Clustering:
    """Return the clusters (n,) with each point that occurs `least` times and more, and fits its cluster badly, alone.

    Parameters
    ----------
    found : Clustering
        Of n distinct points.
    embeddings : ndarray of shape (n, dim), float32
        Unit vectors.
    counts : ndarray of shape (n,), integer
        How often each point occurs.
    least : int
        Documents of the smallest cluster. A cluster is compared with where as many of its points occur less often.

    Notes
    -----
    A layout puts every point beside its nearest others, however far these are; the embeddings know.
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
