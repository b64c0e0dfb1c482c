"""Distinct neighbours: vectors and an index -> the nearest documents of each, with copies counted once.

A copy of the asked document is none of its neighbours, and of several copies of one text only the nearest is. So five
copies of an odd text do not make each other look ordinary, and they do not fill a list of five.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import threads
from topicflow.tasks.core.vectors.equals import equal_rows
from topicflow.tasks.core.vectors.nearest import Found, Parts, RowArray

FloatArray = NDArray[np.float32]

DRAWN = 1000
"""Documents whose pairs say how similar documents are."""

HIGH = 0.9
"""Quantile of the cosines of two documents from which on a cosine is high (tests/benchmarks/recommend.py)."""

COPY = 0.025
"""Distance of two copies as a share of the usual distance of two documents: a cosine of .98 for all-MiniLM-L6-v2."""

SPARE = 3
"""Candidates for each wanted neighbour at first, and the factor for the next attempt if too many are copies."""

DEEPEST = 1000
"""Maximum number of candidates of a document: who has more near-copies than these belongs to a crowd of its own."""

BLOCK = 1024
"""Documents that are asked for at a time."""


class Searchable(Protocol):
    """What can be asked for the nearest documents: an index of a search."""

    @property
    def vectors(self) -> Parts:
        """The unit vectors of all rows."""

    def nearest(self, vectors: FloatArray, k: int, kept: NDArray[np.bool_] | None = None) -> Found:
        """Return rows (m, k) and cosines of the kept documents nearest to unit vectors, -1 if there are fewer."""


@dataclass(frozen=True)
class Spread:
    """Cosines of documents.

    Encoders differ: two unrelated texts have a cosine of .1 in one space and of .8 in another. So what is high, and
    what is a copy, is measured against the pairs of the documents themselves.

    Attributes
    ----------
    high : float
        Minimum cosine of documents that belong together.
    copy : float
        Minimum cosine of copies, inclusive.
    """

    high: float
    copy: float

    @classmethod
    def of(cls, vectors: Parts, rows: RowArray) -> Spread:
        """Return the spread of the documents in some rows, from the pairs of a seeded sample."""
        drawn = np.sort(np.random.default_rng(0).permutation(rows)[:DRAWN])
        own = vectors.gather(drawn)
        cosines = (own @ own.T)[np.triu_indices(len(own), 1)]
        if not len(cosines):
            return cls(0.0, 1.0 - COPY)
        return cls(float(np.quantile(cosines, HIGH)), 1.0 - COPY * (1.0 - float(np.median(cosines))))


@dataclass(frozen=True)
class Neighbors:
    """The distinct neighbours of m documents, nearest first.

    Attributes
    ----------
    rows : ndarray of shape (m, k), int64
        Rows of the index, -1 if there are fewer.
    similarities : ndarray of shape (m, k), float32
        Cosines, -inf if there are fewer.
    distances : ndarray of shape (m,), float32
        The mean cosine distance to the neighbours. Without any: 1, or the distance of the farthest candidate if there
        are more copies than candidates.
    n_copies : ndarray of shape (m,), int64
        Documents of the index that are copies of the asked one, as far as they were among the candidates.
    """

    rows: RowArray
    similarities: FloatArray
    distances: FloatArray
    n_copies: NDArray[np.int64]

    @classmethod
    def none(cls, m: int, k: int) -> Neighbors:
        """Return no neighbours of `m` documents."""
        return cls(
            np.full((m, k), -1, np.int64), np.full((m, k), -np.inf, np.float32), np.ones(m, np.float32),
            np.zeros(m, np.int64),
        )  # fmt: skip


@dataclass(frozen=True)
class Distinct:
    """The documents of an index, equal vectors once.

    Attributes
    ----------
    index : Searchable
    kept : ndarray of shape (n,), bool
        The first document of each group of equal vectors.
    counts : ndarray of shape (n,), int64
        The number of documents with the vector of each kept one.
    copy : float
        Minimum cosine of copies, inclusive.
    """

    index: Searchable
    kept: NDArray[np.bool_]
    counts: NDArray[np.int64]
    copy: float

    @classmethod
    def of(cls, index: Searchable, rows: RowArray, copy: float) -> Distinct:
        """Return the distinct documents in some rows of an index."""
        n = len(index.vectors)
        kept, counts = np.zeros(n, bool), np.zeros(n, np.int64)
        with threads(None) as run:
            equal = equal_rows(np.ascontiguousarray(index.vectors.gather(rows)), run)
        firsts = rows[equal.firsts]
        kept[firsts], counts[firsts] = True, equal.counts
        return cls(index, kept, counts, copy)

    def neighbors(self, vectors: FloatArray, k: int) -> Neighbors:
        """Return the `k` nearest distinct documents for unit vectors (m, dim), which may be those of documents.

        Notes
        -----
        The time of a search for `SPARE * k` documents each, and O(m SPARE k² dim) for comparing these with each other.
        A document with more near-copies is asked for again with `SPARE` times as many candidates, at most `DEEPEST`.
        """
        found = Neighbors.none(len(vectors), k)
        most = min(DEEPEST, int(self.kept.sum()))
        asked, depth = np.arange(len(vectors)), min(SPARE * k + 1, most)
        while len(asked) and depth:
            short = [
                row
                for start in range(0, len(asked), BLOCK)
                for row in self._fill(found, vectors, asked[start : start + BLOCK], depth)
            ]
            asked = np.array(short if depth < most else [], np.int64)
            depth = min(SPARE * depth, most)
        return found

    def _fill(self, found: Neighbors, vectors: FloatArray, asked: RowArray, depth: int) -> list[int]:
        """Write the neighbours of some documents; return those that have too few among `depth` candidates."""
        rows, similarities = self.index.nearest(vectors[asked], depth, self.kept)
        short, is_all = [], depth >= int(self.kept.sum())
        for number, own in enumerate(asked.tolist()):
            there = rows[number] >= 0
            candidates, cosines = rows[number][there], similarities[number][there]
            among = self.index.vectors.gather(candidates)
            chosen = distinct_places(cosines, among, found.rows.shape[1], self.copy)
            found.rows[own, : len(chosen)] = candidates[chosen]
            found.similarities[own, : len(chosen)] = cosines[chosen]
            found.n_copies[own] = self.counts[candidates[cosines >= self.copy]].sum()
            nearest = cosines[chosen] if len(chosen) else cosines[-1:] if not is_all else np.zeros(1)
            found.distances[own] = (1.0 - nearest).mean()
            if len(chosen) < found.rows.shape[1]:
                short.append(own)
        return short


def distinct_places(cosines: FloatArray, vectors: FloatArray, k: int, copy: float) -> NDArray[np.int64]:
    """Return the places of the first `k` candidates that are copies neither of the asked document nor of each other.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float32
        Cosines of the candidates to the asked document, descending.
    vectors : ndarray of shape (n, dim), float32
        Their unit vectors.
    k : int
    copy : float
        Minimum cosine of copies, inclusive.
    """
    left = cosines < copy
    chosen: list[int] = []
    while len(chosen) < k and left.any():
        place = int(left.argmax())
        chosen.append(place)
        left &= vectors @ vectors[place] < copy
        left[place] = False  # the last digit of a cosine with itself may be below
    return np.array(chosen, np.int64)
