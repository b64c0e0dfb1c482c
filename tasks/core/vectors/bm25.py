"""BM25: the postings of all parts of an index and the weighted words of a query -> the best documents by words.

Scores are computed for each query from counts: new and deleted documents change how rare a word is, and stored scores
would have to be recomputed for all documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.postings import Postings

FloatArray = NDArray[np.float32]

Ranked = tuple[NDArray[np.int64], FloatArray]
"""Rows, best first, ties by row, and their scores."""


@dataclass(frozen=True)
class Bm25:
    """The two constants of BM25.

    Attributes
    ----------
    k1 : float
        How much further occurrences of a word in a document count: 0 not at all; the larger, the more.
    b : float
        How much long documents are held back: from 0, not at all, to 1, by their length.

    References
    ----------
    The defaults are those of bm25s 0.2; the best of 16 pairs on cranfield is no better on held-out queries
    (tests/benchmarks/README.md).
    """

    k1: float = 1.5
    b: float = 0.75


class Lexicon:
    """The words of one part of an index: word -> its place.

    Parameters
    ----------
    words : pl.Series of str
        The different words, in the order of their places.

    Notes
    -----
    The words are found by their hashes, 16 bytes a word, and compared. A scan of all words takes ten times as long for
    the 42,000 words of 100,000 titles (.14 ms and 1.3 ms for ten words).
    """

    def __init__(self, words: pl.Series) -> None:
        self._words = words
        hashes = words.hash().to_numpy()
        self._order = np.argsort(hashes)
        self._hashes = hashes[self._order]

    def places(self, asked: Sequence[str]) -> NDArray[np.int64]:
        """Return the place (n,) of each word, -1 for an unknown word."""
        found = np.full(len(asked), -1, np.int64)
        hashes = pl.Series(asked, dtype=pl.String).hash().to_numpy()
        starts = np.searchsorted(self._hashes, hashes, side="left").tolist()
        ends = np.searchsorted(self._hashes, hashes, side="right").tolist()
        for number, (word, start, end) in enumerate(zip(asked, starts, ends, strict=True)):
            for place in self._order[start:end].tolist():  # nearly always one
                if self._words[place] == word:
                    found[number] = place
        return found


class WordSearch:
    """The words of an index, part by part, for searches; several threads may use it.

    Parameters
    ----------
    parts : sequence of Postings
        The parts of the documents, in order.
    lexicons : sequence of Lexicon
        The words of each part.
    removed : ndarray of shape (n_docs,), bool
        Deleted documents; they count neither as documents nor for the mean length, and are not found.
    """

    def __init__(
        self, parts: Sequence[Postings], lexicons: Sequence[Lexicon], removed: NDArray[np.bool_]
    ) -> None:
        self.parts, self._lexicons, self._removed = parts, lexicons, removed
        self._starts = np.cumsum([0, *(len(part.lengths) for part in parts)]).tolist()
        self._has_removed = bool(removed.any())
        self._n_live = len(removed) - int(removed.sum())

    @cached_property
    def mean_length(self) -> float:
        """The mean length in words of the documents that are not removed."""
        lengths = np.concatenate([part.lengths for part in self.parts])[~self._removed]
        return float(lengths.mean()) if len(lengths) else 0.0

    @cached_property
    def _usual_norms(self) -> list[FloatArray]:
        return self._norms(Bm25())

    def _norms(self, bm25: Bm25) -> list[FloatArray]:
        """Return for each part what is added to the count of a word in each document: k1, more for a long one."""
        k1, b, mean = bm25.k1, bm25.b, max(self.mean_length, 1e-9)
        return [(k1 * (1 - b + b * part.lengths / mean)).astype(np.float32) for part in self.parts]

    def rarity(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Return how rare each word is (n_words,) among the documents of today; 0 for a word that no document has."""
        return self._rarity(self._places(words))

    def _places(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Return the place of each word in each part (n_parts, n_words), -1 if the part lacks it."""
        return np.array([lexicon.places(words) for lexicon in self._lexicons], np.int64)

    def _rarity(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        counts = np.zeros(places.shape[1], np.int64)
        for part, own in enumerate(places.tolist()):
            counts += np.array([self._frequency(part, place) for place in own], np.int64)
        n = self._n_live
        return np.where(counts > 0, np.log1p((n - counts + 0.5) / (counts + 0.5)), 0.0)

    def best(
        self, asked: Mapping[str, float], depth: int, kept: NDArray[np.bool_] | None, bm25: Bm25
    ) -> Ranked:
        """Return the best `depth` documents that contain a word of the query, or all if there are fewer.

        Parameters
        ----------
        asked : mapping of str to float
            The words of the query and their weights, above 0.
        depth : int
            Maximum number of documents.
        kept : ndarray of shape (n_docs,), bool, or None
            Documents that may be found, without removed ones; all others if None.
        bm25 : Bm25
            The constants.

        Notes
        -----
        O(n_docs + postings of the words). A score does not depend on `depth`. Adding the rarest words first and the
        frequent ones only to documents that may still be among the best (MaxScore) was no faster on 100,000 titles: the
        bounds of short texts are loose.

        References
        ----------
        Kamphuis, de Vries, Boytsov, Lin: Which BM25 do you mean? (ECIR 2020), Lucene's variant (exact lengths).
        """
        norms = self._usual_norms if bm25 == Bm25() else self._norms(bm25)
        places = self._places(list(asked))
        gains = np.array(list(asked.values()), np.float32) * self._rarity(places).astype(np.float32)
        scores = np.zeros(self._starts[-1], np.float32)
        for part, own in enumerate(places.tolist()):
            into = scores[self._starts[part] : self._starts[part + 1]]
            for place, gain in zip(own, gains, strict=True):
                if place >= 0:
                    self._add(into, norms[part], (part, place), gain)
        rows = self._found(scores, kept)
        return _best_of(rows, scores[rows], depth)

    def _span(self, part: int, place: int) -> slice:
        offsets = self.parts[part].offsets
        return slice(int(offsets[place]), int(offsets[place + 1]))

    def _frequency(self, part: int, place: int) -> int:
        """Return the number of documents of a part that have a word and are not removed."""
        if place < 0:
            return 0
        span = self._span(part, place)
        if not self._has_removed:
            return int(span.stop) - int(span.start)
        removed = self._removed[self._starts[part] : self._starts[part + 1]]
        return int((~removed[self.parts[part].rows[span]]).sum())

    def _found(self, scores: FloatArray, kept: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Return the rows with a score that may be found."""
        rows = np.flatnonzero(scores > 0)  # of truths: of numbers it takes ten times as long
        if kept is not None:
            return rows[kept[rows]]
        return rows[~self._removed[rows]] if self._has_removed else rows

    def _add(self, into: FloatArray, norms: FloatArray, at: tuple[int, int], gain: np.float32) -> None:
        """Add what the word `at` a part and a place gives to the scores of the part's documents."""
        part, span = self.parts[at[0]], self._span(*at)
        rows, saturated = part.rows[span], part.counts[span].astype(np.float32)
        saturated /= saturated + norms[rows]
        into[rows] += gain * saturated


def _best_of(rows: NDArray[np.int64], scores: FloatArray, depth: int) -> Ranked:
    """Return the best rows and their scores, ties in order of rows."""
    if len(rows) > depth:  # all that tie with the last are sorted
        least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        rows, scores = rows[scores >= least], scores[scores >= least]
    order = np.lexsort((rows, -scores))[:depth]
    return rows[order], scores[order]
