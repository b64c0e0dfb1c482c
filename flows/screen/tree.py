"""Console of trees: a run's groups of topics, each below the group that contains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from rich.text import Text
from rich.tree import Tree

from topicflow.flows.screen.terminal import terminal
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.run_files import whole_file
from topicflow.tasks.tree.shown_tree import down_to

TREE = "topics_tree.parquet"

N_WORDS = 5
"""Keywords beside a name that is not made of them."""


def tree_of(record: RunRecord, layer: int = 0) -> pl.DataFrame:
    """Return the tree of a run, from the root down to a layer.

    Raises
    ------
    ConfigError
        If the run has no tree.
    """
    folder = Path(record["folder"])
    if not (folder / TREE).exists():
        msg = (
            f"show --tree: {record['name']}/{record['run_id']} has no {TREE}; add a section [tree] to its config and "
            "run it again"
        )
        raise ConfigError(msg)
    return down_to(pl.read_parquet(whole_file(folder, TREE)), layer)


def print_tree(record: RunRecord, found: pl.DataFrame) -> None:
    """Print the tree of a run: id, name, documents and keywords of each node."""
    title = f"{record['n_topics']:,} topics of {record['name']}/{record['run_id']}"
    whole = Tree(Text(title), guide_style="dim")
    branches: dict[str | None, Tree] = {None: whole}
    for row in found.iter_rows(named=True):
        branches[row["node"]] = branches[row["parent"]].add(_line(row))
    terminal().print(whole)


def _line(row: dict[str, Any]) -> Text:
    """Return the line of a node; the keywords are left out if the name is made of them."""
    line = Text(f"{row['node']}  ", style="dim")
    line.append(row["name"], style="" if row["topic"] is not None else "bold")
    inside = f", {len(row['topics']):,} topics" if row["topic"] is None else ""
    line.append(f"  {row['size']:,} documents{inside}", style="dim")
    words = row["keywords"][:N_WORDS]
    if words and row["name"].partition(", ")[0] not in row["keywords"]:
        line.append(f"  ({', '.join(words)})", style="dim")
    return line
