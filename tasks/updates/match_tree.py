"""Match tree: the groups of a new tree and of the last one -> the lasting id of each group.

group-ids: `matching.json` with `ids` (n_groups,), the lasting id of each group, and `next_id`; `lineage.parquet`, as
that of topics.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.update import MatchConfig
from topicflow.tasks.core.clusters.matching import match_groups, shared_documents
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.match_topics import Lineage, first_lineage, trace_topics
from topicflow.tasks.updates.topic_state import TopicState, TreeState


@stage("match_tree")
def match_tree(
    context: Context,
    state: TopicState | None,
    labels: ArtifactRef,
    tree: ArtifactRef,
    config: MatchConfig,
) -> ArtifactRef:
    """Return the lasting ids of the groups of a tree, matched on a miss.

    Parameters
    ----------
    context : Context
        The context of the run.
    state : TopicState or None
        The last state of the topics. If it is None or has no tree, the groups get their numbers as ids.
    labels, tree : ArtifactRef
        Labels and tree of the fit; its documents are those of the last fit, in order, and then later ones.
    config : MatchConfig
        Thresholds; groups are compared by their documents alone.
    """
    store = context.store
    known = state is not None and state.tree is not None
    inputs = {"labels": labels.key, "tree": tree.key, "state": state.key if state and known else ""}
    recipe = recipes.group_ids(config, inputs)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        before = state.tree if state else None
        lineage = (
            _trace(store, state, before, labels, tree, config)
            if state and before
            else first_lineage(_members(store, tree).shape[0])
        )
        writer.save_table("lineage", lineage.table)
        writer.save_json("matching", {"ids": lineage.ids, "next_id": lineage.next_id})
        writer.rows = len(lineage.ids)
    return store.committed(recipe, writer)


def _trace(
    store: ArtifactStore,
    state: TopicState,
    before: TreeState,
    labels: ArtifactRef,
    tree: ArtifactRef,
    config: MatchConfig,
) -> Lineage:
    old = np.asarray(store.array(ArtifactRef("labels", state.fit.labels, "cluster"), "labels"))
    everything = np.asarray(store.array(labels, "labels"))
    new = everything[: len(old)]
    members = _members(store, ArtifactRef("trees", before.key, "tree")), _members(store, tree)
    n_old, n_new = (each.shape[1] for each in members)
    shared = shared_documents(old, new, n_old, n_new)
    sizes = _sizes(old, n_old), _sizes(new, n_new)
    matching = match_groups(shared, sizes, members, config.min_similarity)
    totals = members[1] @ _sizes(everything, n_new)
    return trace_topics(matching, before.ids, before.next_id, config.min_share, totals)


def _sizes(labels: NDArray[np.int32], n_topics: int) -> NDArray[np.int64]:
    return np.bincount(labels[labels >= 0], minlength=n_topics)


def _members(store: ArtifactStore, tree: ArtifactRef) -> NDArray[np.int64]:
    """Return 1 (n_groups, n_topics) for each topic of each group of a tree."""
    nodes = store.table(tree, "nodes").select("topic", "group", "topics").collect()
    groups = nodes.filter(pl.col("group").is_not_null()).sort("group")["topics"].to_list()
    members = np.zeros((len(groups), nodes["topic"].count()), np.int64)
    for group, topics in enumerate(groups):
        members[group, topics] = 1
    return members
