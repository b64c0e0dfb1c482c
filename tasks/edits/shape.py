"""Shape: the topics of documents while edits are applied to them, and how an edit finds a topic among them.

Topics keep their working numbers from one edit to the next: a merged topic has the number of the first one, a deleted
number stays free, and the parts of a split get new numbers. At the end topics are numbered by size as always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray
from topicflow.tasks.edits.edits_file import NamedTopic

MIN_SHARE = 0.5
"""Minimum share of the named documents that the topic has, for a topic to be found by its documents."""

MIN_PRESENT = 3
"""Minimum number of named documents that must be there (all, if fewer are named), to look for a topic by them."""

MIN_COSINE = 0.8
"""Minimum cosine of the mean of the named documents to a topic's centroid, if they are spread over several topics."""

MIN_KEYWORDS = 0.5
"""Minimum share of the named keywords that the topic has, for a topic to be found by its keywords."""


@dataclass
class Shape:
    """The topics of n_docs documents (or passages) on their way.

    Attributes
    ----------
    embeddings : ndarray of shape (n_docs, dim), float32
        Only rows of a few topics are read.
    labels, probabilities, reassigned : ndarray of shape (n_docs,)
        int32, float32, bool; the edits change them in place.
    keywords : dict
        Keywords of each topic by its working number.
    rows : mapping of str to ndarray
        The rows of each document that an edit names and that is there.
    names : dict
        Names that topics have whatever their keywords are: those of a classifier's classes, and a person's.
    by_person : set of int
        Topics whose name a person gave.
    later : frozenset of str
        Moved documents that came after the fit.
    """

    embeddings: FloatArray
    labels: LabelArray
    probabilities: FloatArray
    reassigned: NDArray[np.bool_]
    keywords: dict[int, tuple[str, ...]]
    rows: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    by_person: set[int] = field(default_factory=set)
    later: frozenset[str] = frozenset()

    def topics(self) -> list[int]:
        """Return the working numbers of all topics."""
        found: list[int] = np.unique(self.labels[self.labels >= 0]).tolist()
        return found

    def rows_of(self, documents: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of those of the documents that are there, ascending."""
        found = [self.rows[document] for document in documents if document in self.rows]
        return np.unique(np.concatenate([*found, np.empty(0, np.int64)]))

    def centroid(self, topic: int) -> FloatArray:
        """Return the mean embedding (dim,) of a topic's documents."""
        return self._mean(np.flatnonzero(self.labels == topic))

    def _mean(self, rows: NDArray[np.int64]) -> FloatArray:
        mean: FloatArray = np.asarray(self.embeddings[rows], np.float64).mean(axis=0).astype(np.float32)
        return mean

    def find(self, named: NamedTopic) -> int | str:
        """Return the working number of the topic that an edit names, or why there is none.

        It is the topic that has at least MIN_SHARE of the named documents. If they are spread, it is the one among
        their topics whose centroid is nearest to their mean, with at least MIN_COSINE; if too few of them are there, or
        none is near enough, the one with at least MIN_KEYWORDS of the named keywords.
        """
        if not named.is_described:
            return "the run whose number it is has no such topic, or is not there any more"
        present = sum(document in self.rows for document in named.documents)
        if present >= min(MIN_PRESENT, len(named.documents)) > 0:
            found = self._by_documents(self.rows_of(named.documents))
            if found is not None:
                return found
        found = self._by_keywords(named.keywords)
        if found is not None:
            return found
        if present:
            return f"its documents are in several topics, and no topic has its keywords ({_listed(named.keywords)})"
        gone = "none of its documents is there" if named.documents else "it names no documents"
        return f"{gone}, and no topic has its keywords ({_listed(named.keywords)})"

    def _by_documents(self, rows: NDArray[np.int64]) -> int | str | None:
        """Return the topic of most rows, why there is none, or None if other signs may decide."""
        own = self.labels[rows]
        topics, counts = np.unique(own[own >= 0], return_counts=True)
        if (own < 0).mean() > 1.0 - MIN_SHARE:
            return f"{int((own < 0).sum()):,} of its {len(rows):,} named documents have no topic now"
        best = np.flatnonzero(counts == counts.max(initial=0))
        if len(best) == 1 and counts[best[0]] >= MIN_SHARE * len(rows):
            return int(topics[best[0]])
        wanted = self._mean(rows)
        cosines = [_cosine(wanted, self.centroid(topic)) for topic in topics.tolist()]
        return int(topics[int(np.argmax(cosines))]) if max(cosines, default=0.0) >= MIN_COSINE else None

    def _by_keywords(self, keywords: Sequence[str]) -> int | None:
        """Return the topic with most of the keywords, None if none or more than one has enough of them."""
        wanted, here = set(keywords), self.topics()
        shared = [len(wanted & set(self.keywords.get(topic, ()))) for topic in here]
        most = max(shared, default=0)
        if not most or most < MIN_KEYWORDS * len(wanted) or shared.count(most) > 1:
            return None
        return here[shared.index(most)]


def _cosine(one: FloatArray, other: FloatArray) -> float:
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:4]) or "none are named"
