"""Novelty: new documents and an index -> how far each is from everything that the index holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.distinct import Neighbors
from topicflow.tasks.discovery.new_documents import NewDocuments
from topicflow.tasks.discovery.spread import distinct_of
from topicflow.tasks.search.arguments import whole_number
from topicflow.tasks.search.index import Hit, SearchIndex

COMPARED = 2000
"""Documents of the index whose scores the new ones are compared with: a share has a standard error of at most .011."""

SHOWN = 3
"""Number of neighbours shown for a document."""


@dataclass(frozen=True)
class Novelty:
    """A new document and how far it is from an index.

    Attributes
    ----------
    doc_id, text : str
    score : float
        Mean cosine distance to its nearest distinct neighbours in the index.
    beyond : float
        Share of the index's own documents whose score is lower.
    n_copies : int
        Documents of the index that are copies of it; they are not among its neighbours.
    neighbors : list of Hit
        The nearest of the neighbours.
    """

    doc_id: str
    text: str
    score: float
    beyond: float
    n_copies: int
    neighbors: list[Hit]


@dataclass(frozen=True)
class Scored:
    """The scores of new documents: score (n,), beyond (n,), and their neighbours."""

    scores: NDArray[np.float32]
    beyond: NDArray[np.float64]
    near: Neighbors

    def table(self, documents: NewDocuments) -> pl.DataFrame:
        """Return one row a document, in the order of the input: doc_id, score, beyond, n_copies, text."""
        return pl.DataFrame(
            {
                "doc_id": documents.ids,
                "score": self.scores,
                "beyond": self.beyond,
                "n_copies": self.near.n_copies,
                "text": documents.texts,
            }
        )


def score_new(index: SearchIndex, vectors: NDArray[np.float32], n_neighbors: int = 10) -> Scored:
    """Return how far unit vectors (n, dim) of new documents are from the documents of an index.

    Parameters
    ----------
    index : SearchIndex
    vectors : ndarray of shape (n, dim), float32
    n_neighbors : int
        Number of distinct neighbours whose mean cosine distance is the score.

    Raises
    ------
    ConfigError
        If `n_neighbors` is less than 1.

    Notes
    -----
    The new documents are compared with the index alone, so that a crowd of equal new ones does not hide itself. A copy
    of a document of the index has that document's own score. `beyond` is estimated on at most `COMPARED` documents of
    the index, drawn with a fixed seed.

    References
    ----------
    Angiulli, Pizzuti: Fast outlier detection in high dimensional spaces (PKDD 2002): the mean distance to k neighbours.
    """
    k = whole_number("neighbors", n_neighbors, 1, "outliers")
    distinct = distinct_of(index)
    near = distinct.neighbors(vectors, k)
    own = np.sort(distinct.neighbors(_sample(index), k).distances)
    scores = near.distances
    beyond = np.searchsorted(own, scores, side="left") / max(len(own), 1)
    return Scored(scores, beyond, near)


def most_novel(index: SearchIndex, documents: NewDocuments, scored: Scored, n: int) -> list[Novelty]:
    """Return the `n` new documents that are farthest from the index, farthest first, ties in the order of the input."""
    found = []
    for row in np.argsort(-scored.scores, kind="stable")[:n].tolist():
        rows, cosines = scored.near.rows[row, :SHOWN], scored.near.similarities[row, :SHOWN]
        near = index.hits(rows, cosines.astype(np.float64), None)
        found.append(
            Novelty(
                documents.ids[row], documents.texts[row], float(scored.scores[row]), float(scored.beyond[row]),
                int(scored.near.n_copies[row]), near,
            )
        )  # fmt: skip
    return found


def _sample(index: SearchIndex) -> NDArray[np.float32]:
    """Return the vectors of a seeded sample of the index's documents."""
    drawn = np.random.default_rng(0).permutation(index.rows)[:COMPARED]
    return index.vectors.gather(np.sort(drawn))
