"""Word weights: the texts of a corpus -> how rare its words are; a text -> its salient words; questions -> BM25 ranks.

Words are those of an index (`INDEXED`) and are known by their hashes, so that no table of words is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.vectors.bm25 import Bm25
from topicflow.tasks.core.words.cutting import INDEXED

PART_ROWS = 2048
"""Documents whose scores for all questions are computed together: 2,000 questions take 16 MB."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class WordWeights:
    """How many documents of a corpus have each word.

    Attributes
    ----------
    hashes : ndarray of shape (n_words,), uint64
        Hashes of the words, ascending.
    n_documents : ndarray of shape (n_words,), int64
        Documents that have the word.
    n : int
        Documents of the corpus.
    mean_length : float
        Their mean length in words.
    """

    hashes: Hashes
    n_documents: NDArray[np.int64]
    n: int
    mean_length: float

    def rarity_of(self, hashes: Hashes) -> NDArray[np.float64]:
        """Return how rare words are, as in BM25 (n,); 0 for a word that no document has."""
        if not len(self.hashes):
            return np.zeros(len(hashes))
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        counts = np.where(self.hashes[places] == hashes, self.n_documents[places], 0)
        return np.where(counts > 0, np.log1p((self.n - counts + 0.5) / (counts + 0.5)), 0.0)

    def saturated(self, counts: NDArray[np.int64], lengths: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Return BM25's part of a word's occurrences in documents of these lengths."""
        usual = Bm25()
        held_back = 1 - usual.b + usual.b * lengths / max(self.mean_length, 1e-9)
        found: NDArray[np.float64] = counts / (counts + usual.k1 * held_back)
        return found

    def salient_words(self, text: str, n: int) -> list[str]:
        """Return the `n` words of a text with the largest BM25 weights, in the order in which they stand in it."""
        cut = INDEXED.cut([text])
        words = cut.words()
        hashes, first, counts = np.unique(cut.hashes, return_index=True, return_counts=True)
        weights = self.rarity_of(hashes) * self.saturated(counts, len(words))
        best = np.lexsort((first, -weights))[:n]
        return [words[place] for place in np.sort(first[best]).tolist()]


def weigh_words(parts: Iterable[Sequence[str]]) -> WordWeights:
    """Return the weights of the words of a corpus, whose texts come in parts.

    Notes
    -----
    16 bytes for each different word, and the words of one part.
    """
    hashes, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    n = n_words = 0
    for texts in parts:
        cut = INDEXED.cut(texts)
        _, own, _ = counted(cut.hashes, cut.ranges)
        both = np.concatenate([hashes, own])
        weights = np.concatenate([counts, np.ones(len(own), np.int64)])
        hashes, inverse = np.unique(both, return_inverse=True)
        counts = np.bincount(inverse, weights, len(hashes)).astype(np.int64)
        n, n_words = n + len(texts), n_words + len(cut.hashes)
    return WordWeights(hashes, counts, n, n_words / max(1, n))


def counted(hashes: Hashes, ranges: NDArray[np.int64]) -> tuple[NDArray[np.int64], Hashes, NDArray[np.int64]]:
    """Return text, hash and number of occurrences of each different word of each text."""
    texts = np.repeat(np.arange(len(ranges) - 1), np.diff(ranges))
    order = np.lexsort((hashes, texts))
    texts, hashes = texts[order], hashes[order]
    is_new = np.ones(len(texts), bool)
    is_new[1:] = (texts[1:] != texts[:-1]) | (hashes[1:] != hashes[:-1])
    starts = np.flatnonzero(is_new)
    return texts[starts], hashes[starts], np.diff(np.append(starts, len(texts)))


def ranks_by_words(
    questions: Sequence[str], own: Sequence[str], parts: Iterable[Sequence[str]], weights: WordWeights
) -> NDArray[np.int64]:
    """Return for each question the rank of its own text among the texts of the corpus by BM25; 1 is best.

    Parameters
    ----------
    questions, own : sequence of str
        The questions, and the text of the passage of each.
    parts : iterable of sequence of str
        All texts of the corpus, in parts.
    weights : WordWeights
        The weights of its words.

    Notes
    -----
    O(n_questions × n_docs) time. Texts with the same score do not count, so that copies are as good as the passage. A
    passage without a word of its question has the last rank.
    """
    cut = INDEXED.cut(questions)
    asked = np.unique(cut.hashes)
    rows, hashes, _ = counted(cut.hashes, cut.ranges)
    rarity = weights.rarity_of(hashes)
    wanted = csr_matrix((rarity, (rows, np.searchsorted(asked, hashes))), shape=(len(questions), len(asked)))
    least = np.asarray(wanted.multiply(_counts_of(own, asked, weights)).sum(axis=1)).ravel()
    ranks = np.ones(len(questions), np.int64)
    for texts in parts:
        for start, end in pairwise([*range(0, len(texts), PART_ROWS), len(texts)]):
            scores = (wanted @ _counts_of(texts[start:end], asked, weights).T).toarray()
            ranks += (scores > least[:, None] + 1e-9).sum(axis=1)
    return np.where(least > 0, ranks, np.iinfo(np.int64).max)


def _counts_of(texts: Sequence[str], asked: Hashes, weights: WordWeights) -> csr_matrix:
    """Return the saturated counts (n_texts, n_asked) of the words that are asked for."""
    cut = INDEXED.cut(texts)
    rows, hashes, counts = counted(cut.hashes, cut.ranges)
    places = np.minimum(np.searchsorted(asked, hashes), max(0, len(asked) - 1))
    there = asked[places] == hashes if len(asked) else np.zeros(len(hashes), bool)
    rows, places, counts = rows[there], places[there], counts[there]
    values = weights.saturated(counts, np.diff(cut.ranges)[rows])
    return csr_matrix((values, (rows, places)), shape=(len(texts), len(asked)))
