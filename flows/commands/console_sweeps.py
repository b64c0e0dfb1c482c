"""Console of sweeps: the settings with their figures, and what was recommended."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.table import Table
from rich.text import Text

from topicflow.flows.commands.terminal import near, terminal
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.run_files import whole_file

SHOWN_SETTINGS = 20

HIDDEN = ("median_topic_size", "largest_topic_share", "c_v", "trustworthiness")
"""Columns of sweep.parquet that the terminal has no place for."""


def print_sweep(record: RunRecord, folder: Path) -> None:
    """Print the best settings of a sweep, the reasons of those that were skipped, and where its page is."""
    found = pl.read_parquet(whole_file(folder, "sweep.parquet")).drop(HIDDEN, strict=False)
    n_skipped = len(record["skipped"])
    skipped = f", {n_skipped:,} skipped" if n_skipped else ""
    table = Table(title=f"{found.height:,} settings{skipped}", title_justify="left")
    for name in found.columns:
        table.add_column(Text(name.rpartition(".")[2] if "." in name else name))
    for row in found.head(SHOWN_SETTINGS).iter_rows():
        table.add_row(*(Text(_short(value)) for value in row))
    terminal().print(table)
    if found.height > SHOWN_SETTINGS:
        print(f"… and {found.height - SHOWN_SETTINGS:,} more in {near(folder / 'sweep.parquet')}")
    for reason in dict.fromkeys(each["reason"] for each in record["skipped"]):
        print(f"skipped: {reason}")


def _short(value: object) -> str:
    """Return a value with three decimals; counts in full."""
    if value is None:
        return ""
    return (
        f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
