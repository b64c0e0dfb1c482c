"""Tree block: the nodes of a tree and the topics as they are shown -> the tree in a report's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from topicflow.tasks.tree.shown_tree import shown_tree

COLUMNS = ("node", "parent", "layer", "topic", "topics", "size", "name", "keywords", "weights")


def with_tree(
    blocks: Mapping[str, Any],
    nodes: pl.DataFrame | None,
    topics: pl.DataFrame,
    group_ids: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return a report's blocks with the nodes of the tree in their summary; None in a run without a tree.

    Parameters
    ----------
    blocks : mapping
        The result of `report_blocks`.
    nodes, topics, group_ids
        See `shown_tree`.

    Notes
    -----
    The page knows the keywords of topics already, so only groups have them here.
    """
    found = None
    if nodes is not None:
        found = shown_tree(nodes, topics, group_ids).select(COLUMNS).to_dicts()
        for each in found:
            if each["topic"] is not None:
                del each["keywords"], each["weights"], each["topics"]
    return {**blocks, "summary": {**blocks["summary"], "tree": found}}
