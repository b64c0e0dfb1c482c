"""Console: records of runs -> what a person reads in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.runs import RunRecord

SHOWN_TOPICS = 20
METRICS = (
    "n_documents",
    "n_topics",
    "outlier_share",
    "npmi",
    "c_v",
    "diversity",
    "trustworthiness",
    "dbcv",
    "nmi",
    "ari",
    "purity",
)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def print_run(record: RunRecord, runs: Path) -> None:
    """Print a run's topics, its metrics in one line, and where its report is."""
    folder = Path(record.get("folder", runs / record["name"] / record["run_id"]))
    console = _console()
    if record.get("state") == "failed":
        console.print(f"{record['name']}/{record['run_id']} failed: {record['error']}", markup=False)
        return
    if record.get("flow") == "train_classifier":
        from flows.console_classes import print_classifier

        print_classifier(record, folder)
        return
    topics = pl.read_parquet(folder / "topics.parquet", columns=["topic", "size", "keywords"])
    table = Table(
        "topic",
        "size",
        "keywords",
        title=f"{record['n_topics']:,} topics in {record['n_documents']:,} documents",
        title_justify="left",
    )
    for topic, size, keywords in topics.head(SHOWN_TOPICS).iter_rows():
        table.add_row(str(topic), f"{size:,}", Text(", ".join(keywords)))
    console.print(table)
    if topics.height > SHOWN_TOPICS:
        console.print(f"… and {topics.height - SHOWN_TOPICS:,} more in {folder / 'topics.csv'}", markup=False)
    known = {name: record["metrics"].get(name) for name in METRICS}
    print("  ".join(f"{name} {_short(value)}" for name, value in known.items() if value is not None))
    print(f"report: {folder / 'report.html'}")


def print_stages(record: RunRecord) -> None:
    """Print what each stage of a run took; nothing for a run that failed."""
    if not record.get("stages"):
        return
    table = Table("stage", "state", "seconds", "peak memory", "rows", "artifact")
    for stage in record.get("stages", []):
        peak = human_bytes(stage["peak_rss_bytes"]) if stage["peak_rss_bytes"] else ""
        artifact = f"{stage['kind']}/{stage['key'][:12]}"
        table.add_row(
            stage["stage"], stage["state"], f"{stage['seconds']:.1f}", peak, f"{stage['rows']:,}", artifact
        )
    _console().print(table)


def print_runs(records: Sequence[RunRecord]) -> None:
    """Print one line a run."""
    table = Table("run", "state", "documents", "topics", "outliers", "computed", "seconds")
    for record in records:
        metrics, stages = record.get("metrics", {}), record.get("stages", [])
        outliers = metrics.get("outlier_share")
        table.add_row(
            Text(f"{record['name']}/{record['run_id']}"),
            record["state"],
            f"{record.get('n_documents', 0):,}",
            f"{record.get('n_topics', 0):,}",
            "" if outliers is None else f"{outliers:.1%}",
            f"{sum(stage['state'] == 'computed' for stage in stages)} of {len(stages)}",
            f"{record['seconds']:.1f}",
        )
    _console().print(table)


def print_comparison(first: RunRecord, second: RunRecord) -> None:
    """Print the metrics of two runs side by side, and the config lines that differ."""
    table = Table("", first["run_id"], second["run_id"])
    names = [
        *first.get("metrics", {}),
        *(n for n in second.get("metrics", {}) if n not in first.get("metrics", {})),
    ]
    for name in names:
        table.add_row(
            name, _short(first.get("metrics", {}).get(name)), _short(second.get("metrics", {}).get(name))
        )
    _console().print(table)
    before, after = first["config"].splitlines(), second["config"].splitlines()
    for line in before:
        if line not in after:
            print(f"- {line}")
    for line in after:
        if line not in before:
            print(f"+ {line}")


def human_bytes(n: float) -> str:
    """Return a size as people read it, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


def _short(value: float | None) -> str:
    """Return a metric in a few characters; counts in full."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
