"""Seed words: weights of words (n_topics, n_words) and the seeds of documents -> weights with raised seed words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def seed_shares(
    seeds: NDArray[np.integer], labels: NDArray[np.integer], n_seeds: int, n_topics: int
) -> NDArray[np.float64]:
    """Return the share of each topic's documents (n_topics, n_seeds) that are of each seed.

    Parameters
    ----------
    seeds, labels : ndarray of shape (n_docs,), integer
        Seed and topic of each document, -1 for none.
    n_seeds, n_topics : int
        Numbers of seeds and topics.
    """
    placed = labels >= 0
    sizes = np.bincount(labels[placed], minlength=n_topics)
    both = placed & (seeds >= 0)
    cells = labels[both].astype(np.int64) * n_seeds + seeds[both]
    shared = np.bincount(cells, minlength=n_topics * n_seeds).reshape(n_topics, n_seeds)
    return np.asarray(shared / np.maximum(sizes, 1)[:, None])


def raise_seed_words(
    weights: csr_matrix,
    words: Sequence[str],
    seeds: Sequence[Sequence[str]],
    shares: NDArray[np.float64],
    times: float,
) -> csr_matrix:
    """Return the weights (n_topics, n_words) with those of seed words raised where the seed has documents.

    A word's weight in a topic is multiplied by 1 + (times - 1) p, where p is the largest share that a seed with this
    word has of the topic's documents. A word that no document of a topic contains keeps its weight of zero.

    Parameters
    ----------
    weights : sparse matrix of shape (n_topics, n_words)
    words : sequence of str
        The words of its columns; compared without regard to case.
    seeds : sequence of sequence of str
        The words of each seed.
    shares : ndarray of shape (n_topics, n_seeds)
        From `seed_shares`.
    times : float
        The factor in a topic that has only documents of a seed.
    """
    wanted: dict[str, list[int]] = {}
    for seed, own in enumerate(seeds):
        for word in own:
            wanted.setdefault(word.lower(), []).append(seed)
    factors = np.ones(weights.nnz)
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    for column, word in enumerate(words):
        if (owners := wanted.get(word.lower())) is not None:
            entries = np.flatnonzero(weights.indices == column)
            factors[entries] += (times - 1.0) * shares[rows[entries]][:, owners].max(axis=1)
    return csr_matrix((weights.data * factors, weights.indices, weights.indptr), shape=weights.shape)
