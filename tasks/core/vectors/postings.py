"""Postings: word counts (n_docs, n_words) by word instead of by document; and rankings that are fused by ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Postings:
    """Positions of words in one part of the documents.

    Attributes
    ----------
    offsets : ndarray of shape (n_words + 1,), int64
        Start of each word's postings.
    rows : ndarray of shape (n_postings,), int32
        Documents of the part that contain the word, ascending.
    counts : ndarray of shape (n_postings,), int32
        Occurrences of the word in each of these documents.
    lengths : ndarray of shape (n_docs,), int32
        Number of words in each document.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    lengths: NDArray[np.int32]


def transpose_counts(
    data: NDArray[np.integer], indices: NDArray[np.int32], indptr: NDArray[np.integer], n_words: int
) -> Postings:
    """Return the postings of counts by document (CSR); O(n_postings) time and three times their memory.

    Counts of one word and document are added, as int32: in the type of `data` the sum could be too large.
    """
    from scipy.sparse import csr_matrix

    by_word = csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_words)).tocsc()
    by_word.data = by_word.data.astype(np.int32, copy=False)
    by_word.sum_duplicates()
    sums = np.concatenate([[0], np.cumsum(data, dtype=np.int64)])
    lengths = (sums[indptr[1:]] - sums[indptr[:-1]]).astype(np.int32)
    return Postings(
        by_word.indptr.astype(np.int64),
        by_word.indices.astype(np.int32),
        by_word.data,
        lengths,
    )


def fuse_ranks(
    rankings: Sequence[NDArray[np.int64]], weights: Sequence[float], fusion_k: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows, best first, and their scores by weighted reciprocal rank fusion; ties by row.

    Parameters
    ----------
    rankings : sequence of ndarray, int64
        Rows as each search ranks them, best first.
    weights : sequence of float
        Weight of each search.
    fusion_k : float
        Added to each rank, counted from 1; larger values make the first ranks less dominant.

    References
    ----------
    Cormack, Clarke, Büttcher: Reciprocal rank fusion outperforms Condorcet (SIGIR 2009).
    """
    rows, slot = np.unique(np.concatenate(rankings), return_inverse=True)
    scores = np.zeros(len(rows))
    start = 0
    for ranking, weight in zip(rankings, weights, strict=True):
        np.add.at(
            scores, slot[start : start + len(ranking)], weight / (fusion_k + 1 + np.arange(len(ranking)))
        )
        start += len(ranking)
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]
