"""Results: the result of a search: documents or topics, best first, and whether the whole query was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from topicflow.tasks.search.scoring.highlights import Highlight

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """The place of a document in one ranking, from 1, and its score there."""

    rank: int
    score: float


@dataclass(frozen=True)
class Hit:
    """One document found.

    Attributes
    ----------
    doc_id, text : str
        The document.
    score : float
        The score of the ranking: cosine, BM25, fused ranks, or the reranker's score.
    similarity : float or None
        Cosine to the query; None if there is no query vector.
    topic : int or None
        Topic from the run that the index names, -1 for none; None if it names no run.
    topic_name : str or None
        The topic's name.
    fields : dict
        The input's own columns.
    ranks : dict of str to Place, or None
        With `explain`: the document's place in each ranking that it is in (`dense`, `bm25`; with a reranker also the
        ranking that it read).
    highlight : Highlight or None
        With `highlight`: the sentence that matches best.
    """

    doc_id: str
    text: str
    score: float
    similarity: float | None
    topic: int | None = None
    topic_name: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    ranks: dict[str, Place] | None = None
    highlight: Highlight | None = None


@dataclass(frozen=True)
class TopicHit:
    """One topic found: its number, name, keywords and size, and the cosine of its centroid to the query."""

    topic: int
    name: str
    keywords: list[str]
    size: int
    score: float


class Results(list[T]):
    """The results of a search, best first.

    Attributes
    ----------
    truncated : bool
        Whether the query was longer than the encoder reads, so that its end counts only for BM25.
    note : str
        Why the search is not the one that was asked for, such as a language model that does not answer; empty if it is.
    """

    def __init__(self, found: Iterable[T] = (), *, truncated: bool = False, note: str = "") -> None:
        super().__init__(found)
        self.truncated, self.note = truncated, note
