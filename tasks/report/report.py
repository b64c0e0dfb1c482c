"""Report: documents, layout (n_docs, 2), labels (n_docs,), topics, metrics -> one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.duplicates.report_duplicates import duplicate_block
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.states import cached
from topicflow.tasks.report import recipes
from topicflow.tasks.report.figures import (
    MAX_SIMILAR,
    metric_entries,
    topic_entries,
    topic_similarity,
)
from topicflow.tasks.report.over_time import topics_over_time
from topicflow.tasks.report.points import (
    MAX_TEXT_BYTES,
    point_block,
    sample_rows,
    shorten,
    take_texts,
)
from topicflow.tasks.report.report_page import build_page
from topicflow.tasks.report.seed_block import seed_block
from topicflow.tasks.report.slices import group_block, period_blocks, share_block
from topicflow.tasks.report.tree_block import with_tree
from topicflow.tasks.shares.shares import owners_of
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tree.shown_tree import with_group_names


def report_blocks(
    documents: pl.LazyFrame,
    layout: NDArray[np.float32],
    arrays: Mapping[str, NDArray[Any]],
    topics: pl.DataFrame,
    centroids: NDArray[np.float32],
    metrics: Mapping[str, float | int | None],
    config: ReportConfig,
    title: str,
    duplicates: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the page's data blocks by element id.

    Parameters
    ----------
    documents : pl.LazyFrame
        doc_id, text, and label and timestamp if there are any; n_docs rows.
    layout : ndarray of shape (n_docs, 2), float32
        Positions on the map.
    arrays : mapping of str to ndarray of shape (n_docs,)
        labels int32, probabilities float32, reassigned bool.
    topics : pl.DataFrame
        topic, size, name, keywords, weights, representative_rows.
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embedding of each topic.
    metrics : mapping
        Metrics by name, None if not defined.
    config : ReportConfig
        Settings of the report.
    title : str
        Title.
    duplicates : mapping or None
        The result of `duplicate_block`, if the run left near-duplicates out.
    """
    labels = np.asarray(arrays["labels"])
    entries = topic_entries(topics, layout, labels, config.n_examples)
    sizes = [entry["size"] for entry in entries]
    rows = sample_rows(labels, config.max_points)
    shown = np.array(sorted({row for entry in entries for row in entry["examples"]}), np.int64)
    needed = np.union1d(rows, shown)
    read = take_texts(documents, needed, config.max_text)
    examples = read[np.searchsorted(needed, shown)]
    texts, length = shorten(read[np.searchsorted(needed, rows)], config.max_text, MAX_TEXT_BYTES)
    del read
    summary = {
        "title": title,
        "n_documents": len(labels),
        "n_points": len(rows),
        "n_outliers": int((labels < 0).sum()),
        "n_reassigned": int(np.sum(arrays["reassigned"])),
        "max_text": length,
        "max_similar": MAX_SIMILAR,
        "topics": entries,
        "examples": dict(zip(map(str, shown.tolist()), examples["text"], strict=True)),
        "metrics": metric_entries(metrics),
        "similarity": topic_similarity(centroids, sizes),
        "timeline": _timeline(documents, labels, sizes),
        "duplicates": duplicates,
    }
    points = point_block(
        texts,
        np.asarray(layout[rows]),
        labels[rows],
        arrays["probabilities"][rows],
        arrays["reassigned"][rows],
    )
    return {
        "summary": summary,
        "points": points,
        "texts": {"ids": texts["doc_id"].to_list(), "texts": texts["text"].to_list()},
    }


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
    return (
        nodes
        if shown.names is None
        else with_group_names(nodes, store.table(shown.names, "groups").collect())
    )


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(context: Context, shown: Shown, config: ReportConfig, name: str) -> ArtifactRef:
    """Return the report's artifact, building the page on a miss."""
    store, labels = context.store, shown.labels
    recipe = recipes.report(config, name, shown.keys)
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        title = config.title or name
        topics = store.table(shown.names or shown.topics, "topics").collect()
        blocks = report_blocks(
            store.table(shown.documents, "documents"),
            store.array(shown.layout, "reduced"),
            {array: store.array(labels, array) for array in ("labels", "probabilities", "reassigned")},
            topics,
            store.array(shown.topics, "centroids"),
            store.json(shown.metrics, "metrics"),
            config,
            title,
            _duplicates(store, shown.loaded, shown.duplicates, config.max_text),
        )
        blocks = with_tree(blocks, _nodes(store, shown), topics)
        add_slices(store, blocks, shown, config)
        writer.path("report.html").write_text(build_page(title, blocks), encoding="utf-8")
        writer.rows = blocks["summary"]["n_points"]
        writer.meta = {"n_points": writer.rows}
    return store.committed(recipe, writer)
