"""Shown tree: the nodes of a fit and its topics as a run shows them -> the tree's table, each node below its parent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import polars as pl

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "node": pl.String,
    "parent": pl.String,
    "layer": pl.Int32,
    "parent_layer": pl.Int32,
    "topic": pl.Int32,
    "topics": pl.List(pl.Int32),
    "size": pl.UInt32,
    "name": pl.String,
    "keywords": pl.List(pl.String),
    "weights": pl.List(pl.Float32),
    "distance": pl.Float32,
}
"""Columns of topics_tree.parquet. The node of a topic has the topic's id, that of a group has a `g` before its id.

A node belongs to all layers from its own up to that of its parent, without it: a topic that is unlike the others stands
alone in several layers.
"""


NAMED = ("named_by", "name_note")
"""Columns of a tree whose groups a language model named: who gave the name, and what was unusual."""


def with_group_names(nodes: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Return the nodes of a tree's artifact with other names of its groups, and the columns NAMED.

    Parameters
    ----------
    nodes : pl.DataFrame
        The nodes.
    names : pl.DataFrame
        group, name, named_by and name_note; a group that is not there keeps its name.
    """
    named = names.select("group", pl.col("name").alias("given"), *NAMED)
    joined = nodes.join(named, on="group", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("given", "name").alias("name")).drop("given")


def down_to(shown: pl.DataFrame, layer: int) -> pl.DataFrame:
    """Return the nodes of a shown tree from the root down to a layer."""
    return shown.filter(pl.col("parent_layer").is_null() | (pl.col("parent_layer") > layer))


def shown_tree(
    nodes: pl.DataFrame, topics: pl.DataFrame, group_ids: Sequence[int] | None = None
) -> pl.DataFrame:
    """Return one row a node: a group is followed by the nodes inside it, the largest first.

    Parameters
    ----------
    nodes : pl.DataFrame
        The nodes of a tree's artifact, whose topics have the numbers of the fit; see `with_group_names`, too.
    topics : pl.DataFrame
        topic, size and name of each topic as the run shows it; `model_topic` is its number in the fit if that differs.
    group_ids : sequence of int, optional
        Lasting id of each group; by default its number.

    Notes
    -----
    The size of a group is the sum of the sizes of its topics.
    """
    number = "model_topic" if "model_topic" in topics.columns else "topic"
    layers = dict(nodes.filter(pl.col("group").is_not_null()).select("group", "layer").iter_rows())
    named = NAMED if NAMED[0] in nodes.columns else ()
    shown_of = {number, "topic", "size", "name", *(set(NAMED) & set(topics.columns))}
    own = {row[number]: row for row in topics.select(shown_of).iter_rows(named=True)}
    rows: dict[str, dict[str, Any]] = {}
    below: dict[str | None, list[str]] = defaultdict(list)
    for each in nodes.iter_rows(named=True):
        is_topic = each["topic"] is not None
        shown = own[each["topic"]] if is_topic else {**each, "topic": None}
        inside = [own[topic] for topic in each["topics"]]
        row = {
            **{name: each[name] for name in ("layer", "keywords", "weights", "distance")},
            "node": str(shown["topic"]) if is_topic else node_id(each["group"], group_ids),
            "parent": None if each["parent"] is None else node_id(each["parent"], group_ids),
            "parent_layer": layers.get(each["parent"]),
            "topic": shown["topic"],
            "topics": sorted(topic["topic"] for topic in inside),
            "size": sum(topic["size"] for topic in inside),
            **{name: shown.get(name) for name in ("name", *NAMED)},
        }
        rows[row["node"]] = row
        below[row["parent"]].append(row["node"])
    found, waiting = [], _smallest_first(below[None], rows)
    while waiting:
        node = waiting.pop()
        found.append(rows[node])
        waiting += _smallest_first(below[node], rows)
    return pl.DataFrame(found, schema=SCHEMA | dict.fromkeys(named, pl.String))


def node_id(group: int, group_ids: Sequence[int] | None) -> str:
    """Return the id of a group's node."""
    return f"g{group if group_ids is None else group_ids[group]}"


def _smallest_first(nodes: Sequence[str], rows: dict[str, dict[str, Any]]) -> list[str]:
    """Return nodes by ascending size; of equal ones, the last first."""
    largest_first = sorted(nodes, key=lambda node: int(rows[node]["size"]), reverse=True)
    return largest_first[::-1]
