"""Drift measures: counts and distances of fitted and later documents -> how far the later ones are from the fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray

N_BINS = 512
"""Bins of cosine distances in [0, 2]; a statistic computed from them cannot distinguish distances within .004."""

MIN_EXPECTED = 5.0
"""Minimum expected documents of a topic that counts as a separate group, as in the chi-squared test."""

Counts = NDArray[np.int64]


def own_distances(embeddings: FloatArray, labels: LabelArray, centroids: FloatArray) -> FloatArray:
    """Return the cosine distance (n,) float32 of each document to its topic's centroid; NaN without a topic.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim), float32
        Unit vectors; may be memory-mapped, 16,384 rows are read at a time.
    labels : ndarray of shape (n,), int32
        Topic of each row, -1 for none.
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embeddings.
    """
    directions = centroids / np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    distances = np.full(len(labels), np.nan, np.float32)
    for start in range(0, len(labels), 16_384):
        rows = start + np.flatnonzero(labels[start : start + 16_384] >= 0)
        products = np.einsum("ij,ij->i", embeddings[rows], directions[labels[rows]])
        distances[rows] = np.clip(1.0 - products, 0.0, 2.0)
    return distances


def distance_histogram(distances: FloatArray) -> Counts:
    """Return how many distances (n,) fall into each of N_BINS bins of [0, 2]; NaN values are not counted."""
    known = distances[~np.isnan(distances)].astype(np.float64)
    return np.histogram(known, bins=N_BINS, range=(0.0, 2.0))[0].astype(np.int64)


def ks_statistic(first: Counts, second: Counts) -> float:
    """Return the Kolmogorov-Smirnov statistic of two histograms: 0 if equal, 1 if disjoint, and 0 if one is empty."""
    if not first.sum() or not second.sum():
        return 0.0
    gaps = np.cumsum(first) / first.sum() - np.cumsum(second) / second.sum()
    return float(np.abs(gaps).max())


def topic_counts(labels: LabelArray, n_topics: int) -> Counts:
    """Return the number of documents (n_topics + 1,) without a topic and in each topic."""
    return np.bincount(labels + 1, minlength=n_topics + 1).astype(np.int64)


def population_stability(expected: Counts, observed: Counts) -> tuple[float, float]:
    """Return the population stability index of observed against expected shares, and the index above chance.

    Parameters
    ----------
    expected, observed : ndarray of shape (n_groups,), int64
        Documents of each group at the fit and now.

    Returns
    -------
    index : float
        Sum over groups of (q - p) ln(q / p). All groups with fewer than MIN_EXPECTED expected documents form one.
    beyond_chance : float
        The index minus its expectation if nothing changed, (groups - 1)(1/n + 1/m); at least 0.

    Notes
    -----
    Without this correction the few hundred documents of a night "shift" every night when there are a hundred topics.
    An empty group counts as half a document.

    References
    ----------
    Yurdakul, Naranjo: Statistical properties of the population stability index (2020): n m / (n + m) times the index
    is chi-squared with one degree of freedom fewer than groups.
    """
    n, m = int(expected.sum()), int(observed.sum())
    if not n or not m:
        return 0.0, 0.0
    small = expected * (m / n) < MIN_EXPECTED
    then, now = (np.append(each[~small], each[small].sum()).astype(float) for each in (expected, observed))
    used = (then > 0) | (now > 0)
    p, q = (np.maximum(each[used], 0.5) for each in (then, now))
    p, q = p / p.sum(), q / q.sum()
    index = float(((q - p) * np.log(q / p)).sum())
    return index, max(0.0, index - (len(p) - 1) * (1.0 / n + 1.0 / m))
