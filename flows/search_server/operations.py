"""Operations: an open index and a request -> what is found; each is a path of HTTP and a tool of MCP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from topicflow.flows.search_server.answers import Answer, Documents, Recommendations, Topics
from topicflow.flows.search_server.library import Opened
from topicflow.flows.search_server.refusals import Refusal
from topicflow.flows.search_server.requests import (
    DocumentRequest,
    RecommendRequest,
    Request,
    SearchRequest,
    SimilarRequest,
    TopicDocumentsRequest,
    TopicsRequest,
)
from topicflow.tasks.discovery.recommend import Recommender, weights_of
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search.results import Hit

Found = dict[str, Any]
"""The values of an answer, without the names of index and run."""


def search(opened: Opened, asked: SearchRequest) -> Found:
    """Find documents for a query, by meaning, by words, or by both."""
    query = asked.query if asked.query is not None else asked.vector
    assert query is not None
    results = opened.index.search(query, **asked.ranked(), **asked.limits())
    return {"hits": _cut(results, asked.max_chars), "truncated": results.truncated, "note": results.note}


def similar(opened: Opened, asked: SimilarRequest) -> Found:
    """Find the documents that are most similar to one document."""
    _row_of(opened, asked.doc_id)
    results = opened.index.similar(asked.doc_id, **asked.limits())
    return {"hits": _cut(results, asked.max_chars)}


def recommend(opened: Opened, asked: RecommendRequest) -> Found:
    """Recommend documents that are like the ones that a person likes, from each of the person's interests."""
    recommender = Recommender(opened.index, asked.where, asked.diversity, opened.items)
    profile = recommender.profile(weights_of(asked.liked), asked.disliked)
    found = recommender.recommend(profile, asked.k)
    hits = _cut((each.hit for each in found), asked.max_chars)
    return {
        "hits": [
            {**vars(hit), "interest": each.interest, "because": each.because}
            for hit, each in zip(hits, found, strict=True)
        ]
    }


def topics(opened: Opened, asked: TopicsRequest) -> Found:
    """List all topics, or find the topics that are nearest to a query."""
    table = _topics_of(opened)
    truncated = False
    if asked.query is None:
        rows = table.slice(asked.offset, asked.k).select("topic", "name", "keywords", "size")
        found = [{**row, "score": None} for row in rows.iter_rows(named=True)]
    else:
        results = opened.index.topics(asked.query, asked.offset + asked.k)
        truncated = results.truncated
        found = [vars(topic) for topic in results[asked.offset :]]
    return {"topics": found, "n_topics": table.height, "truncated": truncated}


def topic_documents(opened: Opened, asked: TopicDocumentsRequest) -> Found:
    """Find the documents of one topic, the most typical first."""
    table = _topics_of(opened)
    assert opened.labels is not None
    assert opened.centroids is not None
    if asked.topic not in table["topic"]:
        last = table["topic"].max()
        raise Refusal(404, "unknown_topic", f"no topic {asked.topic}; topics have numbers from 0 to {last}")
    kept = opened.alive & (opened.labels == asked.topic)
    if (filtered := opened.index.filtered(asked.where)) is not None:
        kept &= filtered
    vector, wanted = opened.centroids[asked.topic], asked.offset + asked.k
    if not kept.any():
        return {"hits": []}
    rows, cosines = opened.index.nearest(vector[None], wanted, kept)
    best = slice(asked.offset, wanted)
    hits = opened.index.hits(rows[0, best], cosines[0, best].astype(np.float64), vector)
    return {"hits": _cut(hits, asked.max_chars)}


def document(opened: Opened, asked: DocumentRequest) -> Found:
    """Return one document by its id, with its whole text."""
    row = _row_of(opened, asked.doc_id)
    return {"hits": opened.index.hits(np.array([row]), np.array([1.0]), None)}


@dataclass(frozen=True)
class Operation:
    """An operation: its name, what it does, and what it is asked and answers.

    Attributes
    ----------
    do : callable
        Does it; its docstring says what it does.
    request : type
        The model of its requests.
    answer : type
        The model of its answers.
    """

    do: Callable[[Opened, Any], Found]
    request: type[Request]
    answer: type[Answer]

    @property
    def name(self) -> str:
        """Its name, and the name of its tool."""
        return self.do.__name__

    @property
    def path(self) -> str:
        """The last part of its path."""
        return self.name.replace("_", "-")

    @property
    def about(self) -> str:
        """What it does, in one sentence."""
        return str(self.do.__doc__)


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(search, SearchRequest, Documents),
        Operation(similar, SimilarRequest, Documents),
        Operation(recommend, RecommendRequest, Recommendations),
        Operation(topics, TopicsRequest, Topics),
        Operation(topic_documents, TopicDocumentsRequest, Documents),
        Operation(document, DocumentRequest, Documents),
    )
}


def _cut(hits: Iterable[Hit], max_chars: int | None) -> list[Hit]:
    """Return the hits with texts of at most `max_chars` characters."""
    if max_chars is None:
        return list(hits)
    return [
        hit if len(hit.text) <= max_chars else replace(hit, text=f"{hit.text[:max_chars]}…") for hit in hits
    ]


def _row_of(opened: Opened, doc_id: str) -> int:
    try:
        return opened.index.row_of(doc_id)
    except ConfigError as error:
        raise Refusal(404, "unknown_document", str(error)) from None


def _topics_of(opened: Opened) -> Any:  # noqa: ANN401  (a pl.DataFrame)
    if opened.topics is None:
        msg = "the index has no topics; set index.topics to a topic model's run and index again"
        raise Refusal(404, "no_topics", msg)
    return opened.topics
