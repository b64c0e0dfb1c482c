"""Match: the topics of a new fit and of the last one -> the lasting id of each, and a table of events.

lineages: `lineage.parquet` with event, topic (lasting id now, null for none), previous, n_shared and its share of
both topics; `matching.json` with `ids` (n_topics,), the lasting id of each topic of the new fit, and `next_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.edited_ids import ids_by_documents, unedited_ids
from topicflow.tasks.updates.given_topics import given_numbers, same_given
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
    known: Mapping[int, int] | None = None,
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
    known : mapping of int to int, optional
        Lasting ids of new topics that continue no old one, but have an id from before an edit.
    """
    known = known or {}
    totals = matching.new_sizes if totals is None else totals
    ids = []
    for new, old in enumerate(matching.old_of.tolist()):
        ids.append(old_ids[old] if old >= 0 else known.get(new, next_id))
        next_id += old < 0 and new not in known
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


@stage("match")
def match(
    context: Context,
    state: TopicState | None,
    labels: ArtifactRef,
    topics: ArtifactRef,
    config: MatchConfig,
    unedited: ArtifactRef | None = None,
) -> ArtifactRef:
    """Return the lineage of a new fit on all documents, or of other edits on the last fit, matched on a miss.

    Parameters
    ----------
    context : Context
        Where artifacts are kept and how the work is done.
    state : TopicState or None
        The last state of the topics; None in a first run, in which every topic is born.
    labels, topics : ArtifactRef
        Artifacts of the new fit; its documents are those of the last fit, in order, and then later ones.
    config : MatchConfig
        Weights and thresholds.
    unedited : ArtifactRef, optional
        The labels before edits, if the topics have edits or had some.

    Notes
    -----
    Shared documents are counted only among the documents of both fits: later documents were assigned by a vote, which
    puts the documents of a new theme into the nearest old topic.
    """
    store = context.store
    inputs = {"labels": labels.key, "topics": topics.key, "state": state.key if state else ""}
    recipe = recipes.lineage(config, inputs | ({"unedited": unedited.key} if unedited else {}))
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        lineage = (
            _trace(store, _before(state, unedited), labels, topics, config)
            if state
            else first_lineage(topics.rows)
        )
        writer.save_table("lineage", lineage.table)
        told = {"ids": lineage.ids, "next_id": lineage.next_id}
        if unedited is not None and unedited.key != labels.key:
            told |= _ids_without_edits(store, state, labels, unedited, lineage)
        writer.save_json("matching", told)
        writer.rows = lineage.table.height
        writer.meta = count_events(lineage.table)
    return store.committed(recipe, writer)


@dataclass(frozen=True)
class _Before:
    """The topics to which new ones are matched, with their lasting ids, and others whose ids may come back."""

    labels: ArtifactRef
    topics: ArtifactRef
    ids: Sequence[int]
    next_id: int
    others: tuple[ArtifactRef, Sequence[int]] | None = None


def _before(state: TopicState, unedited: ArtifactRef | None) -> _Before:
    """Return what the topics are matched to: the last ones, or, if nothing is fitted again, those without edits."""
    fit = state.fit
    last = ArtifactRef("labels", fit.labels, "cluster")
    labels, topics = fit.without_edits()
    if unedited is None or labels.key != unedited.key:
        return _Before(last, ArtifactRef("topics", fit.topics, "label"), state.ids, state.next_id)
    return _Before(labels, topics, state.ids_without_edits, state.next_id, (last, state.ids))


def _trace(
    store: ArtifactStore, last: _Before, labels: ArtifactRef, topics: ArtifactRef, config: MatchConfig
) -> Lineage:
    new = np.asarray(store.array(labels, "labels"))
    before = np.asarray(store.array(last.labels, "labels"))
    then, now = (np.asarray(store.array(ref, "centroids")) for ref in (last.topics, topics))
    matching = match_topics(
        before, new[: len(before)], then, now, config.weight, config.min_similarity,
        same_given(store, last.labels, labels),
    )  # fmt: skip
    totals = np.bincount(new[new >= 0], minlength=len(now))
    known: dict[int, int] = {}
    if last.others is not None:
        continued = matching.old_of >= 0
        taken = {*last.ids}
        old = np.asarray(store.array(last.others[0], "labels"))
        wanted = np.flatnonzero(~continued).tolist()
        known = ids_by_documents(new[: len(old)], old, last.others[1], wanted, taken)
    return trace_topics(matching, last.ids, last.next_id, config.min_share, totals, known)


def _ids_without_edits(
    store: ArtifactStore,
    state: TopicState | None,
    labels: ArtifactRef,
    unedited: ArtifactRef,
    lineage: Lineage,
) -> dict[str, Any]:
    """Return the lasting ids of a fit's topics without its edits, and the next free id; unknown topics get new ids."""
    if state is not None and state.fit.without_edits()[0].key == unedited.key:
        return {"unedited_ids": list(state.ids_without_edits)}
    before = None
    if state is not None:
        old = np.asarray(store.array(state.fit.without_edits()[0], "labels"))
        before = (old, state.ids_without_edits)
    plain, edited = (np.asarray(store.array(ref, "labels")) for ref in (unedited, labels))
    known = unedited_ids(plain, edited, lineage.ids, before)
    here, given = given_numbers(store, labels), given_numbers(store, unedited)
    known |= {given[name]: lineage.ids[number] for name, number in here.items()}
    ids, next_id = [], lineage.next_id
    for topic in range(max(int(plain.max(initial=-1)) + 1, len(given))):
        ids.append(known.get(topic, next_id))
        next_id += topic not in known
    return {"unedited_ids": ids, "next_id": next_id}


def count_events(lineage: pl.DataFrame) -> dict[str, int]:
    """Return how many topics continued, were split, merged, born or died."""
    found = dict(lineage.group_by("event").len().iter_rows())
    return {event: int(found.get(event, 0)) for event in (CONTINUED, SPLIT, "merged", BORN, DIED)}
