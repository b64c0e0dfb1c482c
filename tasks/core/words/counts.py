"""Counts: texts -> sparse word counts (n_docs, n_words); counts and labels -> c-TF-IDF (n_topics, n_words)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.words.vocabulary import Vocabulary

Number = TypeVar("Number", bound=np.generic)

SLICE_CHARACTERS = 1 << 20
"""Characters tokenized at a time: a million, 15 MB of word positions; long texts need no more memory."""

LONG = 1000
"""Words of a text from which on numpy sorts them, in an eighth of the time that the kernel would take."""


@dataclass
class WordTotals:
    """Totals of each word number over all texts; grows with the numbers.

    Attributes
    ----------
    document_frequency : ndarray
        Documents that contain the word, (n_numbers or more,) int64.
    totals : ndarray
        Occurrences of the word, in the same shape.
    largest : int
        Occurrences of a word in one document, the largest number of all.
    """

    document_frequency: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1024, np.int64))
    totals: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1024, np.int64))
    largest: int = 0

    def reach(self, n_numbers: int) -> None:
        """Make room for numbers below `n_numbers`."""
        missing = n_numbers - len(self.totals)
        if missing > 0:
            room = np.zeros(max(missing, len(self.totals)), np.int64)
            self.document_frequency = np.concatenate([self.document_frequency, room])
            self.totals = np.concatenate([self.totals, room])


@dataclass(frozen=True)
class Block:
    """Words of some documents: numbers (n,) int64 ascending in each, counts (n,) int32, ranges (n_docs + 1,) int64."""

    numbers: NDArray[np.int64]
    counts: NDArray[np.int32]
    ranges: NDArray[np.int64]


def count_blocks(
    parts: Iterable[Sequence[str]], vocabulary: Vocabulary, totals: WordTotals, n_threads: int
) -> Iterator[Block]:
    """Yield the word counts of texts in parts, block by block in their order; add them to `totals`.

    Parameters
    ----------
    parts : iterable of sequences of str
        The texts.
    vocabulary : Vocabulary
        Tokenizes the texts and numbers the words.
    totals : WordTotals
        The counts are added to it.
    n_threads : int
        Threads that tokenize. The calling thread numbers the words, so the numbers do not depend on this.

    Notes
    -----
    Memory is `n_threads` + 1 slices of SLICE_CHARACTERS, the vocabulary, and 16 bytes for each word number.
    """
    from topicflow.tasks.core.words import tokens

    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[Any]] = deque()
        for texts in _slices(parts):
            waiting.append(pool.submit(vocabulary.cut, texts))
            if len(waiting) <= n_threads:
                continue
            yield _block(vocabulary, waiting.popleft().result(), totals, tokens.tally)
        while waiting:
            yield _block(vocabulary, waiting.popleft().result(), totals, tokens.tally)


def _block(vocabulary: Vocabulary, cut: Any, totals: WordTotals, tally: Callable[..., Any]) -> Block:  # noqa: ANN401
    numbers, bounds = vocabulary.number(cut)
    totals.reach(vocabulary.n_numbers)
    for document in np.flatnonzero(np.diff(bounds) > LONG).tolist():
        numbers[bounds[document] : bounds[document + 1]].sort()
    block = Block(*tally(numbers, bounds, totals.document_frequency, totals.totals))
    totals.largest = max(totals.largest, int(block.counts.max(initial=0)))
    return block


def _slices(parts: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield the texts in slices of about SLICE_CHARACTERS, at least one text each."""
    for texts in parts:
        ends = np.cumsum([len(text) for text in texts])
        start = 0
        while start < len(texts):
            before = int(ends[start - 1]) if start else 0
            end = max(start + 1, int(np.searchsorted(ends, before + SLICE_CHARACTERS, side="right")))
            yield texts[start:end]
            start = end


@dataclass(frozen=True)
class Selection:
    """The words that are counted.

    Attributes
    ----------
    words : pl.Series of shape (n_words,), String
        Sorted by code point; the position of a word is its column.
    columns : ndarray of shape (n_numbers or more,), int32
        Column of each word number, -1 for none.
    n_counts, n_tokens : int
        Number of entries in the matrix of counts, and their sum.
    largest : int
        No entry is larger: the largest count of all words, also of those that are left out.
    """

    words: pl.Series
    columns: NDArray[np.int32]
    n_counts: int
    n_tokens: int
    largest: int


