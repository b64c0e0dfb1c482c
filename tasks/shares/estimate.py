"""Estimate: word counts, vectors, labels and centroids of n rows -> the shares of topics in each row.

A row's words are divided among the topics by how frequent they are there (`tasks.core.words.mixtures`), and its vector
says in advance which topics are likely. In a clear row no other topic has a larger share than the row's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.vectors.blocks import bound, threads
from topicflow.tasks.core.words.counts import read_only, topic_counts

CHUNK_ROWS = 4096
"""Rows whose similarities to all topics are in memory at a time: 25 MB for 1,500 topics."""

BLOCK_ROWS = 256
"""Rows that a thread takes at a time."""

TEMPERATURE = 0.05
"""Difference of two cosines that makes a topic e times as likely."""

SMOOTHING = 0.1
"""Part of a word's probability that all topics share. At .1 two topics of a text are found most often; .3 is worse."""

CLEAR = 0.5
"""Minimum probability of a clear row."""

Shares = tuple[NDArray[np.int32], NDArray[np.float64]]
"""Topics and shares, both (n_rows, n)."""


@dataclass(frozen=True)
class TopicModelWords:
    """What topics are made of.

    Attributes
    ----------
    by_word : sparse matrix of shape (n_words, n_topics), int64
        Occurrences.
    totals : ndarray of shape (n_topics,), float64
        Occurrences of all words in each topic.
    common : ndarray of shape (n_words,), float64
        Probability of each word in all topics together.
    directions : ndarray of shape (n_topics, dim), float32
        Unit vectors of the centroids.
    """

    by_word: csr_matrix
    totals: NDArray[np.float64]
    common: NDArray[np.float64]
    directions: NDArray[np.float32]

    @classmethod
    def of(cls, counts: csr_matrix, labels: NDArray[np.int32], centroids: NDArray[np.float32]) -> Self:
        """Return the words of topics from the counts (n_rows, n_words) and topics (n_rows,) of rows."""
        occurrences, _ = topic_counts(counts, labels, 0)
        if occurrences.shape[0] < len(centroids):  # the last topics have no documents
            shape = (len(centroids), counts.shape[1])
            ends = np.full(shape[0] - occurrences.shape[0], occurrences.indptr[-1])
            ranges = np.append(occurrences.indptr, ends)
            occurrences = csr_matrix((occurrences.data, occurrences.indices, ranges), shape=shape)
        by_word = occurrences.T.tocsr()
        by_word.sort_indices()
        all_words = np.asarray(by_word.sum(axis=1)).ravel().astype(np.float64)
        norms = np.linalg.norm(centroids, axis=1, keepdims=True)
        return cls(
            by_word,
            np.asarray(occurrences.sum(axis=1)).ravel().astype(np.float64),
            all_words / max(all_words.sum(), 1.0),
            (centroids / np.maximum(norms, 1e-12)).astype(np.float32),
        )

    def prior(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what vectors (n, dim) say of the topics, (n, n_topics), rows of the sum 1."""
        cosines = np.round(vectors @ self.directions.T, 4)  # the last bits depend on the number of threads
        raised = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / TEMPERATURE)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class Rows:
    """Rows to divide among topics: documents or passages.

    Attributes
    ----------
    counts : sparse matrix of shape (n_rows, n_words), uint8, uint16 or int32
        Word counts.
    vectors : ndarray of shape (n_rows, dim), float32
        Unit vectors.
    labels : ndarray of shape (n_rows,), int32
        Topic of each row, whose words contain the row's; -1 for none.
    probabilities : ndarray of shape (n_rows,), float32
        How sure the assignment is, from 0 to 1.
    are_counted : bool
        Whether the topics' words contain those of the rows. They do not if the rows came after the fit.
    """

    counts: csr_matrix
    vectors: NDArray[np.float32]
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    are_counted: bool = True


@dataclass(frozen=True)
class Divided:
    """The result: candidate topics and shares of each row, and topic and weight of each entry of the counts.

    A topic may stand twice in a row, with the parts of its share.
    """

    topics: NDArray[np.int32]
    shares: NDArray[np.float64]
    word_topics: NDArray[np.int32]
    word_weights: NDArray[np.float32]


def divide(rows: Rows, model: TopicModelWords, vector_weight: float) -> Divided:
    """Return the shares of topics in rows; at least one topic must exist.

    Notes
    -----
    Time is linear in the entries of the counts and in n_rows n_topics dim; memory is CHUNK_ROWS × n_topics floats in
    addition to the result.
    """
    parts = []
    for start in range(0, len(rows.labels), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        low = rows.counts.indptr[part.start]
        ranges = np.asarray(rows.counts.indptr[part.start : part.stop + 1]).astype(np.int64)
        entries = slice(int(low), int(ranges[-1]))
        own = np.asarray(rows.labels[part])
        inside = own if rows.are_counted else np.full_like(own, -1)
        counts = (
            np.asarray(rows.counts.data[entries], np.int32), np.asarray(rows.counts.indices[entries]),
            ranges - low,
        )  # fmt: skip
        prior = model.prior(np.asarray(rows.vectors[part]))
        topics, shares, *words = _mixed(counts, inside, prior, model, vector_weight)
        is_clear = (own >= 0) & (np.asarray(rows.probabilities[part]) >= CLEAR)
        lead = np.where(is_clear, _missing(topics, shares, own), 0.0)
        topics = np.column_stack([topics, np.maximum(own, 0)]).astype(np.int32)
        parts.append((topics, np.column_stack([shares, lead]), *words))
    return Divided(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _mixed(
    counts: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    assigned: NDArray[np.int32],
    prior: NDArray[np.float32],
    model: TopicModelWords,
    vector_weight: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32], NDArray[np.float32]]:
    """Return what `mix_topics` writes, computed on all cores."""
    from topicflow.tasks.core.words.mixtures import N_CANDIDATES, mix_topics

    n_docs, n_kept = len(prior), min(N_CANDIDATES, prior.shape[1])
    results = (
        np.zeros((n_docs, n_kept), np.int32), np.zeros((n_docs, n_kept)),
        np.zeros(len(counts[0]), np.int32), np.zeros(len(counts[0]), np.float32),
    )  # fmt: skip
    words = model.by_word
    topics_of_words = (words.data.astype(np.int64), words.indices, words.indptr.astype(np.int64))
    weights = (model.totals, model.common, SMOOTHING, vector_weight)
    counted = (*(read_only(each) for each in counts), read_only(assigned))
    mix = bound(mix_topics, *counted, prior, *topics_of_words, *weights, *results)
    with threads() as run:
        run(mix, n_docs, BLOCK_ROWS)
    return results


def _missing(
    topics: NDArray[np.int32], shares: NDArray[np.float64], own: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return what each row's own topic lacks to be the largest one; 0 if it is."""
    is_own = topics == own[:, None]
    held = (shares * is_own).sum(axis=1)
    most = np.where(is_own, 0.0, shares).max(axis=1, initial=0.0)
    return np.where(held > most, 0.0, most - held + TIE)


TIE = 1e-6
"""What a row's own topic has more than a topic that would be larger."""
