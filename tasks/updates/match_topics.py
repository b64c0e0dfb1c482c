"""Match: the topics of a new fit and of the last one -> the lasting id of each, and a table of events.

lineages: `lineage.parquet` with event, topic (lasting id now, null for none), previous, n_shared and its share of
both topics; `matching.json` with `ids` (n_topics,), the lasting id of each topic of the new fit, and `next_id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.sections.update import MatchConfig
from topicflow.tasks.core.clusters.matching import (
    BORN,
    CONTINUED,
    DIED,
    SPLIT,
    Matching,
    match_topics,
    topic_events,
)
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.states import cached
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.topic_state import TopicState

SCHEMA = {
    "event": pl.String,
    "topic": pl.Int32,
    "previous": pl.Int32,
    "n_shared": pl.Int64,
    "share_of_topic": pl.Float64,
    "share_of_previous": pl.Float64,
    "similarity": pl.Float64,
}


@dataclass(frozen=True)
class Lineage:
    """Lasting ids (n_topics,) of a new fit's topics, the next free id, and the table of events."""

    ids: list[int]
    next_id: int
    table: pl.DataFrame


def trace_topics(
    matching: Matching,
    old_ids: Sequence[int],
    next_id: int,
    min_share: float,
    totals: NDArray[np.int64] | None = None,
) -> Lineage:
    """Return the lineage from a matching and the old topics' lasting ids; new topics get ids that were never used.

    Parameters
    ----------
    matching : Matching
        The result of `tasks.core.clusters.matching.match_topics`.
    old_ids : sequence of int
        Lasting id of each old topic.
    next_id : int
        The lowest id that no topic has had.
    min_share : float
        See `topic_events`.
    totals : ndarray of shape (n_topics,), int64, optional
        Documents of each new topic, including new documents; those of the matching if None.
    """
    totals = matching.new_sizes if totals is None else totals
    ids = []
    for old in matching.old_of.tolist():
        ids.append(old_ids[old] if old >= 0 else next_id)
        next_id += old < 0
    rows = []
    for event in topic_events(matching, min_share, totals):
        with_new, with_old = event.event != DIED, event.event != BORN
        both = with_new and with_old
        rows.append(
            (
                event.event,
                ids[event.new] if with_new else None,
                old_ids[event.old] if with_old else None,
                event.n_shared,
                event.n_shared / max(1, int(totals[event.new])) if both else None,
                event.n_shared / max(1, int(matching.old_sizes[event.old])) if both else None,
                float(matching.similarity[event.old, event.new]) if both else None,
            )
        )
    return Lineage(ids, next_id, pl.DataFrame(rows, schema=SCHEMA, orient="row"))


def first_lineage(n_topics: int) -> Lineage:
    """Return the lineage of a first fit: every topic is born, and its id is its number."""
    rows = [(BORN, number, None, 0, None, None, None) for number in range(n_topics)]
    return Lineage(list(range(n_topics)), n_topics, pl.DataFrame(rows, schema=SCHEMA, orient="row"))


@task(name="match", cache_policy=NO_CACHE, persist_result=False)
def match(
    context: Context,
    state: TopicState | None,
    labels: ArtifactRef,
    topics: ArtifactRef,
    config: MatchConfig,
) -> ArtifactRef:
    """Return the lineage of a new fit on all documents, matched on a miss.

    Parameters
    ----------
    store : ArtifactStore
        The store of all artifacts.
    state : TopicState or None
        The last state of the topics; None in a first run, in which every topic is born.
    labels, topics : ArtifactRef
        Artifacts of the new fit; its documents are those of the last fit, in order, and then later ones.
    config : MatchConfig
        Weights and thresholds.

    Notes
    -----
    Shared documents are counted only among the documents of both fits: later documents were assigned by a vote, which
    puts the documents of a new theme into the nearest old topic.
    """
    store = context.store
    inputs = {"labels": labels.key, "topics": topics.key, "state": state.key if state else ""}
    recipe = recipes.lineage(config, inputs)
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        lineage = _trace(store, state, labels, topics, config) if state else first_lineage(topics.rows)
        writer.save_table("lineage", lineage.table)
        writer.save_json("matching", {"ids": lineage.ids, "next_id": lineage.next_id})
        writer.rows = lineage.table.height
        writer.meta = count_events(lineage.table)
    return store.committed(recipe, writer)


def _trace(
    store: ArtifactStore,
    state: TopicState,
    labels: ArtifactRef,
    topics: ArtifactRef,
    config: MatchConfig,
) -> Lineage:
    new = np.asarray(store.array(labels, "labels"))
    before = np.asarray(store.array(ArtifactRef("labels", state.fit.labels, "cluster"), "labels"))
    then, now = (
        np.asarray(store.array(ref, "centroids"))
        for ref in (ArtifactRef("topics", state.fit.topics, "label"), topics)
    )
    matching = match_topics(before, new[: len(before)], then, now, config.weight, config.min_similarity)
    totals = np.bincount(new[new >= 0], minlength=len(now))
    return trace_topics(matching, state.ids, state.next_id, config.min_share, totals)


def count_events(lineage: pl.DataFrame) -> dict[str, int]:
    """Return how many topics continued, were split, merged, born or died."""
    found = dict(lineage.group_by("event").len().iter_rows())
    return {event: int(found.get(event, 0)) for event in (CONTINUED, SPLIT, "merged", BORN, DIED)}
