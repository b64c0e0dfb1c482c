"""Given: embeddings (n, dim) and vectors of given topics (k, dim) -> the topic of each document, -1 for none.

A name says little about what documents of its topic look like. So the vector of a topic moves towards the documents
that are near it, a few times; and the documents decide how near is near: from the similarity of a usual document to
that of the topic's own documents, a share of the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int32]


N_ROUNDS = 6
"""Times that the topics' vectors move; later ones change hardly a document on five corpora."""

OWN = 0.3
"""Weight of the given vector against the mean of the documents."""

SHARPNESS = 0.03
"""Difference of similarities by which the weight of a document falls to 1/e."""

NEAREST = 20
"""Documents whose mean similarity is that of a topic's own documents before it has any."""

FITTED = 50_000
"""Documents that move the vectors; of more, those with the smallest hashes, so that their order does not matter."""

BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class Given:
    """Where the topics are after their vectors have moved.

    Attributes
    ----------
    mean : ndarray of shape (dim,), float32
        Mean embedding, which is taken off all vectors.
    vectors : ndarray of shape (k, dim), float32
        Unit vectors of the topics.
    usual, own : ndarray of shape (k,), float32
        Similarity of the median document, and of the documents of the topic.
    threshold : ndarray of shape (k,), float32
        Smallest similarity of a document of the topic.
    to_name : ndarray of shape (k,), float32
        Cosine of the given vector and the mean of the topic's documents; small if the corpus has no such topic.
    """

    mean: FloatArray
    vectors: FloatArray
    usual: FloatArray
    own: FloatArray
    threshold: FloatArray
    to_name: FloatArray


@dataclass(frozen=True)
class Placed:
    """The given topic (n,) of each document, -1 for none, and how near it is (n,): 0 as the usual, 1 as its own."""

    topics: LabelArray
    nearness: FloatArray


def fit_given(embeddings: FloatArray, names: FloatArray, share: float) -> Given:
    """Return where the given topics are.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim), float32
        Unit vectors; may be memory-mapped.
    names : ndarray of shape (k, dim), float32
        Unit vectors of the topics' names, descriptions or examples.
    share : float
        The threshold's place between the usual similarity (0) and that of the topic's own documents (1).

    Notes
    -----
    O(min(n, FITTED) k dim) time for each of N_ROUNDS rounds. The result does not depend on the order of the documents
    beyond the rounding of sums.
    """
    rows = np.asarray(embeddings[_fitted_rows(embeddings)], np.float32)
    mean = rows.mean(axis=0)
    points, start = directions(rows - mean), directions(names - mean)
    similarity = points @ start.T
    given = _measured(similarity, start, mean, None, share)
    for _ in range(N_ROUNDS):
        weights = _weights(similarity, given)
        moved = np.where(_is_enough(weights), directions(weights.T @ points), start)
        vectors = directions(np.asarray(OWN * start + (1 - OWN) * moved, np.float32))
        similarity = points @ vectors.T
        given = _measured(similarity, vectors, mean, weights, share)
        given = replace(given, to_name=(start * moved).sum(axis=1))
    return given


def place(embeddings: FloatArray, given: Given) -> Placed:
    """Return the given topic of each document (n, dim), by blocks of BLOCK_ROWS."""
    topics, nearness = np.full(len(embeddings), -1, np.int32), np.zeros(len(embeddings), np.float32)
    for rows, similarity in _similarities(embeddings, given.mean, given.vectors):
        best, own = _best(similarity)
        span = np.maximum(given.own - given.usual, 1e-6)[best]
        nearness[rows] = np.clip((own - given.usual[best]) / span, 0.0, 1.0)
        topics[rows] = np.where(own >= given.threshold[best], best, -1)
    return Placed(topics, nearness)


def nearest_names(embeddings: FloatArray, names: FloatArray) -> LabelArray:
    """Return the name with the largest cosine for each document (n,): the baseline without fit and threshold."""
    labels = np.zeros(len(embeddings), np.int32)
    for start in range(0, len(embeddings), BLOCK_ROWS):
        labels[start : start + BLOCK_ROWS] = (embeddings[start : start + BLOCK_ROWS] @ names.T).argmax(axis=1)
    return labels


def _measured(
    similarity: FloatArray, vectors: FloatArray, mean: FloatArray, weights: FloatArray | None, share: float
) -> Given:
    """Return the topics with these vectors; without enough documents of its own a topic takes the nearest for them."""
    usual, own = np.median(similarity, axis=0), np.zeros(len(vectors), np.float32)
    lack = np.ones(len(vectors), bool)
    if weights is not None:
        own = (weights * similarity).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-9)
        lack = ~_is_enough(weights)[:, 0]
    if lack.any():
        n = min(NEAREST, max(1, len(similarity) // 10))
        own[lack] = np.partition(similarity[:, lack], len(similarity) - n, axis=0)[-n:].mean(axis=0)
    threshold = usual + np.float32(share) * (own - usual)
    return Given(mean, vectors, usual, own, threshold, np.ones(len(vectors), np.float32))


def _is_enough(weights: FloatArray) -> NDArray[np.bool_]:
    """Return for each topic (k, 1) whether its documents weigh more than one."""
    return np.asarray(weights.sum(axis=0)[:, None] > 1.0)


def _best(similarity: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the nearest topic of each row and the similarity to it, rounded: a sum's last bits decide nothing."""
    rounded = np.round(similarity, 5)
    best = rounded.argmax(axis=1)
    return best, rounded[np.arange(len(best)), best]


def _weights(similarity: FloatArray, given: Given) -> FloatArray:
    """Return how much each document (n, k) moves each topic; documents below the threshold move none."""
    best, own = _best(similarity)
    weights = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / SHARPNESS)
    weights *= (own >= given.threshold[best])[:, None] / weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)


def _similarities(
    embeddings: FloatArray, mean: FloatArray, vectors: FloatArray
) -> Iterator[tuple[slice, FloatArray]]:
    for start in range(0, len(embeddings), BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, len(embeddings)))
        yield rows, directions(np.asarray(embeddings[rows], np.float32) - mean) @ vectors.T


def directions(vectors: FloatArray) -> FloatArray:
    """Return vectors of length one; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def _fitted_rows(embeddings: FloatArray) -> NDArray[np.int64]:
    """Return the rows that move the vectors, ordered by a hash of their bits."""
    dim = embeddings.shape[1]
    factors = np.random.default_rng(0).integers(1, 2**63, dim, dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(embeddings), np.uint64)
    for start in range(0, len(embeddings), BLOCK_ROWS):
        bits = np.ascontiguousarray(embeddings[start : start + BLOCK_ROWS], np.float32).view(np.uint32)
        hashes[start : start + BLOCK_ROWS] = (bits * factors).sum(axis=1)
    return np.argsort(hashes, kind="stable")[:FITTED]
