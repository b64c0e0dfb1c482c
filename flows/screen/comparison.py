"""Comparison on the screen: two runs -> their metrics, configs, and what became of their topics."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from topicflow.flows.screen.runs import SHOWN_TOPICS, short_figure
from topicflow.flows.screen.terminal import terminal
from topicflow.tasks.core.clusters.matching import BORN, DIED, MERGED, SPLIT
from topicflow.tasks.runs.compare import Comparison
from topicflow.tasks.runs.compare_page import config_changes, counted, place
from topicflow.tasks.runs.records import RunRecord

SHOWN_MOVES = 8


def print_comparison(first: RunRecord, second: RunRecord) -> None:
    """Print the metrics of two runs side by side, and the config lines that differ."""
    table = Table("", first["run_id"], second["run_id"])
    before, after = first.get("metrics", {}), second.get("metrics", {})
    for name in before | after:
        table.add_row(name, short_figure(before.get(name)), short_figure(after.get(name)))
    terminal().print(table)
    if changes := config_changes(first, second):
        print(changes)


def print_topic_changes(changes: Comparison) -> None:
    """Print which topics of two runs match, which have no counterpart, and which documents moved."""
    console = terminal()
    table = Table(
        "topic", "", "size", "", "shared", "similarity", "name", title="matched topics", title_justify="left"
    )
    for row in changes.matched.head(SHOWN_TOPICS).iter_rows(named=True):
        same = row["name_first"] == row["name_second"]
        name = row["name_first"] if same else f"{row['name_first']} → {row['name_second']}"
        table.add_row(
            str(row["first"]), str(row["second"]), f"{row['size_first']:,}", f"{row['size_second']:,}",
            f"{row['n_shared']:,}", f"{row['similarity']:.2f}", Text(name),
        )  # fmt: skip
    console.print(table)
    if changes.matched.height > SHOWN_TOPICS:
        print(f"… and {changes.matched.height - SHOWN_TOPICS:,} more (--json shows all)")
    for event in (SPLIT, MERGED, BORN, DIED):
        found = changes.events.filter(pl.col("event") == event)
        for row in found.head(SHOWN_MOVES).iter_rows(named=True):
            console.print(f"{event}: {_event(row)}", markup=False)
        if found.height > SHOWN_MOVES:
            print(f"… and {found.height - SHOWN_MOVES:,} more {event} (--output FILE writes all)")
    for one, other, n in changes.moves.head(SHOWN_MOVES).iter_rows():
        print(f"{n:,} documents moved from {place(one)} to {place(other)}")
    print(f"topics: {counted(changes)}")
    share = f" ({changes.n_moved / changes.n_shared:.1%})" if changes.n_shared else ""
    print(
        f"{changes.n_moved:,} of {changes.n_shared:,} documents of both moved{share}; {changes.n_only_first:,} only in "
        f"the first, {changes.n_only_second:,} only in the second"
    )


def _event(row: dict[str, Any]) -> str:
    """Return what became of a topic: what it was split from, or merged into."""
    if row["event"] == SPLIT:
        return f"{_side(row, 'second')}, from {_side(row, 'first')}"
    if row["event"] == MERGED:
        return f"{_side(row, 'first')}, into {_side(row, 'second')}"
    return _side(row, "first" if row["event"] == DIED else "second")


def _side(row: dict[str, Any], side: str) -> str:
    """Return number, size and name of a topic of one run."""
    return f"{row[side]} ({row[f'size_{side}']:,}) {row[f'name_{side}']}"
