"""Postings: word counts (n_docs, n_words) by word instead of by document, and BM25 scores of all documents from them.

Scores are computed for each query from counts: new and deleted documents change how rare a word is, and stored scores
would have to be recomputed for all documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

K1, B = 1.5, 0.75
"""Lucene's formula with the values of bm25s: saturation of repeated words, and penalty of long documents."""


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
    data: NDArray[np.int32], indices: NDArray[np.int32], indptr: NDArray[np.int64], n_words: int
) -> Postings:
    """Return the postings of counts by document (CSR); O(n_postings) time and three times their memory.

    Counts of one word and document are added.
    """
    from scipy.sparse import csr_matrix

    by_word = csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_words)).tocsc()
    by_word.sum_duplicates()
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
    weights: Sequence[float],
    n_live: int,
    mean_length: float,
    removed: NDArray[np.bool_],
) -> FloatArray:
    """Return the BM25 score (n_docs,) float32 of every document of all parts; 0 without a word of the query.

    Parameters
    ----------
    parts : sequence of Postings
        The parts of the documents, in order.
    words : sequence of ndarray of shape (n_query_words,), int64
        For each part the number of each word of the query, -1 if the part lacks the word.
    weights : sequence of float
        Weight of each word of the query.
    n_live : int
        Number of documents that are not deleted.
    mean_length : float
        Their mean length in words.
    removed : ndarray of shape (n_docs,), bool
        Deleted documents; their own scores have no meaning.

    Notes
    -----
    O(n_docs + postings of the query's words). The rarity of a word is computed over the current documents.

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
        for rows, saturated in found:
            scores[rows] += np.float32(weights[number]) * idf * saturated
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
