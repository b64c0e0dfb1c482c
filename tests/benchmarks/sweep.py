"""60 settings on 20,000 documents beside one run of the same config; prints JSON.

    python -m tests.benchmarks.sweep --work DIR

Both are whole processes, `topicflow run` and `topicflow sweep` as a user types them, without a Prefect server, each on
an empty store in DIR; the first pair, on 500 documents, compiles and is not counted. `cpu_s` is the time on all cores,
which other programs on the machine change less than `seconds`. `without_labels`: what the score, without draws, chooses
on three corpora if known labels do not count, beside the best NMI of the sweep, and the same without detail.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tests.benchmarks.corpora import CORPORA
from tests.benchmarks.peer import machine
from topicflow.tasks.sweeps.figures import eligible, judged_figures, ranked, scale_of

CONFIG = """
name = "arxiv"
[load]
path = "{path}"
text_column = "title"
label_column = "primary_cat"
{limit}
[embed]
method = "static"
[cluster]
min_cluster_size = 50
"""

VARY = ("cluster.min_cluster_size=10..200:10", "cluster.selection=eom,leaf", "reduce.steps=3,5,8")
"""Ten sizes, two selections, three numbers of steps: 60 settings with three reductions."""

SIZES = ("cluster.min_cluster_size=5,10,20,50,100,200", "cluster.selection=eom,leaf")
"""Twelve settings, for the corpora of which only the choice is looked at."""


def timed(work: Path, command: str, config: Path, *options: str) -> dict[str, Any]:
    """Return the seconds of a command on an empty store, and its record."""
    folder = work / command
    shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, "-m", "topicflow.flows.commands.cli", command, str(config), "--json", *options]
    words += ["--store", str(folder / "store"), "--runs", str(folder / "runs")]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    record = json.loads(done.stdout)
    return {
        "seconds": round(seconds, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "stages": {stage["stage"]: stage["seconds"] for stage in record["stages"]},
        "metrics": record["metrics"],
        "recommendation": record.get("recommendation", {}).get("sentence"),
    }


def without_labels(work: Path, corpus: str, vary: Sequence[str]) -> dict[str, Any]:
    """Return what the score alone chooses if labels do not count, beside the best NMI; draws are left out."""
    known = CORPORA[corpus]
    config = work / f"{corpus}.toml"
    lines = CONFIG.format(path=known.path(work), limit="")
    lines = lines.replace('"title"', json.dumps(known.text_column))
    config.write_text(lines.replace('"primary_cat"', json.dumps(known.label_column)), encoding="utf-8")
    words = [word for each in vary for word in ("--vary", each)]
    timed(work, "sweep", config, *words, "--set", "sweep.finalists=1")
    table = pl.read_parquet(work / "sweep" / "runs" / "arxiv-sweep" / "latest" / "sweep.parquet")
    row: dict[str, Any] = {"settings": table.height, "best_nmi": round(float(table["nmi"].max()), 3)}  # type: ignore[arg-type]
    fits = eligible(table)
    for name, left_out in (("score", ["nmi"]), ("without_detail", ["nmi", "detail"])):
        judged = judged_figures(table)
        judged = judged.drop(each for each in left_out if each in judged.columns)
        best = int(ranked(scale_of(judged).scores(judged), fits)[0])
        row[name] = {"topics": table["n_topics"][best], "nmi": round(table["nmi"][best], 3)}
    return row


def main() -> None:
    """Print one run and one sweep as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    path = CORPORA["arxiv_20k"].path(args.work)
    small, config = args.work / "small.toml", args.work / "arxiv.toml"
    small.write_text(CONFIG.format(path=path, limit="limit = 500"), encoding="utf-8")
    config.write_text(CONFIG.format(path=path, limit=""), encoding="utf-8")
    vary = [word for each in VARY for word in ("--vary", each)]
    timed(args.work, "run", small)
    timed(args.work, "sweep", small, "--vary", "cluster.min_cluster_size=10,20")
    one = timed(args.work, "run", config)
    many = timed(args.work, "sweep", config, *vary)
    print(
        json.dumps(
            {
                "benchmark": "sweep",
                **machine(),
                "vary": VARY,
                "run": one,
                "sweep": many,
                "sweep_share_of_run": many["seconds"] / one["seconds"],
                "sweep_cpu_share_of_run": many["cpu_s"] / one["cpu_s"],
                "without_labels": {
                    "arxiv_20k": without_labels(args.work, "arxiv_20k", VARY),
                    **{name: without_labels(args.work, name, SIZES) for name in ("clinc150", "bbc_news")},
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
