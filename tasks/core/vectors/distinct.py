"""Distinct neighbours: vectors and an index -> the nearest documents of each, with copies counted once.

A copy of the asked document is none of its neighbours, and of several copies of one text only the nearest is. So five
copies of an odd text do not make each other look ordinary, and they do not fill a list of five.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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

BLOCK = 1024
"""Documents that are asked for at a time."""


class Searchable(Protocol):
    """What can be asked for the nearest documents: an index of a search."""

    def __len__(self) -> int:
        """Return the number of documents."""

    @property
    def vectors(self) -> Parts:
        """The unit vectors of all rows."""

    def nearest(self, vectors: FloatArray, k: int) -> Found:
        """Return rows (m, k) and cosines of the documents nearest to unit vectors, -1 if there are fewer."""


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
    n_copies : ndarray of shape (m,), int64
        Documents of the index that are copies of the asked one, as far as they were among the candidates.
    """

    rows: RowArray
    similarities: FloatArray
    n_copies: NDArray[np.int64]

    @property
    def distances(self) -> FloatArray:
        """The mean cosine distance (m,) to the neighbours; 1 for a document without any."""
        there = self.rows >= 0
        near = np.where(there, 1.0 - self.similarities, 0.0).sum(axis=1)
        count = there.sum(axis=1)
        return np.where(count > 0, near / np.maximum(count, 1), 1.0).astype(np.float32)


def distinct_neighbors(index: Searchable, vectors: FloatArray, k: int, copy: float) -> Neighbors:
    """Return the `k` nearest distinct documents of an index for unit vectors (m, dim).

    Parameters
    ----------
    index : Searchable
    vectors : ndarray of shape (m, dim), float32
        Unit vectors, which may be those of documents of the index.
    k : int
        Number of neighbours.
    copy : float
        Minimum cosine of copies, inclusive.

    Notes
    -----
    The time of a search for `SPARE * k` documents each, and O(m SPARE² k² dim) for comparing these with each other.
    A document with more copies than candidates is asked for again with `SPARE` times as many.
    """
    found = Neighbors(
        np.full((len(vectors), k), -1, np.int64),
        np.full((len(vectors), k), -np.inf, np.float32),
        np.zeros(len(vectors), np.int64),
    )
    asked, depth = np.arange(len(vectors)), min(SPARE * k + 1, len(index))
    while len(asked) and depth:
        short = [
            row
            for start in range(0, len(asked), BLOCK)
            for row in _fill(index, vectors, asked[start : start + BLOCK], depth, copy, found)
        ]
        asked = np.array(short if depth < len(index) else [], np.int64)
        depth = min(SPARE * depth, len(index))
    return found


def _fill(
    index: Searchable, vectors: FloatArray, asked: RowArray, depth: int, copy: float, found: Neighbors
) -> list[int]:
    """Write the neighbours of some documents into `found`; return those that have too few among the candidates."""
    rows, similarities = index.nearest(vectors[asked], depth)
    short = []
    for number, own in enumerate(asked.tolist()):
        there = rows[number] >= 0
        candidates, cosines = rows[number][there], similarities[number][there]
        among = index.vectors.gather(candidates)
        chosen = distinct_places(cosines, among @ among.T, found.rows.shape[1], copy)
        found.rows[own, : len(chosen)] = candidates[chosen]
        found.similarities[own, : len(chosen)] = cosines[chosen]
        found.n_copies[own] = int((cosines >= copy).sum())
        if len(chosen) < found.rows.shape[1]:
            short.append(own)
    return short


def distinct_places(cosines: FloatArray, among: FloatArray, k: int, copy: float) -> NDArray[np.int64]:
    """Return the places of the first `k` candidates that are copies neither of the asked document nor of each other.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float32
        Cosines of the candidates to the asked document, descending.
    among : ndarray of shape (n, n), float32
        Cosines of the candidates to each other.
    k : int
    copy : float
        Minimum cosine of copies, inclusive.
    """
    left = cosines < copy
    chosen: list[int] = []
    while len(chosen) < k and left.any():
        place = int(left.argmax())
        chosen.append(place)
        left &= among[place] < copy
        left[place] = False  # the last digit of a cosine with itself may be below
    return np.array(chosen, np.int64)
