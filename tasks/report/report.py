"""Report: documents, layout (n_docs, 2), labels (n_docs,), topics, metrics -> one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.duplicates.report_duplicates import duplicate_block
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.report import recipes
from topicflow.tasks.report.closeness import closeness
from topicflow.tasks.report.columns import columns_of
from topicflow.tasks.report.figures import metric_entries, topic_entries, topic_similarity
from topicflow.tasks.report.over_time import topics_over_time
from topicflow.tasks.report.points import MAX_TEXT_BYTES, point_block, sample_rows, shorten, take_texts
from topicflow.tasks.report.report_page import build_page
from topicflow.tasks.report.seed_block import seed_block
from topicflow.tasks.report.slices import group_block, period_blocks, share_block
from topicflow.tasks.report.tree_block import with_tree
from topicflow.tasks.report.whole_texts import whole_block
from topicflow.tasks.shares.shares import owners_of
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tree.shown_tree import with_group_names


@dataclass(frozen=True)
class Content:
    """What the page of a report is made of.

    Attributes
    ----------
    documents : pl.LazyFrame
        doc_id, text, and label and timestamp if there are any; n_docs rows.
    columns : pl.LazyFrame
        The input's own columns; n_docs rows.
    layout : ndarray of shape (n_docs, 2), float32
        Positions on the map.
    arrays : mapping of str to ndarray of shape (n_docs,)
        labels int32, probabilities float32, reassigned bool, closeness int16.
    topics : pl.DataFrame
        topic, size, name, keywords, weights, representative_rows.
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embedding of each topic.
    metrics : mapping
        Metrics by name, None if not defined.
    duplicates : mapping or None
        The result of `duplicate_block`, if the run left near-duplicates out.
    """

    documents: pl.LazyFrame
    columns: pl.LazyFrame
    layout: NDArray[np.float32]
    arrays: Mapping[str, NDArray[Any]]
    topics: pl.DataFrame
    centroids: NDArray[np.float32]
    metrics: Mapping[str, float | int | None]
    duplicates: Mapping[str, Any] | None = None


def report_blocks(content: Content, config: ReportConfig, title: str) -> dict[str, Any]:
    """Return the page's data blocks by element id."""
    documents, arrays = content.documents, content.arrays
    labels = np.asarray(arrays["labels"])
    entries = topic_entries(content.topics, content.layout, labels, config.n_examples)
    sizes = [entry["size"] for entry in entries]
    rows = sample_rows(labels, config.max_points)
    shown = np.array(sorted({row for entry in entries for row in entry["examples"]}), np.int64)
    needed = np.union1d(rows, shown)
    read = take_texts(documents, needed, config.max_text)
    examples = read[np.searchsorted(needed, shown)]
    texts, length = shorten(read[np.searchsorted(needed, rows)], config.max_text, MAX_TEXT_BYTES)
    del read
    whole = whole_block(documents, rows, texts, length)
    columns = columns_of(documents, content.columns, labels, rows, len(entries))
    summary = {
        "title": title,
        "n_documents": len(labels),
        "n_points": len(rows),
        "n_outliers": int((labels < 0).sum()),
        "n_reassigned": int(np.sum(arrays["reassigned"])),
        "topics": entries,
        "examples": dict(zip(map(str, shown.tolist()), examples["text"], strict=True)),
        "example_points": _points_of(shown, rows),
        "metrics": metric_entries(content.metrics),
        "similarity": topic_similarity(content.centroids, sizes),
        "timeline": _timeline(documents, labels, sizes),
        "duplicates": content.duplicates,
        "columns_left_out": columns.left_out,
    }
    points = point_block(
        texts,
        np.asarray(content.layout[rows]),
        labels[rows],
        arrays["probabilities"][rows],
        arrays["reassigned"][rows],
        arrays["closeness"][rows],
    )
    return {
        "summary": summary,
        "points": points,
        "texts": {"ids": texts["doc_id"].to_list(), "texts": texts["text"].to_list()},
        "columns": columns.by_point,
        "by_topic": columns.by_topic,
        "whole": whole,
    }


def _points_of(shown: NDArray[np.int64], rows: NDArray[np.int64]) -> dict[str, int]:
    """Return the point of each shown document that is on the map, by its row."""
    places = np.minimum(np.searchsorted(rows, shown), max(0, len(rows) - 1))
    on_map = rows[places] == shown if len(rows) else np.zeros(len(shown), bool)
    return {str(row): int(place) for row, place in zip(shown[on_map], places[on_map], strict=True)}