def select_words(
    spell: Callable[[NDArray[np.int64]], pl.Series], totals: WordTotals, min_df: int, max_features: int | None
) -> Selection:
    """Return the words that are counted; `spell` returns the words of numbers.

    These are the words that occur in at least `min_df` documents; of these the `max_features` most frequent, ties by
    order. If no word occurs in `min_df` documents, all words are kept, so that a tiny corpus still gets keywords.
    """
    kept = np.flatnonzero(totals.document_frequency >= min_df)
    if not len(kept):
        kept = np.flatnonzero(totals.document_frequency)
    words = spell(kept)
    order = words.arg_sort().to_numpy()
    if max_features is not None and len(kept) > max_features:
        frequent = np.argsort(-totals.totals[kept[order]], kind="stable")[:max_features]
        order = order[np.sort(frequent)]
    chosen = kept[order]
    columns = np.full(len(totals.totals), -1, np.int32)
    columns[chosen] = np.arange(len(chosen), dtype=np.int32)
    n_counts, n_tokens = (int(each[chosen].sum()) for each in (totals.document_frequency, totals.totals))
    return Selection(words.gather(order).alias("word"), columns, n_counts, n_tokens, totals.largest)


def smallest_type(largest: int) -> str:
    """Return the type of counts up to `largest`: uint8 for nearly all corpora, otherwise uint16 or int32."""
    return next((name for name in ("uint8", "uint16") if largest <= np.iinfo(name).max), "int32")


def offset_type(n_entries: int) -> str:
    """Return the type of the places in a matrix of this many entries: int32, or int64 from 2**31 entries on."""
    return "int32" if n_entries <= np.iinfo(np.int32).max else "int64"


def place_words(
    blocks: Iterable[tuple[Block, NDArray[np.int32]]],
    data: NDArray[np.integer],
    indices: NDArray[np.int32],
    indptr: NDArray[np.integer],
) -> None:
    """Fill the arrays of a sparse matrix (n_docs, n_words), rows sorted, from its blocks in order.

    Parameters
    ----------
    blocks : iterable of (Block, ndarray)
        Results of `count_blocks`, each with the columns of the block's word numbers, -1 for none.
    data, indices, indptr : ndarray
        Output; may be memory-mapped. `data` must have room for the largest count.
    """
    from topicflow.tasks.core.words import tokens

    row = 0
    indptr[0] = 0
    for block, columns in blocks:
        n_docs = len(block.ranges) - 1
        tokens.place_columns(
            block.numbers, block.counts, block.ranges, columns,
            np.asarray(data), np.asarray(indices), np.asarray(indptr)[row : row + n_docs + 1],
        )  # fmt: skip
        row += n_docs


def topic_counts(
    counts: csr_matrix, labels: NDArray[np.int32], first: int, n_topics: int = 0
) -> tuple[csr_matrix, csr_matrix]:
    """Return how often, and in how many documents, each word occurs in each topic from label `first`.

    Parameters
    ----------
    counts : sparse matrix of shape (n_docs, n_words), uint8, uint16 or int32
        Word counts of the documents; may be memory-mapped. The sums are the same for each type.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document.
    first : int
        Label of row 0: 0, or -1 to count noise too.
    n_topics : int
        Number of topics; fewer than there are labels count for as many as these.

    Returns
    -------
    occurrences, documents : sparse matrices of shape (n_topics, n_words), int64 and int32
        Both with the same entries, columns ascending.

    Notes
    -----
    Two passes over the counts, in the order of topics; memory is 16 bytes for each entry of the result.
    """
    from topicflow.tasks.core.words import topic_sums as joins

    n_rows = max(int(labels.max(initial=first - 1)) + 1, n_topics) - first
    rows = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[rows], np.arange(first, first + n_rows + 1))
    sums, numbers, columns, ranges = joins.join_rows(
        read_only(counts.data), read_only(counts.indices), read_only(counts.indptr), rows[: bounds[-1]],
        bounds, counts.shape[1],
    )  # fmt: skip
    shape = (n_rows, counts.shape[1])
    occurrences = csr_matrix((sums, columns, ranges), shape=shape)
    return occurrences, csr_matrix((numbers, occurrences.indices, occurrences.indptr), shape=shape)


