"""Topic tree: the tree's artifact and the topics that a run shows -> topics_tree.parquet in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tree.shown_tree import shown_tree, with_group_names

TREE = "topics_tree.parquet"
MERGES = "hierarchical_topics.parquet"


def write_tree(
    folder: Path,
    store: ArtifactStore,
    tree: ArtifactRef,
    topics: pl.DataFrame,
    group_ids: Sequence[int] | None = None,
    names: pl.DataFrame | None = None,
) -> None:
    """Write the tree of a run into its folder, and every merge if the config wants them; see `shown_tree`.

    `names` are those of a language model for groups; see `with_group_names`.
    """
    nodes = store.table(tree, "nodes").collect()
    nodes = nodes if names is None else with_group_names(nodes, names)
    shown_tree(nodes, topics, group_ids).write_parquet(folder / TREE)
    if store.meta(tree)["merges"]:
        store.table(tree, "hierarchical").collect().write_parquet(folder / MERGES)


def tree_metrics(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> dict[str, int]:
    """Return the figures of a run's tree for its metrics; none without a tree."""
    figures: dict[str, int] = store.meta(stages["tree"])["figures"] if "tree" in stages else {}
    return figures
