"""Words of slices: counts (n_docs, n_words), topics and slices of documents -> the words of each topic in each slice.

A slice is a period or a group. Its words are ranked by the c-TF-IDF of the whole run, as the topic's keywords are, with
the word shares of the slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.core.words.counts import emphasize, topic_counts, weigh_classes

IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class Slicing:
    """Which slices are compared, and how.

    Attributes
    ----------
    numbers : ndarray of shape (n_docs,), int32
        Slice of each document, -1 for none.
    n_slices : int
        Number of slices.
    words : int
        Words of each topic in each slice.
    global_tuning : bool
        Average the weights with those of the whole topic.
    evolution_tuning : bool
        Average the weights with those of the topic in the slice before.
    """

    numbers: IntArray
    n_slices: int
    words: int
    global_tuning: bool
    evolution_tuning: bool = False


@dataclass(frozen=True)
class SliceWords:
    """The words of topics in slices.

    Attributes
    ----------
    topics, slices : ndarray of shape (n_rows,), int32
        Topic and slice of each row, in this order; pairs without documents have no row.
    keywords : list of list of str
        Words of each row, best first.
    weights : list of list of float
        Their weights, of which all words of a row have the sum 1.
    """

    topics: IntArray
    slices: IntArray
    keywords: list[list[str]]
    weights: list[list[float]]

    def table(self) -> pl.DataFrame:
        """Return topic, slice, keywords and weights of each row."""
        return pl.DataFrame(
            {
                "topic": self.topics, "slice": self.slices, "keywords": self.keywords,
                "weights": self.weights,
            },
            schema={
                "topic": pl.Int32, "slice": pl.Int32, "keywords": pl.List(pl.String),
                "weights": pl.List(pl.Float32),
            },
        )  # fmt: skip


@dataclass(frozen=True)
class WholeTopics:
    """The word weights of whole topics without noise: what slices are compared with.

    Attributes
    ----------
    scores : sparse matrix of shape (n_topics, n_words), float64
        The weights that rank keywords; each row has the sum 1.
    exclusive : ndarray of shape (n_entries,), float64
        Factor of each entry for words that no other topic uses.
    idf : ndarray of shape (n_words,), float64
        Factor of a word's share.
    ranked : ndarray of shape (n_entries,), int64
        The entries of each topic in order of decreasing weight.
    """

    scores: csr_matrix
    exclusive: NDArray[np.float64]
    idf: NDArray[np.float64]
    ranked: NDArray[np.int64]

    @classmethod
    def of(cls, counts: csr_matrix, labels: IntArray, config: LabelConfig) -> Self:
        """Return the weights of topics; the scores are those of `label.weigh_words`, divided by their sum."""
        first = int(min(labels.min(initial=0), 0))
        classes, present = topic_counts(counts, labels, first)
        weights, idf = weigh_classes(
            classes,
            bm25_weighting=config.bm25_weighting,
            reduce_frequent_words=config.reduce_frequent_words,
        )
        sizes = np.bincount(labels - first, minlength=classes.shape[0])
        ones = csr_matrix((np.ones(classes.nnz), classes.indices, classes.indptr), shape=classes.shape)
        factors = emphasize(ones, classes, present, sizes, 0.0, config.exclusivity)
        scores = emphasize(weights, classes, present, sizes, config.spread, config.exclusivity)
        scores, factors = scores[-first:], factors[-first:]
        scores = csr_matrix((_summing_to_one(scores), scores.indices, scores.indptr), shape=scores.shape)
        rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
        return cls(scores, factors.data, idf, np.lexsort((-scores.data, rows)).astype(np.int64))


def words_of_slices(
    counts: csr_matrix, words: list[str], labels: IntArray, slicing: Slicing, config: LabelConfig
) -> SliceWords:
    """Return the words of each topic in each slice.

    Parameters
    ----------
    counts : sparse matrix of shape (n_docs, n_words), uint8, uint16 or int32
        Word counts of the documents.
    words : list of str
        The words of its columns.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    slicing : Slicing
        The slices and the tuning.
    config : LabelConfig
        Weighting of words, as for the topics' keywords.

    Notes
    -----
    With `spread` and `exclusivity` 0 the weights equal those of BERTopic's `topics_over_time` with global tuning. The
    counts are read once; memory is a few times the entries of all slices.
    """
    from topicflow.tasks.core.words.slice_words import best_places, find_places

    pairs = np.where((labels >= 0) & (slicing.numbers >= 0), labels.astype(np.int64), -1)
    pairs = np.where(pairs >= 0, pairs * slicing.n_slices + slicing.numbers, -1)
    codes, rows = np.unique(pairs, return_inverse=True)
    is_cut = bool(len(codes)) and codes[0] < 0
    codes = codes[1:] if is_cut else codes
    topics, slices = np.divmod(codes, max(slicing.n_slices, 1))
    topics, slices = topics.astype(np.int32), slices.astype(np.int32)
    if not len(codes) or not counts.shape[1]:
        none: list[list[str]] = [[] for _ in codes]
        return SliceWords(topics, slices, none, [[] for _ in codes])
    groups: IntArray = (rows - is_cut).astype(np.int32)
    own, present = topic_counts(counts, groups, 0)
    whole = WholeTopics.of(counts, labels, config)
    places = find_places(own.indices, own.indptr, topics, whole.scores.indices, whole.scores.indptr)
    sizes = np.bincount(groups[groups >= 0], minlength=len(codes))
    weights = _own_weights(own, present, sizes, whole, places, config)
    before = _before(codes, slices) if slicing.evolution_tuning else np.full(len(codes), -1, np.int64)
    best, values = best_places(
        weights, places, own.indptr.astype(np.int64), before, topics, whole.scores.data, whole.ranked,
        whole.scores.indptr.astype(np.int64), slicing.words, slicing.words if slicing.global_tuning else 0,
    )  # fmt: skip
    columns = np.where(best >= 0, whole.scores.indices[np.maximum(best, 0)], -1)
    n_found = (best >= 0).sum(axis=1).tolist()
    keywords = [[words[c] for c in row[:n]] for row, n in zip(columns.tolist(), n_found, strict=True)]
    found = [row[:n] for row, n in zip(values.tolist(), n_found, strict=True)]
    return SliceWords(topics, slices, keywords, found)


def _own_weights(
    own: csr_matrix,
    present: csr_matrix,
    sizes: NDArray[np.int64],
    whole: WholeTopics,
    places: NDArray[np.int64],
    config: LabelConfig,
) -> NDArray[np.float64]:
    """Return the weight of each entry of the slices by their own counts; those of a slice have the sum 1."""
    n_entries = np.diff(own.indptr)
    lengths = np.maximum(np.asarray(own.sum(axis=1)).ravel(), 1)
    shares = own.data / np.repeat(lengths, n_entries)
    if config.reduce_frequent_words:
        np.sqrt(shares, out=shares)
    weights = csr_matrix((shares * whole.idf[own.indices], own.indices, own.indptr), shape=own.shape)
    spread = emphasize(weights, own, present, sizes, config.spread, 0.0)
    exclusive = csr_matrix((spread.data * whole.exclusive[places], own.indices, own.indptr), shape=own.shape)
    return _summing_to_one(exclusive)


def _summing_to_one(weights: csr_matrix) -> NDArray[np.float64]:
    """Return the entries of each row divided by their sum; rows without a positive sum stay as they are."""
    sums = np.asarray(np.abs(weights).sum(axis=1)).ravel()
    found: NDArray[np.float64] = weights.data / np.repeat(
        np.where(sums > 0, sums, 1.0), np.diff(weights.indptr)
    )
    return found


def _before(codes: NDArray[np.int64], slices: IntArray) -> NDArray[np.int64]:
    """Return the row of the same topic in the slice before, -1 if it has no documents there or is the first."""
    before = np.full(len(codes), -1, np.int64)
    follows = np.flatnonzero((np.diff(codes) == 1) & (slices[1:] > 0)) + 1
    before[follows] = follows - 1
    return before