def read_only(array: NDArray[Number]) -> NDArray[Number]:
    """Return a view that cannot be written, as arrays of files are: a kernel is compiled for both with one type."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def weigh_classes(
    classes: csr_matrix,
    *,
    bm25_weighting: bool,
    reduce_frequent_words: bool,
    among: csr_matrix | None = None,
) -> tuple[csr_matrix, NDArray[np.float64]]:
    """Return the c-TF-IDF (n_topics, n_words) float64 of word occurrences by topic, and the idf (n_words,).

    Parameters
    ----------
    classes : sparse matrix of shape (n_topics, n_words)
        Occurrences; each word occurs in at least one topic.
    bm25_weighting : bool
        Divide by the word's frequency as in BM25.
    reduce_frequent_words : bool
        Take the square root of the term frequency.
    among : sparse matrix of shape (n_others, n_words), optional
        The classes that decide the idf; by default `classes` themselves.

    References
    ----------
    Grootendorst (2022), BERTopic, section 3.3; bertopic 0.17.4, ClassTfidfTransformer, which gives the same values.
    """
    others = classes if among is None else among
    frequency = np.bincount(others.indices, weights=others.data, minlength=others.shape[1])
    average = int(np.asarray(others.sum(axis=1)).mean())
    lengths = np.asarray(classes.sum(axis=1)).ravel()
    idf = (
        np.log(1 + (average - frequency + 0.5) / (frequency + 0.5))
        if bm25_weighting
        else np.log(average / frequency + 1)
    )
    weights = classes.data / np.repeat(lengths, np.diff(classes.indptr))
    if reduce_frequent_words:
        np.sqrt(weights, out=weights)
    weights *= idf[classes.indices]
    return csr_matrix((weights, classes.indices, classes.indptr), shape=classes.shape), idf


def emphasize(
    weights: csr_matrix,
    classes: csr_matrix,
    present: csr_matrix,
    sizes: NDArray[np.int64],
    spread: float,
    exclusivity: float,
    among: csr_matrix | None = None,
) -> csr_matrix:
    """Return c-TF-IDF weights (n_topics, n_words), higher for words that are spread over a topic and exclusive to it.

    A weight is multiplied by `p**spread`, where p is the share of the topic's documents that contain the word, and by
    `q**exclusivity`, where q is the share of the word's occurrences that lie in the topic.

    Parameters
    ----------
    weights : sparse matrix of shape (n_topics, n_words)
        c-TF-IDF.
    classes, present : sparse matrices of shape (n_topics, n_words)
        Occurrences of each word in each topic, and documents that contain it; same entries as `weights`.
    sizes : ndarray of shape (n_topics,)
        Documents of each topic.
    spread, exclusivity : float
        Exponents; with both 0 the weights are returned unchanged.
    among : sparse matrix of shape (n_others, n_words), optional
        The classes that contain all occurrences of a word once; by default `classes` themselves.

    Notes
    -----
    c-TF-IDF counts occurrences, so in a small topic a word that one document repeats outweighs a word that all share.

    References
    ----------
    Bischof, Airoldi: Summarizing topical content with word frequency and exclusivity (ICML 2012), for the idea of using
    both.
    """
    if not spread and not exclusivity:
        return weights
    raised = weights.data.copy()
    if spread:
        raised *= (present.data / np.repeat(np.maximum(sizes, 1), np.diff(weights.indptr))) ** spread
    if exclusivity:
        others = classes if among is None else among
        totals = np.bincount(others.indices, weights=others.data, minlength=others.shape[1])
        raised *= (classes.data / totals[classes.indices]) ** exclusivity
    return csr_matrix((raised, weights.indices, weights.indptr), shape=weights.shape)


def top_words(weights: csr_matrix, n: int) -> list[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """Return columns and values of the `n` largest positive weights of each row, largest first, ties by column.

    The columns of `weights` must be ascending.
    """
    best = []
    for start, end in pairwise(weights.indptr.tolist()):
        values, columns = weights.data[start:end], weights.indices[start:end]
        if end - start > 4 * n:  # no value below the n-th largest is needed
            near = np.flatnonzero(values >= np.partition(values, -n)[-n])
            values, columns = values[near], columns[near]
        order = np.argsort(-values, kind="stable")[:n]
        order = order[values[order] > 0]
        best.append((columns[order], values[order]))
    return best
