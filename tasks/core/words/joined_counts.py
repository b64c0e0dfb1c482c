"""Joined counts: word counts of batches of texts -> those of all texts, as one count of all of them has them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.words.counts import WordTotals, select_words

JoinedCounts = tuple[csr_matrix, list[str]]
"""Counts (n_docs, n_words), columns ascending in each row, and the words, sorted by code point.

The counts are uint8, uint16 or int32: the largest type of the batches."""


def join_counts(
    batches: Iterable[tuple[csr_matrix, list[str]]], min_df: int = 1, max_features: int | None = None
) -> JoinedCounts:
    """Return the counts of all batches in order.

    Parameters
    ----------
    batches : iterable of (sparse matrix of shape (n_docs, n_words), list of str)
        Counts of all words of each batch, and its words sorted by code point; every word occurs in it.
    min_df, max_features
        See `select_words`; they count the documents and occurrences in all batches.

    Notes
    -----
    Linear in the entries of the counts; a second pass only if words are left out. The words of a batch are sorted, and
    so are those of all, so the columns of each row stay ascending.
    """
    counts, words = zip(*batches, strict=True)
    every = pl.Series("word", sorted({word for own in words for word in own}), dtype=pl.String)
    columns = [_places(every, own)[np.asarray(each.indices)] for each, own in zip(counts, words, strict=True)]
    indices, data = np.concatenate(columns), np.concatenate([np.asarray(each.data) for each in counts])
    lengths = np.concatenate([np.diff(np.asarray(each.indptr)) for each in counts])
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    joined = csr_matrix((data, indices, indptr), shape=(len(lengths), len(every)), copy=False)
    if min_df <= 1 and (max_features is None or max_features >= len(every)):
        return joined, every.to_list()
    return _chosen(joined, every, min_df, max_features)


def _places(every: pl.Series, own: list[str]) -> NDArray[np.int32]:
    """Return the position of each own word among all words, both sorted by code point."""
    numbers = pl.Series(range(len(every)), dtype=pl.Int32)
    found = pl.Series(own, dtype=pl.String).replace_strict(every, numbers, return_dtype=pl.Int32)
    return found.to_numpy()


def _chosen(counts: csr_matrix, words: pl.Series, min_df: int, max_features: int | None) -> JoinedCounts:
    """Return the counts of the words that `select_words` keeps."""
    n_words = len(words)
    totals = np.bincount(counts.indices, weights=counts.data, minlength=n_words).astype(np.int64)
    found = WordTotals(np.bincount(counts.indices, minlength=n_words), totals)
    selection = select_words(words.gather, found, min_df, max_features)
    return moved_columns(counts, selection.columns, len(selection.words)), selection.words.to_list()


def moved_columns(counts: csr_matrix, columns: NDArray[np.int32], n_columns: int) -> csr_matrix:
    """Return counts (n_docs, n_columns) with each word's counts in its new column; -1 leaves a word out."""
    found = columns[np.asarray(counts.indices)]
    kept = found >= 0
    before = np.concatenate([[0], np.cumsum(kept)])
    parts = (np.asarray(counts.data)[kept], found[kept], before[np.asarray(counts.indptr)])
    return csr_matrix(parts, shape=(counts.shape[0], n_columns), copy=False)
