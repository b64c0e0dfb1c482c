"""Evidence: the artifacts of a topic model -> what a language model is told of each topic.

The documents of a topic are central and different from each other: of the documents nearest to its centroid, some are
chosen by maximal marginal relevance. The nearest other topics are the contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.core.clusters.central import closest_rows
from topicflow.tasks.core.words.keywords import diverse_words
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

CANDIDATES = 8
"""Nearest documents for each one that is chosen."""

DIVERSITY = 0.4
"""Weight of the difference from the documents chosen before, against the nearness to the centroid."""

SIBLING_WORDS = 5
"""Keywords of a sibling."""

PART_ROWS = 65_536


@dataclass(frozen=True)
class Modelled:
    """References to what a topic model made of its documents; `tree` are the groups of its topics."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    labels: ArtifactRef
    topics: ArtifactRef
    tree: ArtifactRef | None = None


@dataclass(frozen=True)
class Part:
    """A finer topic inside a group of topics: its name, and its best keywords if the name is not made of them."""

    name: str
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What a language model is told of one topic, or of one group of topics.

    Attributes
    ----------
    topic, size : int
        Number of the topic (for a group its place after all topics), and of its documents.
    keywords : tuple of str
        Best first.
    documents : tuple of str
        Beginnings of documents, in one line each.
    siblings : tuple of tuple of str
        Keywords of the nearest other topics or groups, nearest first.
    name : str
        The name that is made of the keywords.
    above : tuple of str
        Keywords of the group that contains the topic; none without a tree.
    inside : tuple of Part
        The finer topics inside a group, the largest first; none for a topic.
    """

    topic: int
    size: int
    keywords: tuple[str, ...]
    documents: tuple[str, ...]
    siblings: tuple[tuple[str, ...], ...]
    name: str
    above: tuple[str, ...] = ()
    inside: tuple[Part, ...] = ()


def gather_evidence(
    store: ArtifactStore, modelled: Modelled, config: NamesConfig, wanted: Sequence[int] | None = None
) -> list[Evidence]:
    """Return the evidence of the `wanted` topics (all if None) in the order of their numbers.

    Notes
    -----
    O(n_docs · dim) for the nearest documents, and one pass over the texts.
    """
    topics = store.table(modelled.topics, "topics").sort("topic").collect()
    if topics.is_empty():
        return []
    centroids = unit_rows(np.asarray(store.array(modelled.topics, "centroids"), np.float32))
    keywords = [tuple(words) for words in topics["keywords"].to_list()]
    chosen = list(range(topics.height)) if wanted is None else sorted(wanted)
    texts = _documents(store, modelled, centroids, config, chosen)
    near = nearest_first(centroids, config.n_siblings)
    return [
        Evidence(
            topic=topic,
            size=topics["size"][topic],
            keywords=keywords[topic],
            documents=texts[topic],
            siblings=tuple(keywords[other][:SIBLING_WORDS] for other in near[topic] if keywords[other]),
            name=topics["name"][topic],
        )
        for topic in chosen
    ]


def person_names(store: ArtifactStore, topics: ArtifactRef) -> dict[int, str]:
    """Return the names that a person gave, by topic: no language model is asked about these topics."""
    table = store.table(topics, "topics")
    if "named_by" not in table.collect_schema():
        return {}
    named = table.filter(pl.col("named_by") == "person").sort("topic").select("topic", "name")
    return dict(named.collect().iter_rows())


def _documents(
    store: ArtifactStore,
    modelled: Modelled,
    centroids: NDArray[np.float32],
    config: NamesConfig,
    wanted: Sequence[int],
) -> dict[int, tuple[str, ...]]:
    """Return the beginnings of central documents that differ from each other, by topic."""
    if not config.n_documents:
        return dict.fromkeys(wanted, ())
    vectors = store.array(modelled.embeddings, "embeddings")
    labels = np.asarray(store.array(modelled.labels, "labels"))
    nearest = closest_rows(vectors, labels, centroids, CANDIDATES * config.n_documents)
    rows = np.sort(np.concatenate([nearest[topic] for topic in wanted] or [np.empty(0, np.int64)]))
    texts = dict(zip(rows.tolist(), _beginnings(store, modelled.documents, rows, config), strict=True))
    found = {}
    for topic in wanted:
        distinct = {texts[row]: row for row in reversed(nearest[topic].tolist()) if texts[row]}
        own = np.array(sorted(distinct.values(), key=nearest[topic].tolist().index), np.int64)
        order = _diverse(
            unit_rows(np.asarray(vectors[own], np.float32)), centroids[topic], config.n_documents
        )
        found[topic] = tuple(texts[int(row)] for row in own[order])
    return found


def _diverse(vectors: NDArray[np.float32], centroid: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return the places of `n` vectors near the centroid that differ from each other, the nearest first."""
    if not len(vectors):
        return np.empty(0, np.int64)
    return diverse_words(vectors, vectors @ centroid, n, DIVERSITY)


def _beginnings(
    store: ArtifactStore, documents: ArtifactRef, rows: NDArray[np.int64], config: NamesConfig
) -> list[str]:
    """Return the beginnings of the documents in ascending `rows`, each in one line; one pass, part by part."""
    taken, start, low = [], 0, 0
    line = pl.col("text").str.replace_all(r"\s+", " ").str.strip_chars()
    for part in store.table(documents, "documents").select("text").collect_batches(chunk_size=PART_ROWS):
        high = int(np.searchsorted(rows, start + part.height))
        taken += part[rows[low:high] - start].select(line)["text"].to_list()
        start, low = start + part.height, high
    return [_cut(text, config.n_chars) for text in taken]


def _cut(text: str, n_chars: int) -> str:
    """Return the beginning of a text, at most `n_chars` long, cut between words where it has any."""
    if len(text) <= n_chars:
        return text
    begin = text[: n_chars - 1]
    whole = begin.rpartition(" ")[0]
    return f"{whole if len(whole) > n_chars // 2 else begin}…"


def nearest_first(centroids: NDArray[np.float32], n: int) -> list[list[int]]:
    """Return the `n` other rows nearest to each unit vector by cosine, nearest first."""
    cosines = centroids @ centroids.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(n, len(centroids) - 1)]
    found: list[list[int]] = order.tolist()
    return found


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vectors with length 1; those of length 0 stay."""
    found: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found
