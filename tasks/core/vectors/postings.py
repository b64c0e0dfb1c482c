"""Postings: word counts (n_docs, n_words) turned on their side, and BM25 scores of all documents from them.

Scores are reckoned when a query comes, from counts: documents that come or go change how rare a word is, and a score
that was worked out before would have to be worked out again for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

K1, B = 1.5, 0.75
"""Lucene's formula with bm25s's values: how soon a repeated word says no more, and how much long documents lose."""


@dataclass(frozen=True)
class Postings:
    """Where words stand in one part of the documents.

    Attributes
    ----------
    offsets : ndarray of shape (n_words + 1,), int64
        Where each word's postings begin.
    rows : ndarray of shape (n_postings,), int32
        Documents of the part that hold the word, ascending.
    counts : ndarray of shape (n_postings,), int32
        How often.
    lengths : ndarray of shape (n_docs,), int32
        Words of each document.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    lengths: NDArray[np.int32]


def transpose_counts(
    data: NDArray[np.int32], indices: NDArray[np.int32], indptr: NDArray[np.int64], n_words: int
) -> Postings:
    """Return the postings of counts by document (CSR); O(n_postings) time, three times their memory."""
    from scipy.sparse import csr_matrix

    by_word = csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_words)).tocsc()
    sums = np.concatenate([[0], np.cumsum(data, dtype=np.int64)])
    lengths = (sums[indptr[1:]] - sums[indptr[:-1]]).astype(np.int32)
    return Postings(
        by_word.indptr.astype(np.int64),
        by_word.indices.astype(np.int32),
        by_word.data.astype(np.int32),
        lengths,
    )


def bm25_scores(
    parts: Sequence[Postings],
    words: Sequence[NDArray[np.int64]],
    n_live: int,
    mean_length: float,
    removed: NDArray[np.bool_],
) -> FloatArray:
    """Return the BM25 score (n_docs,) float32 of every document of all parts, 0 where no word of the query stands.

    Parameters
    ----------
    parts : sequence of Postings
        The parts of the documents, in order.
    words : sequence of ndarray of shape (n_query_words,), int64
        For each part the place of each word of the query, -1 where the part has no such word.
    n_live : int
        Documents that are not removed.
    mean_length : float
        Their mean length in words.
    removed : ndarray of shape (n_docs,), bool
        Documents that count no more; their own scores mean nothing.

    Notes
    -----
    O(n_docs + postings of the query's words). A word's rarity is that among the documents that are there now.

    References
    ----------
    Kamphuis, de Vries, Boytsov, Lin: Which BM25 do you mean? (ECIR 2020), Lucene's variant (exact lengths).
    """
    scores = np.zeros(sum(len(part.lengths) for part in parts), np.float32)
    starts = np.cumsum([0, *(len(part.lengths) for part in parts)])
    norms = [_length_norms(part.lengths, mean_length) for part in parts]
    for number in range(len(words[0]) if words else 0):
        found = []
        for part, places, start, norm in zip(parts, words, starts, norms, strict=False):
            if (place := int(places[number])) >= 0:
                span = slice(int(part.offsets[place]), int(part.offsets[place + 1]))
                rows = part.rows[span]
                counts = part.counts[span].astype(np.float32)
                found.append((rows + start, counts / (counts + norm[rows])))
        frequency = sum(int((~removed[rows]).sum()) for rows, _ in found)
        idf = np.float32(np.log1p((n_live - frequency + 0.5) / (frequency + 0.5)))
        for rows, weights in found:
            scores[rows] += idf * weights
    return scores


def _length_norms(lengths: NDArray[np.int32], mean_length: float) -> FloatArray:
    return (K1 * (1 - B + B * lengths / max(mean_length, 1e-9))).astype(np.float32)


def fuse_ranks(
    rankings: Sequence[NDArray[np.int64]], weights: Sequence[float], fusion_k: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows, best first, and their scores by weighted reciprocal rank fusion; ties by row.

    Parameters
    ----------
    rankings : sequence of ndarray, int64
        Rows as each search ranks them, best first.
    weights : sequence of float
        Of each search.
    fusion_k : float
        Added to each rank, counted from 1: the larger, the less the first places stand out.

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
