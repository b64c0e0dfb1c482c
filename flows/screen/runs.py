"""Console: records of runs -> tables and lines in the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from topicflow.flows.screen.terminal import near, terminal
from topicflow.tasks.errors import first_line
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.run_files import whole_file

SHOWN_TOPICS = 20
SHOWN_CHARACTERS = 160
EVENTS = ("continued", "split", "merged", "born", "died")
METRICS = (
    "n_documents",
    "n_topics",
    "outlier_share",
    "stability",
    "npmi",
    "c_v",
    "diversity",
    "trustworthiness",
    "dbcv",
    "nmi",
    "ari",
    "purity",
)


def print_run(record: RunRecord, runs: Path) -> None:
    """Print a run's topics or figures, where its report is, what an update did, and which gates held it back."""
    if record.get("state") == "unchanged":
        print(f"nothing new; the latest run is {record['name']}/{record['latest']}")
        return
    folder = Path(record.get("folder", runs / record["name"] / record["run_id"]))
    console = terminal()
    if record.get("error"):
        console.print(_ended(record, record["error"]), markup=False)
        return
    if record.get("flow") == "train_classifier":
        from topicflow.flows.screen.classes import print_classifier

        print_classifier(record, folder)
        return
    if record.get("flow") == "sweep":
        from topicflow.flows.screen.sweeps import print_sweep

        print_sweep(record, folder)
        return
    if record.get("flow", "topic_model") == "topic_model":
        _print_topics(console, record, folder)
    else:
        if record["flow"] == "deduplicate":
            _print_duplicates(console, record, folder)
        _print_figures(console, record, folder)
    if "update" in record:
        _print_assigned(record)
    if tried := record.get("tried"):
        print(f"a trial with {', '.join(tried)}: latest does not change; --publish makes it the latest run")
    elif not record.get("published", True):
        print("not published: " + "; ".join(record["gates"]["failed"]))


def _print_topics(console: Console, record: RunRecord, folder: Path) -> None:
    """Print a run's topics, its metrics in one line, and where its report is."""
    topics = pl.read_parquet(whole_file(folder, "topics.parquet"))
    table = Table(
        "topic",
        "size",
        "name",
        "keywords",
        title=f"{record['n_topics']:,} topics in {record['n_documents']:,} documents",
        title_justify="left",
    )
    shown = topics.head(SHOWN_TOPICS).select("topic", "size", "name", "keywords")
    for topic, size, name, keywords in shown.iter_rows():
        table.add_row(str(topic), f"{size:,}", Text(name), Text(", ".join(keywords_besides(name, keywords))))
    console.print(table)
    if topics.height > SHOWN_TOPICS:
        console.print(
            f"… and {topics.height - SHOWN_TOPICS:,} more in {near(folder / 'topics.csv')}", markup=False
        )
    if seeds := record.get("seeds"):
        _print_seeds(console, seeds)
    known = {name: record["metrics"].get(name) for name in METRICS}
    print("  ".join(f"{name} {short_figure(value)}" for name, value in known.items() if value is not None))
    print(f"report: {near(folder / 'report.html')}")


def _print_seeds(console: Console, seeds: Sequence[RunRecord]) -> None:
    """Print in which topics each seed ended; all of it is in seeds.csv."""
    table = Table("seed", "documents", "ended in: share of its documents", title_justify="left")
    for seed in seeds[:SHOWN_TOPICS]:
        topics = [
            f"{each['topic']} {each['topic_name']} ({each['topic_size']:,} documents): {each['share']:.0%}"
            for each in seed["topics"]
        ]
        ended = "; ".join(topics) or ("no topic" if seed["n_documents"] else "no document is near it")
        table.add_row(Text(seed["name"]), f"{seed['n_documents']:,}", Text(ended))
    console.print(table)
    if len(seeds) > SHOWN_TOPICS:
        print(f"… and {len(seeds) - SHOWN_TOPICS:,} more seeds in seeds.csv")


def keywords_besides(name: str, keywords: Sequence[str]) -> Sequence[str]:
    """Return the keywords that a name does not have: it may be made of a topic's keywords, one form of each word."""
    own = name.split(", ")
    return [word for word in keywords if word not in own] if set(own) <= set(keywords) else keywords


def print_remarks(record: RunRecord) -> None:
    """Print what a person should know before reading a run's topics; a run prints it itself during its work."""
    for remark in record.get("remarks", []):
        print(f"note: {remark}")


def _print_duplicates(console: Console, record: RunRecord, folder: Path) -> None:
    """Print how similar the pairs are, what other thresholds would keep, and the least similar duplicates."""
    figures = json.loads(whole_file(folder, "metrics.json").read_bytes())
    most = max((line["pairs"] for line in figures["histogram"]), default=0)
    table = Table("similarity", "pairs", "", title="Pairs that were found", title_justify="left")
    for line in figures["histogram"]:
        bar = "█" * round(30 * line["pairs"] / most) if most else ""
        table.add_row(f"{line['from']:.3f} to {line['to']:.3f}", f"{line['pairs']:,}", bar)
    console.print(table)
    if kept_at := figures.get("kept_at"):
        shown = "  ".join(f"{line['threshold']:.3f}: {line['n_kept']:,}" for line in kept_at)
        print(f"kept at other thresholds (star groups): {shown}")
    if not record["least_similar"]:
        return
    table = Table(
        "similarity",
        "duplicate",
        "kept in its place",
        title="The least similar duplicates",
        title_justify="left",
    )
    for line in record["least_similar"]:
        texts = [" ".join(str(line[name]).split())[:SHOWN_CHARACTERS] for name in ("text", "kept_text")]
        table.add_row(f"{line['similarity']:.4f}", *map(Text, texts))
    console.print(table)


