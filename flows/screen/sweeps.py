"""Console of sweeps: the settings with their figures, and what was recommended."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.table import Table
from rich.text import Text

from topicflow.flows.screen.terminal import near, terminal
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.run_files import whole_file

SHOWN_SETTINGS = 20

SHOWN = {
    "n_topics": "topics",
    "outlier_share": "outliers",
    "dbcv": "dbcv",
    "npmi": "npmi",
    "diversity": "diverse",
    "stability": "stable",
    "agreement": "agree",
    "nmi": "nmi",
    "ari": "ari",
    "seconds": "s",
    "score": "score",
}
"""Columns of sweep.parquet that the terminal has a place for, after the varied keys, with short headings."""


def print_sweep(record: RunRecord, folder: Path) -> None:
    """Print the best settings of a sweep, the reasons of those that were skipped, and where its page is."""
    found = pl.read_parquet(whole_file(folder, "sweep.parquet"))
    found = found.sort("score", descending=True, maintain_order=True)
    keys = {name: name.partition(".")[2] for name in found.columns if "." in name}
    headings = {
        "setting": "",
        **keys,
        **{name: text for name, text in SHOWN.items() if name in found.columns},
    }
    n_skipped = len(record["skipped"])
    skipped = f", {n_skipped:,} skipped" if n_skipped else ""
    table = Table(title=f"{found.height:,} settings{skipped}", title_justify="left")
    for name, heading in headings.items():
        table.add_column(Text(heading), overflow="fold" if name in keys else "ellipsis")
    for row in found.head(SHOWN_SETTINGS).iter_rows(named=True):
        table.add_row(*(Text(_short(row[name])) for name in headings))
    terminal().print(table)
    if found.height > SHOWN_SETTINGS:
        print(f"… and {found.height - SHOWN_SETTINGS:,} more in {near(folder / 'sweep.parquet')}")
    for reason in dict.fromkeys(each["reason"] for each in record["skipped"]):
        print(f"skipped: {reason}")
    print(f"page: {near(folder / 'sweep.html')}")
    print(record["recommendation"]["sentence"])
    if record["recommendation"]["chosen"] is not None:
        print(f"take it: topicflow run CONFIG --from-sweep {record['run_id']}")


def _short(value: object) -> str:
    """Return a value with two decimals; counts in full."""
    if value is None:
        return ""
    return (
        f"{value:.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
