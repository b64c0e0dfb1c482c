"""Overview: all documents so far, batch by batch, with their topics -> their metrics and the report's page.

overviews: `metrics.json` like that of `evaluate`, but without the figures of a layout; `report.html` with lasting
ids.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.states import cached
from topicflow.tasks.report.closeness import closeness
from topicflow.tasks.report.points import pack
from topicflow.tasks.report.report import Content, report_blocks
from topicflow.tasks.report.report_page import build_page
from topicflow.tasks.report.tree_block import with_tree
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, canonical_json, digest
from topicflow.tasks.topics.evaluate import PART_ROWS, known_classes, measure, read_keywords
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.topic_state import Batch, Name, TreeState, batch_stages, documents_of


def read_batches(store: ArtifactStore, batches: Sequence[Batch], stage: str, name: str) -> NDArray[Any]:
    """Return an array of all batches in order, e.g. ("cluster", "labels"); this takes some bytes per document."""
    return np.concatenate([store.array(batch_stages(batch)[stage], name) for batch in batches])


def renumber(blocks: Mapping[str, Any], ids: NDArray[np.int32], names: Mapping[int, Name]) -> dict[str, Any]:
    """Return a report's blocks with lasting ids and names instead of the numbers of the fit.

    Parameters
    ----------
    blocks : mapping
        The result of `report_blocks`.
    ids : ndarray of shape (n_topics,), int32
        Lasting id of each topic.
    names : mapping of int to Name
        The topics' names.
    """
    summary, points = dict(blocks["summary"]), dict(blocks["points"])
    summary["topics"] = [
        {**entry, "topic": int(ids[entry["topic"]]), "name": names[int(ids[entry["topic"]])].name}
        for entry in summary["topics"]
    ]
    for part in ("similarity", "timeline"):
        if summary[part] is not None:
            summary[part] = {**summary[part], "topics": [int(ids[t]) for t in summary[part]["topics"]]}
    numbers = np.frombuffer(base64.b64decode(points["topic"]), "<i4")
    points["topic"] = pack(lasting(numbers, ids))
    return {**blocks, "summary": summary, "points": points}


def lasting(labels: NDArray[np.int32], ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the lasting ids (n,) int32 of labels in a fit's numbers; -1 stays -1."""
    return np.append(ids, -1).astype(np.int32)[labels]


@task(name="overview", cache_policy=NO_CACHE, persist_result=False)
def overview(
    context: Context,
    config: UpdateTopicsConfig,
    batches: Sequence[Batch],
    topics: ArtifactRef,
    ids: Sequence[int],
    names: Mapping[int, Name],
    tree: TreeState | None = None,
) -> ArtifactRef:
    """Return metrics and page of all documents so far, computed on a miss.

    Notes
    -----
    Reads every text once to count words that occur together, and keeps 21 bytes per document in memory; writes a page
    whose size is limited by `report.max_points`. The time grows with all documents, not only with the new ones.
    """
    store = context.store
    keys = digest(canonical_json([vars(batch) for batch in batches]))
    named = digest(canonical_json([[number, vars(names[number])] for number in ids]))
    inputs = {"batches": keys, "topics": topics.key}
    if tree is not None:
        inputs |= {"tree": tree.key, "groups": digest(canonical_json(list(tree.ids)))}
    recipe = recipes.overview(config.evaluate, config.count, config.report, config.name, inputs, named)
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        labels = read_batches(store, batches, "cluster", "labels")
        documents = _tables(store, batches, "documents")
        metrics = measure(
            _texts(store, batches), read_keywords(store, topics), labels, None, None, known_classes(documents),
            config.evaluate, config.count, config.seed,
        )  # fmt: skip
        title = config.report.title or config.name
        told, centroids = sized_topics(store, topics, labels), store.array(topics, "centroids")
        names_of = ("probabilities", "reassigned")
        arrays = {"labels": labels} | {
            name: read_batches(store, batches, "cluster", name) for name in names_of
        }
        arrays["closeness"] = _closeness(store, batches, centroids)
        content = Content(
            documents,
            _tables(store, batches, "columns"),
            read_batches(store, batches, "map", "reduced"),
            arrays,
            told,
            centroids,
            metrics,
        )
        blocks = report_blocks(content, config.report, title)
        blocks = renumber(blocks, np.asarray(ids, np.int32), names)
        page = build_page(title, _with_tree(store, blocks, tree, told, ids, names))
        writer.save_json("metrics", metrics)
        writer.path("report.html").write_text(page, encoding="utf-8")
        writer.rows = len(labels)
    return store.committed(recipe, writer)


def _tables(store: ArtifactStore, batches: Sequence[Batch], name: str) -> pl.LazyFrame:
    """Return a table of all batches in order; a column is null in the batches that do not have it."""
    return pl.concat([store.table(documents_of(batch), name) for batch in batches], how="diagonal_relaxed")


def _closeness(
    store: ArtifactStore, batches: Sequence[Batch], centroids: NDArray[np.float32]
) -> NDArray[np.int16]:
    """Return how central each document is in its topic, batch by batch, so that memory holds no vectors."""
    found = []
    for batch in batches:
        stages = batch_stages(batch)
        labels = np.asarray(store.array(stages["cluster"], "labels"))
        found.append(closeness(store.array(stages["embed"], "embeddings"), labels, centroids))
    return np.concatenate(found)


def _with_tree(
    store: ArtifactStore,
    blocks: Mapping[str, Any],
    tree: TreeState | None,
    told: pl.DataFrame,
    ids: Sequence[int],
    names: Mapping[int, Name],
) -> dict[str, Any]:
    """Return the report's blocks with the tree, by lasting ids of topics and groups."""
    shown = told.select(
        pl.col("topic").alias("model_topic"),
        pl.Series("topic", ids, pl.Int32),
        "size",
        pl.Series("name", [names[number].name for number in ids], pl.String),
    )
    if tree is None:
        return with_tree(blocks, None, shown)
    nodes = store.table(ArtifactRef("trees", tree.key, "tree"), "nodes").collect()
    return with_tree(blocks, nodes, shown, tree.ids)


def sized_topics(store: ArtifactStore, topics: ArtifactRef, labels: NDArray[np.int32]) -> pl.DataFrame:
    """Return the fit's topics with their current sizes."""
    table = store.table(topics, "topics").collect().sort("topic")
    sizes = np.bincount(labels[labels >= 0], minlength=table.height).astype(np.uint32)
    return table.with_columns(pl.Series("size", sizes))


def _texts(store: ArtifactStore, batches: Sequence[Batch]) -> Iterator[pl.Series]:
    for batch in batches:
        yield from text_parts(store, documents_of(batch), PART_ROWS)
