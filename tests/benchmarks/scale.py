"""Wall time and peak memory from embeddings to report over 10k, 100k, 1M documents; prints JSON.

    python -m tests.benchmarks.scale --scratch DIR --sizes 10000 100000 1000000 --peer-sizes 10000 30000 100000
    python -m tests.benchmarks.scale --scratch DIR --sizes 1000000 --peer-sizes --embed auto --device cuda    from text

Ours is the command line as a user types it (`topicflow run` with precomputed vectors, a separate empty store, shipped
defaults except `cluster.min_cluster_size`), one process per size; `stages_s` are the stages after `embed`, `whole_s`
the process from start to end, including loading and checking the vectors and Prefect's temporary server. The peak is
the largest of the process's resident set in any stage, including mapped files. A run on the smallest size comes first
and is not counted: it compiles the kernels that numba keeps on disk. BERTopic runs with its defaults on the same input,
one process per size, its clock around `fit_transform`; its time at our largest size is extrapolated by its own fitted
exponent.

With `--embed` ours starts from the text, in that precision, on `--device`; `whole_s` is then the figure to compare.
`--cores` gives each run this number of cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import reddit_titles, reddit_vectors
from tests.benchmarks.peer import fit_bertopic, machine

CONFIG = """
name = "scale"
[load]
path = "{documents}"
text_column = "title"
label_column = "subreddit"
columns = []
[embed]
{embed}
[cluster]
min_cluster_size = {min_cluster_size}
[runtime]
device = "{device}"
"""


@dataclass(frozen=True)
class Settings:
    """The common settings of our runs: how they embed (None: vectors are given), where, on how many cores."""

    scratch: Path
    min_cluster_size: int
    embed: str | None
    device: str
    cores: int | None

    def config(self, n_rows: int) -> str:
        """Return the config of a run with this number of rows."""
        if self.embed is None:
            documents, vectors = reddit_vectors(self.scratch, n_rows)
            embed = f'method = "precomputed"\npath = "{vectors}"'
        else:
            documents = reddit_titles(self.scratch, n_rows)
            embed = f'precision = "{self.embed}"'
        return CONFIG.format(
            documents=documents, embed=embed, min_cluster_size=self.min_cluster_size, device=self.device
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Limit the started processes to this number of cores."""
        every = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(every)[: self.cores])
        yield
        os.sched_setaffinity(0, every)


def run_ours(settings: Settings, n_rows: int) -> dict[str, Any]:
    """Return the time of one run, from its own record."""
    work = settings.scratch / f"scale-{n_rows}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    config = work / "config.toml"
    config.write_text(settings.config(n_rows), encoding="utf-8")
    command = [sys.executable, "-m", "topicflow.flows.commands.cli", "run", str(config), "--json"]
    command += ["--store", str(work / "store"), "--runs", str(work / "runs")]
    started = time.perf_counter()
    with settings.held():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    whole = time.perf_counter() - started
    if status:
        sys.exit(f"the run of {n_rows} documents failed")
    record = json.loads(said)
    stages = {stage["stage"]: round(stage["seconds"], 2) for stage in record["stages"]}
    metrics = json.loads((work / "runs" / "scale" / "latest" / "metrics.json").read_bytes())
    shutil.rmtree(work / "store")
    return {
        "n_documents": n_rows,
        "whole_s": whole,
        "stages_s": sum(seconds for stage, seconds in stages.items() if stage not in {"load", "embed"}),
        "stages": stages,
        "peak_rss_bytes": peak_of(record, usage.ru_maxrss * 1024),
        **{name: metrics.get(name) for name in ("n_topics", "outlier_share", "npmi", "diversity", "nmi")},
    }


def peak_of(record: dict[str, Any], since_the_last_stage: int) -> int:
    """Return the peak of a run: each stage resets the kernel's high-water mark and records its own peak."""
    return max(since_the_last_stage, *(stage["peak_rss_bytes"] for stage in record["stages"]))


def run_peer(scratch: Path, n_rows: int, min_cluster_size: int) -> dict[str, Any]:
    """Return the time of BERTopic in a separate process."""
    documents, vectors = reddit_vectors(scratch, n_rows)
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--scratch", str(scratch)]
    command += ["--peer", str(documents), str(vectors), "--min-cluster-size", str(min_cluster_size)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        return {"n_documents": n_rows, "failed": os.waitstatus_to_exitcode(status)}
    return {"n_documents": n_rows, **json.loads(said), "peak_rss_bytes": usage.ru_maxrss * 1024}


def peer_alone(documents: Path, vectors: Path, min_cluster_size: int) -> dict[str, Any]:
    """Return the seconds of BERTopic's fit, unseeded as it comes."""
    texts = pl.read_parquet(documents, columns=["title"])["title"].to_list()
    peer = fit_bertopic(texts, np.load(vectors), min_cluster_size, seed=None)
    return {"seconds": peer.seconds, "n_topics": len(peer.keywords)}


def exponent(sizes: list[int], values: list[float]) -> float | None:
    """Return the slope of log value over log size, None for a single size."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) if len(sizes) > 1 else None


def main() -> None:
    """Print the runs, the exponents and the extrapolation as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peer-sizes", type=int, nargs="*", default=[10_000, 30_000, 100_000])
    parser.add_argument("--min-cluster-size", type=int, default=50)
    parser.add_argument("--embed", choices=["auto", "float32", "float16", "int8"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cores", type=int)
    parser.add_argument("--peer", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        print(json.dumps(peer_alone(*args.peer, args.min_cluster_size)))
        return
    settings = Settings(args.scratch, args.min_cluster_size, args.embed, args.device, args.cores)
    run_ours(settings, min(args.sizes))
    ours = [run_ours(settings, n) for n in args.sizes]
    peers = [run_peer(args.scratch, n, args.min_cluster_size) for n in args.peer_sizes]
    finished = [row for row in peers if "seconds" in row]
    found: dict[str, Any] = {
        "time_exponent": exponent(args.sizes, [row["stages_s"] for row in ours]),
        "memory_exponent": exponent(args.sizes, [row["peak_rss_bytes"] for row in ours]),
    }
    if len(finished) > 1:
        sizes = [row["n_documents"] for row in finished]
        slope = exponent(sizes, [row["seconds"] for row in finished])
        last = finished[-1]
        found["peer_time_exponent"] = slope
        found["peer_extrapolated_s"] = last["seconds"] * (max(args.sizes) / last["n_documents"]) ** (
            slope or 1.0
        )
    print(
        json.dumps(
            {
                "benchmark": "scale",
                **machine(),
                "cores": args.cores or os.cpu_count(),
                "embed": args.embed,
                "device": args.device,
                "topicflow": ours,
                "bertopic": peers,
                **found,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
