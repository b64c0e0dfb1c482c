"""The time of a second run at 100,000 documents: nothing changed, one label key changed, 1 % appended; prints JSON.

    python -m tests.benchmarks.reruns --work DIR

Every figure is a whole process, `topicflow run` as a user types it, without a Prefect server, on a separate store in
DIR. `interpreter_s` is `python -c pass`; it is what "beyond interpreter start" leaves out. The first run embeds
100,000 arXiv titles and takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine

CONFIG = """
name = "reruns"
[load]
path = "{path}"
text_column = "title"
id_column = "arxiv_id"
label_column = "primary_cat"
[cluster]
min_cluster_size = 50
"""


def run(work: Path, config: Path, *options: str) -> dict[str, Any]:
    """Return wall seconds of a run as a process, and its record's stages."""
    command = [sys.executable, "-m", "topicflow.flows.commands.cli", "run", str(config), "--json", *options]
    command += ["--store", str(work / "store"), "--runs", str(work / "runs")]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    record = json.loads(done.stdout)
    stages = {stage["stage"]: (stage["state"], stage["seconds"]) for stage in record["stages"]}
    peak = max(stage["peak_rss_bytes"] for stage in record["stages"])
    return {"seconds": seconds, "peak_rss_bytes": peak, "stages": stages, "embedding": record["embedding"]}


def main() -> None:
    """Print the four runs as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    table = pl.read_parquet(DATA / "arxiv_titles.parquet").unique("arxiv_id", maintain_order=True)
    rows = np.random.default_rng(0).permutation(table.height)[: args.rows + args.rows // 100]
    configs = {}
    for name, taken in (("base", rows[: args.rows]), ("appended", rows)):
        path = args.work / f"{name}.parquet"
        table[taken].write_parquet(path)
        configs[name] = args.work / f"{name}.toml"
        configs[name].write_text(CONFIG.format(path=path), encoding="utf-8")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    interpreter = time.perf_counter() - started
    first = run(args.work, configs["base"])
    again = min((run(args.work, configs["base"]) for _ in range(3)), key=lambda row: row["seconds"])
    relabelled = run(args.work, configs["base"], "--set", "label.top_n_words=12")
    appended = run(args.work, configs["appended"])
    embedding = first["stages"]["embed"][1]
    print(
        json.dumps(
            {
                "benchmark": "reruns",
                **machine(),
                "n_documents": args.rows,
                "interpreter_s": interpreter,
                "first": first,
                "again": again,
                "again_beyond_interpreter_s": again["seconds"] - interpreter,
                "relabelled": relabelled,
                "relabelled_share_of_first": relabelled["seconds"] / first["seconds"],
                "appended": appended,
                "appended_share_of_first_embedding": appended["stages"]["embed"][1] / embedding,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