def _print_assigned(record: RunRecord) -> None:
    """Print how many documents an update added, how, and what happened to the topics."""
    update, born = record["update"], record["lineage"]
    how = f"refitted ({update['reason']})" if update["refit"] else "assigned to the topics of the last fit"
    if not update["n_new"]:
        how = "the edits and names of topics changed"
    print(f"update {update['number']}: {update['n_new']:,} new documents, {how}")
    if born and update["previous"]:
        print("topics: " + ", ".join(f"{born[event]:,} {event}" for event in EVENTS if born[event]))


def _print_figures(console: Console, record: RunRecord, folder: Path) -> None:
    """Print the figures of a run, raw beside tuned if it has both, and where its files are."""
    metrics = record.get("metrics", {})
    both = [name.removeprefix("raw_") for name in metrics if name.startswith("raw_")]
    if both:
        _print_side_by_side(console, metrics, both)
    table = Table(
        "", "", title=f"{record['name']}: {record['flow']}", title_justify="left", show_header=False
    )
    for name, value in metrics.items():
        if name.removeprefix("raw_") not in both and name.removeprefix("tuned_") not in both:
            table.add_row(
                name, short_figure(value) if isinstance(value, int | float) or value is None else str(value)
            )
    console.print(table)
    print(f"run: {near(folder)}")


def _print_side_by_side(console: Console, metrics: RunRecord, names: Sequence[str]) -> None:
    """Print figures of raw and tuned vectors beside each other; figures that both lack are left out."""
    table = Table("", "raw", "tuned", "gain")
    for name in names:
        raw, tuned = metrics[f"raw_{name}"], metrics[f"tuned_{name}"]
        if raw is not None or tuned is not None:
            gain = "" if raw is None or tuned is None else f"{tuned - raw:+.3f}"
            table.add_row(name, short_figure(raw), short_figure(tuned), gain)
    console.print(table)


def print_stages(record: RunRecord) -> None:
    """Print what each stage of a run took; nothing for a run that failed."""
    if not record.get("stages"):
        return
    table = Table("stage", "state", "seconds", "peak memory", "rows")
    table.add_column("artifact", no_wrap=True)  # `store ls` and the folders of the store have the whole key
    for stage in record.get("stages", []):
        peak = human_bytes(stage["peak_rss_bytes"]) if stage["peak_rss_bytes"] else ""
        artifact = f"{stage['kind']}/{stage['key']}"
        table.add_row(
            stage["stage"], stage["state"], f"{stage['seconds']:.1f}", peak, f"{stage['rows']:,}", artifact
        )
    terminal().print(table)


def print_runs(records: Sequence[RunRecord]) -> None:
    """Print one line a run."""
    table = Table()
    longest = max((len(f"{record['name']}/{record['run_id']}") for record in records), default=0)
    table.add_column(
        "run", min_width=longest, no_wrap=True
    )  # the id is what other commands take: it is never cut
    for heading in ("flow", "state", "gate", "documents", "topics", "outliers", "cached", "seconds"):
        table.add_column(heading)
    for record in records:
        metrics, stages = record.get("metrics", {}), record.get("stages", [])
        outliers = metrics.get("outlier_share")
        table.add_row(
            Text(f"{record['name']}/{record['run_id']}"),
            record.get("flow", "topic_model"),
            record["state"],
            _gate(record),
            _count(record.get("n_documents")),
            _count(record.get("n_topics")),
            "" if outliers is None else f"{outliers:.1%}",
            f"{sum(stage['state'] == 'cached' for stage in stages)} of {len(stages)}",
            f"{record['seconds']:.1f}",
        )
    terminal().print(table)
    for record in records:
        if record.get("error"):
            print(_ended(record, first_line(record["error"])))


def _ended(record: RunRecord, why: str) -> str:
    """Return the line of a run that published nothing; the reason of a cancelled one begins with that word."""
    said = why if why.startswith(record["state"]) else f"{record['state']}: {why}"
    return f"{record['name']}/{record['run_id']} {said}"


def print_head(record: RunRecord) -> None:
    """Print which run is shown: its name and whole id, its flow, its state, when it began, and its seconds."""
    print(
        f"{record['name']}/{record['run_id']}  {record.get('flow', 'topic_model')}  {record['state']}  "
        f"{record.get('created', '')}  {record.get('seconds', 0.0):.1f} s"
    )


def _gate(record: RunRecord) -> str:
    """Return whether a run passed its gates, or the first gate that held it back; empty if it has no gates."""
    if record.get("tried"):
        return "trial"
    if "published" not in record:
        return ""
    gates = record.get("gates") or record.get("gate")
    failed = gates.get("failed", []) if isinstance(gates, dict) else []
    return "passed" if record["published"] else f"held: {failed[0].split(' ')[0]}" if failed else "held"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def human_bytes(n: float) -> str:
    """Return a size as people read it, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"


def short_figure(value: float | None) -> str:
    """Return a metric with three decimals; counts in full."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