def _timeline(
    documents: pl.LazyFrame, labels: NDArray[np.int32], sizes: Sequence[int]
) -> dict[str, Any] | None:
    if "timestamp" not in documents.collect_schema().names():
        return None
    return topics_over_time(documents.select("timestamp").collect()["timestamp"], labels, sizes)


def add_slices(store: ArtifactStore, blocks: dict[str, Any], shown: Shown, config: ReportConfig) -> None:
    """Add topics over time, by group and by share to the page's blocks; the chart over time has their periods."""
    if shown.periods is not None:
        sizes = [entry["size"] for entry in blocks["summary"]["topics"]]
        found = period_blocks(store, shown.periods, sizes)
        blocks["summary"]["timeline"] = found["timeline"]
        blocks["periods"] = found["periods"]
    if shown.groups is not None:
        blocks["groups"] = group_block(store, shown.groups)
    if shown.seeds is not None:
        blocks["seeds"] = seed_block(store.table(shown.seeds, "seeds").collect())
    if shown.shares is not None:
        labels = np.asarray(store.array(shown.labels, "labels"))
        owners = owners_of(store, shown.documents, len(labels))
        rows = sample_rows(labels, config.max_points)
        blocks["shares"] = share_block(store, shown.shares, owners[rows])


def _duplicates(
    store: ArtifactStore, loaded: ArtifactRef | None, duplicates: ArtifactRef | None, max_text: int
) -> dict[str, Any] | None:
    if loaded is None or duplicates is None:
        return None
    documents = store.table(loaded, "documents")
    return duplicate_block(store, duplicates, lambda rows: take_texts(documents, rows, max_text))


@dataclass(frozen=True)
class Shown:
    """The artifacts that a report shows; the fields, except `loaded`, are the recipe's inputs."""

    documents: ArtifactRef
    """The documents of the topics; the kept ones if duplicates were removed."""
    layout: ArtifactRef
    labels: ArtifactRef
    topics: ArtifactRef
    metrics: ArtifactRef
    embeddings: ArtifactRef
    """The vectors of the documents, in which their closeness to a topic's middle is measured."""
    loaded: ArtifactRef | None = None
    """The documents before duplicates were removed."""
    duplicates: ArtifactRef | None = None
    """The duplicates among the documents `loaded`."""
    names: ArtifactRef | None = None
    """The table of topics with the names of a language model."""
    tree: ArtifactRef | None = None
    """The groups of topics."""
    periods: ArtifactRef | None = None
    """The topics over time."""
    groups: ArtifactRef | None = None
    """The topics by group."""
    shares: ArtifactRef | None = None
    """Several topics of each document."""
    seeds: ArtifactRef | None = None
    """The topics in which seeds ended."""

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items() if role != "loaded" and ref is not None}


def _nodes(store: ArtifactStore, shown: Shown) -> pl.DataFrame | None:
    """Return the nodes of the tree with the names of a language model if there are any; None without a tree."""
    if shown.tree is None:
        return None
    nodes = store.table(shown.tree, "nodes").collect()
    if shown.names is None or shown.names.stage != "name":  # names of a person are those of topics alone
        return nodes
    return with_group_names(nodes, store.table(shown.names, "groups").collect())


def _content(store: ArtifactStore, shown: Shown, topics: pl.DataFrame, max_text: int) -> Content:
    """Return what the page of a topic model is made of, lazily where it is large."""
    names = ("labels", "probabilities", "reassigned")
    arrays = {name: store.array(shown.labels, name) for name in names}
    centroids = store.array(shown.topics, "centroids")
    vectors = store.array(shown.embeddings, "embeddings")
    arrays["closeness"] = closeness(vectors, np.asarray(arrays["labels"]), centroids)
    return Content(
        store.table(shown.documents, "documents"),
        store.table(shown.documents, "columns"),
        store.array(shown.layout, "reduced"),
        arrays,
        topics,
        centroids,
        store.json(shown.metrics, "metrics"),
        _duplicates(store, shown.loaded, shown.duplicates, max_text),
    )


@stage("report")
def report(context: Context, shown: Shown, config: ReportConfig, name: str) -> ArtifactRef:
    """Return the report's artifact, building the page on a miss."""
    store = context.store
    recipe = recipes.report(config, name, shown.keys)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        title = config.title or name
        topics = store.table(shown.names or shown.topics, "topics").collect()
        blocks = report_blocks(_content(store, shown, topics, config.max_text), config, title)
        blocks = with_tree(blocks, _nodes(store, shown), topics)
        add_slices(store, blocks, shown, config)
        writer.path("report.html").write_text(build_page(title, blocks), encoding="utf-8")
        writer.rows = blocks["summary"]["n_points"]
        writer.meta = {"n_points": writer.rows}
    return store.committed(recipe, writer)
