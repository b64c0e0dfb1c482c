"""Assign: fitted documents -> topics and positions of other documents, by centroids or by neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.vectors.blocks import give_back

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int32]

CHUNK_ROWS = 16_384
"""Rows multiplied at a time: 16,384 x 5,000 topics are 330 MB of similarities."""

SAME_TEXT = 1e-3
"""Added to distances before they are inverted: a neighbour at distance 0 has a thousand votes, one at .2 has five."""


def topic_centroids(
    embeddings: FloatArray, labels: LabelArray, first: int = 0, n_topics: int = 0
) -> FloatArray:
    """Return the mean embedding (n_topics, dim) float32 of each topic from `first` (0, or -1 for noise too).

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim), float32
        May be memory-mapped; read in chunks.
    labels : ndarray of shape (n,), int32
        Topic of each row, -1 for none.
    first : int
        The lowest label that gets a row.
    n_topics : int
        Number of topics; fewer than there are labels count for as many as these. A topic without documents is zero.
    """
    n_rows = max(int(labels.max(initial=first - 1)) + 1, n_topics) - first
    sums = np.zeros((n_rows, embeddings.shape[1]), np.float64)
    for start in range(0, len(labels), CHUNK_ROWS):
        part = labels[start : start + CHUNK_ROWS] - first
        rows = np.flatnonzero(part >= 0)
        members = csr_matrix((np.ones(len(rows)), (part[rows], rows)), shape=(n_rows, len(part)))
        read = embeddings[start : start + CHUNK_ROWS]
        sums += members @ np.asarray(read, dtype=np.float64)
        give_back(read)
    sizes = np.bincount(labels[labels >= first] - first, minlength=n_rows)[:, None]
    return (sums / np.maximum(sizes, 1)).astype(np.float32)


def best_topics(embeddings: FloatArray, centroids: FloatArray) -> tuple[LabelArray, FloatArray]:
    """Return each row's nearest centroid by cosine (n,) int32 and the similarity (n,) float32.

    `BERTopic.transform` of a loaded model applies the same rule.
    """
    directions = (centroids / np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)).T
    topics = np.empty(len(embeddings), np.int32)
    similarity = np.empty(len(embeddings), np.float32)
    for start in range(0, len(embeddings), CHUNK_ROWS):
        part = np.asarray(embeddings[start : start + CHUNK_ROWS])
        products = part @ directions
        best = products.argmax(axis=1)
        topics[start : start + CHUNK_ROWS] = best
        norms = np.linalg.norm(part, axis=1)
        similarity[start : start + CHUNK_ROWS] = products[np.arange(len(part)), best] / np.maximum(
            norms, 1e-12
        )
        give_back(part)
    return topics, similarity


def bound_outliers(
    embeddings: FloatArray, labels: LabelArray, max_share: float, counts: NDArray[np.integer] | None = None
) -> tuple[LabelArray, FloatArray]:
    """Return labels with at most `max_share` outliers, and the cosine of each reassigned row to its topic's centroid.

    The outliers most similar to a topic's centroid are assigned to that topic. Without any topic nothing changes.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim), float32
        Read in chunks.
    labels : ndarray of shape (n,), int32
        Topic of each row, -1 for none.
    max_share : float
        Largest share of outliers.
    counts : ndarray of shape (n,), integer, optional
        Number of documents of each row, 0 for a copy that follows another row; 1 for each if None.

    Returns
    -------
    labels : ndarray of shape (n,), int32
    memberships : ndarray of shape (n,), float32
        Cosine to the centroid of the topic to which a row was reassigned, 0 if negative; NaN for the other rows.

    Raises
    ------
    ValueError
        When `max_share` is outside [0, 1].
    """
    if not 0.0 <= max_share <= 1.0:
        msg = f"max_share={max_share} must be within 0 and 1"
        raise ValueError(msg)
    counts = np.ones(len(labels), np.int64) if counts is None else counts
    memberships = np.full(len(labels), np.nan, np.float32)
    outliers = np.flatnonzero((labels < 0) & (counts > 0))
    allowed = int(np.floor(max_share * counts.sum() + 1e-9))  # .29 * 100 is 28.999…
    surplus = int(counts[outliers].sum()) - allowed
    if surplus <= 0 or (labels < 0).all():
        return labels, memberships
    own = np.where(counts > 0, labels, -1).astype(np.int32)
    topics, similarity = best_topics(embeddings[outliers], topic_centroids(embeddings, own))
    order = np.argsort(-similarity, kind="stable")
    surest = order[: int(np.searchsorted(counts[outliers[order]].cumsum(), surplus)) + 1]
    bounded = labels.copy()
    bounded[outliers[surest]] = topics[surest]
    memberships[outliers[surest]] = np.clip(similarity[surest], 0.0, 1.0)
    return bounded, memberships


def neighbor_weights(distances: FloatArray) -> FloatArray:
    """Return the weights (m, k) float32 of each row's fitted neighbours, sum 1, from cosine distances (m, k).

    A weight falls with the distance. A neighbour at distance 0 (the same text) outweighs all others together.
    """
    weights = 1.0 / (np.maximum(distances, 0.0) + SAME_TEXT)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class NearestWeights:
    """The weights of every document's nearest fitted ones, computed from their distances for the rows that are read.

    Attributes
    ----------
    distances : ndarray of shape (n_docs, k), float32
        Cosine distances; may be memory-mapped.
    """

    distances: FloatArray

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> FloatArray:
        """Return the weights (m, k) of some rows."""
        read = self.distances[rows]
        distances = np.array(read)
        give_back(read)
        weights = neighbor_weights(distances)
        is_copy = distances[:, 0] == 0.0  # of a fitted document: only that one counts
        weights[is_copy] = np.eye(1, weights.shape[1], dtype=np.float32)
        return weights


def vote_topics(
    labels: LabelArray, nearest: NDArray[np.int32], weights: FloatArray | NearestWeights
) -> tuple[LabelArray, FloatArray]:
    """Return the topic (m,) int32 that each row's fitted neighbours vote for, and its share of the vote (m,) float32.

    Parameters
    ----------
    labels : ndarray of shape (n_fitted,), int32
        Topics of the fitted documents. Noise (-1) gets votes like a topic.
    nearest : ndarray of shape (m, k), int32
        Fitted neighbours of each row, nearest first.
    weights : ndarray of shape (m, k), float32, or NearestWeights
        The result of `neighbor_weights`.

    Notes
    -----
    O(m k^2) time, CHUNK_ROWS k^2 floats of memory. Of topics with equal votes the topic of the nearest neighbour wins.
    """
    topics, shares = np.empty(len(nearest), np.int32), np.empty(len(nearest), np.float32)
    for start in range(0, len(nearest), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        voted = labels[nearest[part]]
        give_back(nearest[part])
        votes = np.einsum("mj,mjk->mk", weights[part], voted[:, :, None] == voted[:, None, :])
        best = votes.argmax(axis=1)
        rows = np.arange(len(best))
        topics[part], shares[part] = voted[rows, best], votes[rows, best]
    return topics, np.minimum(shares, 1.0)


def weighted_means(
    values: FloatArray, nearest: NDArray[np.int32], weights: FloatArray | NearestWeights
) -> FloatArray:
    """Return the neighbours' weighted mean (m, …) float32 of fitted values (n_fitted, …): positions or scores."""
    means = np.empty((len(nearest), *values.shape[1:]), np.float32)
    for start in range(0, len(nearest), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        means[part] = np.einsum("mk,mk...->m...", weights[part], values[nearest[part]])
        give_back(nearest[part])
    return means
