"""Overview: all documents so far, batch by batch, with their topics -> their metrics and the report's page.

overviews: `metrics.json` like that of `evaluate`, but without the figures of a layout; `report.html` with lasting
ids.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.documents.document_rows import own_columns
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.report.closeness import closeness
from topicflow.tasks.report.points import pack, sample_rows
from topicflow.tasks.report.report import Content, report_blocks
from topicflow.tasks.report.report_page import build_page
from topicflow.tasks.report.slices import block_of_shares, group_block, period_blocks
from topicflow.tasks.report.tree_block import with_tree
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, canonical_json, digest
from topicflow.tasks.topics.evaluate import PART_ROWS, known_classes, measure, read_keywords
from topicflow.tasks.tree.shown_tree import with_group_names
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
    points["topic"] = _renumbered(points["topic"], ids)
    return {**blocks, "summary": summary, "points": points, **_renumbered_slices(blocks, ids)}


def _renumbered(packed: str, ids: NDArray[np.int32]) -> str:
    """Return packed numbers of topics as lasting ids."""
    return pack(lasting(np.frombuffer(base64.b64decode(packed), "<i4"), ids))


def _renumbered_rows(rows: Iterable[dict[str, Any]], ids: NDArray[np.int32]) -> list[dict[str, Any]]:
    """Return rows of a report's data with lasting ids instead of the fit's numbers in `topic`."""
    return [{**row, "topic": int(ids[row["topic"]])} for row in rows]


def _renumbered_slices(blocks: Mapping[str, Any], ids: NDArray[np.int32]) -> dict[str, Any]:
    """Return the blocks of topics over time, by group and by share, as far as there are any, with lasting ids."""
    found: dict[str, Any] = {}
    if "periods" in blocks:
        own = blocks["periods"]
        parts = {part: _renumbered_rows(own[part], ids) for part in ("trends", "topics")}
        found["periods"] = {**own, **parts}
    if "groups" in blocks:
        found["groups"] = [
            {
                **column,
                "values": [
                    {**value, "topics": _renumbered_rows(value["topics"], ids)} for value in column["values"]
                ],
            }
            for column in blocks["groups"]
        ]
    if "shares" in blocks:
        own = blocks["shares"]
        spoken = [[[word, int(ids[topic])] for word, topic in pairs] for pairs in own["spoken"]]
        found["shares"] = {**own, "topics": _renumbered(own["topics"], ids), "spoken": spoken}
    return found


def add_slices(
    store: ArtifactStore,
    blocks: dict[str, Any],
    slices: Mapping[str, ArtifactRef],
    batches: Sequence[Batch],
    config: ReportConfig,
) -> None:
    """Add topics over time, by group and by share to a report's blocks, in numbers of the fit."""
    if "periods" in slices:
        sizes = [entry["size"] for entry in blocks["summary"]["topics"]]
        found = period_blocks(store, slices["periods"], sizes)
        blocks["summary"]["timeline"] = found["timeline"]
        blocks["periods"] = found["periods"]
    if "groups" in slices:
        blocks["groups"] = group_block(store, slices["groups"])
    if batches[-1].shares:
        rows = sample_rows(read_batches(store, batches, "cluster", "labels"), config.max_points)
        tables = [store.table(batch_stages(batch)["shares"], "shares") for batch in batches]
        blocks["shares"] = block_of_shares(pl.concat(tables).collect()[rows])


def lasting(labels: NDArray[np.int32], ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the lasting ids (n,) int32 of labels in a fit's numbers; -1 stays -1."""
    return np.append(ids, -1).astype(np.int32)[labels]


@stage("overview")
def overview(
    context: Context,
    config: UpdateTopicsConfig,
    batches: Sequence[Batch],
    topics: ArtifactRef,
    ids: Sequence[int],
    names: Mapping[int, Name],
    tree: TreeState | None = None,
    slices: Mapping[str, ArtifactRef] | None = None,
) -> ArtifactRef:
    """Return metrics and page of all documents so far, computed on a miss.

    `slices` are the artifacts of the stages `periods` and `groups`; the shares are those of the batches.

    Notes
    -----
    Reads every text once to count words that occur together, and keeps 21 bytes per document in memory; writes a page
    whose size is limited by `report.max_points`. The time grows with all documents, not only with the new ones.
    """
    store = context.store
    basic = ("documents", "embeddings", "labels", "layout")
    keys = digest(canonical_json([{name: getattr(batch, name) for name in basic} for batch in batches]))
    named = digest(canonical_json([[number, vars(names[number])] for number in ids]))
    inputs = {"batches": keys, "topics": topics.key}
    if tree is not None:
        inputs |= {"tree": tree.key, "groups": digest(canonical_json(list(tree.ids)))}
        if tree.names:
            inputs["group_names"] = digest(canonical_json(sorted(tree.names.items())))
    inputs |= {stage: ref.key for stage, ref in (slices or {}).items()}
    if batches[-1].shares:
        inputs |= {"shares": digest(canonical_json([batch.shares for batch in batches]))}
    recipe = recipes.overview(config.evaluate, config.count, config.report, config.name, inputs, named)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        labels = read_batches(store, batches, "cluster", "labels")
        documents = _documents(store, batches)
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
            own_columns(store, [documents_of(batch) for batch in batches]),
            read_batches(store, batches, "map", "reduced"),
            arrays,
            told,
            centroids,
            metrics,
        )
        blocks = report_blocks(content, config.report, title)
        add_slices(store, blocks, slices or {}, batches, config.report)
        blocks = renumber(blocks, np.asarray(ids, np.int32), names)
        page = build_page(title, _with_tree(store, blocks, tree, told, ids, names))
        writer.save_json("metrics", metrics)
        writer.path("report.html").write_text(page, encoding="utf-8")
        writer.rows = len(labels)
    return store.committed(recipe, writer)


def _documents(store: ArtifactStore, batches: Sequence[Batch]) -> pl.LazyFrame:
    """Return the documents of all batches in order; a column is null in the batches that do not have it."""
    tables = [store.table(documents_of(batch), "documents") for batch in batches]
    return pl.concat(tables, how="diagonal_relaxed")


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
    if (given := group_names(tree)) is not None:
        nodes = with_group_names(nodes, given)
    return with_tree(blocks, nodes, shown, tree.ids)


def group_names(tree: TreeState) -> pl.DataFrame | None:
    """Return the names that a language model gave groups: see `with_group_names`; None without any."""
    if not tree.names:
        return None
    rows = [
        (group, tree.names.get(number), "model" if number in tree.names else "keywords", None)
        for group, number in enumerate(tree.ids)
    ]
    schema = {"group": pl.Int32, "name": pl.String, "named_by": pl.String, "name_note": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def sized_topics(store: ArtifactStore, topics: ArtifactRef, labels: NDArray[np.int32]) -> pl.DataFrame:
    """Return the fit's topics with their current sizes."""
    table = store.table(topics, "topics").collect().sort("topic")
    sizes = np.bincount(labels[labels >= 0], minlength=table.height).astype(np.uint32)
    return table.with_columns(pl.Series("size", sizes))


def _texts(store: ArtifactStore, batches: Sequence[Batch]) -> Iterator[pl.Series]:
    for batch in batches:
        yield from text_parts(store, documents_of(batch), PART_ROWS)
