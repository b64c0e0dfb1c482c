"""Ten million documents from text to topics and to an index, through the command line; prints JSON.

    python -m tests.benchmarks.ten_million --scratch DIR --sizes 100000 1000000 10000000
    python -m tests.benchmarks.ten_million --scratch DIR --sizes 1000000 --set runtime.engine=dask

No corpus at hand is that large. The texts are 1.54 million titles of reddit and arXiv, the sentences of 30,000
abstracts and the lines of newsgroup posts, and beyond these recombinations: the first words of one text and the last
words of another with the same label, each only once. Every size is a seeded sample of the whole, so all sizes have one
mixture.

Each size is one process with an empty store and the defaults of `configs/draft.toml`, but a sample of 200,000 and a
smallest topic of one document in 5,000; kernels are compiled before by a run that is not counted. `stages_s` are the
seconds of all stages, `peak_rss_bytes` is the largest resident set including mapped files, `peak_anonymous_bytes` the
largest without them. `store_bytes` is everything under the store at the end; `vector_bytes` the vectors as the config
stores them. `--set` is given on to `topicflow run`. With `--index` the same documents and vectors become an index that
compares every document (`index.method = "exact"`, with words), and three searches ask it, each a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from tests.benchmarks.scale import exponent, peak_of

MIN_WORDS = 4
"""Fewest words of a text that is recombined, and of a sentence."""

VECTORS = """
name = "{name}"
[load]
path = "{documents}"
text_column = "text"
columns = []
[embed]
method = "static"
"""

TOPICS = """
[cluster]
min_cluster_size = {smallest}
[neighbors]
fit_limit = 200000
"""


def real_texts() -> pl.DataFrame:
    """Return the distinct real texts with their labels: titles, sentences of abstracts, lines of posts."""
    text, label = pl.col("text"), pl.col("label")
    reddit = pl.scan_parquet(DATA / "reddit_titles_1m.parquet").select(
        text=pl.col("title"), label="subreddit"
    )
    arxiv = pl.scan_parquet(DATA / "arxiv_titles.parquet").select(text=pl.col("title"), label="primary_cat")
    abstracts = pl.scan_parquet(DATA / "arxiv_abstracts_30k.parquet").select(
        text=pl.col("abstract")
        .str.replace_all(r"\s+", " ")
        .str.replace_all(r"([.!?]) ", "$1\n")
        .str.split("\n"),
        label="primary_cat",
    )
    posts = pl.scan_parquet(DATA / "newsgroups.parquet").select(
        text=pl.col("text").str.split("\n"), label=pl.col("label").cast(pl.String)
    )
    parts = [reddit, arxiv, abstracts.explode("text"), posts.explode("text")]
    found = pl.concat([part.with_columns(text.str.strip_chars()) for part in parts])
    long = text.str.count_matches(r"\S+") >= MIN_WORDS
    return (
        found.filter(long & label.is_not_null()).unique("text", keep="first", maintain_order=True).collect()
    )


def recombined(real: pl.DataFrame, n_rows: int, seed: int = 0) -> pl.Series:
    """Return `n_rows` distinct texts: the real ones first, then halves of two texts with one label."""
    rng = np.random.default_rng(seed)
    words = pl.col("text").str.split(" ")
    half = words.list.len() // 2
    halves = real.lazy().select(
        "label", head=words.list.head(half).list.join(" "), tail=words.list.slice(half).list.join(" ")
    )
    halves = halves.collect().sort("label", maintain_order=True)
    sizes = halves["label"].rle().struct.field("len").to_numpy().astype(np.int64)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    sizes = np.repeat(sizes, sizes)
    found, n_found = [real["text"]], len(real)
    while n_found < n_rows:
        partner = starts + (rng.random(len(sizes)) * sizes).astype(np.int64)
        mixed = halves.select("head", tail=halves["tail"].gather(partner)).select(
            text=pl.col("head") + " " + pl.col("tail")
        )
        found.append(mixed["text"])
        n_found += len(mixed)
    return pl.concat(found).unique(maintain_order=True).rename("text").head(n_rows)


def corpus(scratch: Path, n_rows: int, whole: int) -> Path:
    """Return a Parquet file of a seeded sample of `n_rows` of `whole` texts."""
    scratch.mkdir(parents=True, exist_ok=True)
    everything, target = scratch / f"texts_{whole}.parquet", scratch / f"texts_{whole}_{n_rows}.parquet"
    if not everything.exists():
        real = real_texts()
        texts, n_asked = pl.Series("text", [], pl.String), whole
        while len(texts) < whole:
            n_asked += whole // 10
            texts = recombined(real, n_asked)
        texts.head(whole).to_frame().write_parquet(everything, row_group_size=100_000)
    if n_rows == whole:
        return everything
    if not target.exists():
        rows = np.sort(np.random.default_rng(1).choice(whole, n_rows, replace=False))
        pl.read_parquet(everything)[rows].write_parquet(target, row_group_size=100_000)
    return target


def measured(command: list[str]) -> dict[str, Any]:
    """Run a command; return its output, wall seconds, processor seconds and peaks of memory.

    The anonymous memory is read five times a second, of the process and all that it starts.
    """
    started, peak, done = time.perf_counter(), [0], threading.Event()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def watch() -> None:
        while not done.wait(0.2):
            peak[0] = max(peak[0], _anonymous(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    done.set()
    watcher.join()
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return {
        "said": said,
        "whole_s": round(time.perf_counter() - started, 1),
        "processor_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        "peak_anonymous_bytes": peak[0],
    }


def _anonymous(pid: int) -> int:
    """Return the bytes of anonymous memory of a process; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines.get("RssAnon", "0 kB").split()[0]) * 1024


def size_of(folder: Path) -> dict[str, int]:
    """Return the bytes of each kind of artifact in a store."""
    kinds: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            kind = path.relative_to(folder).parts[0]
            kinds[kind] = kinds.get(kind, 0) + path.stat().st_size
    return kinds


def run_topics(scratch: Path, n_rows: int, whole: int, settings: list[str]) -> dict[str, Any]:
    """Return the times, memory and store of one run from text to topics."""
    work = scratch / f"run-{n_rows}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    config = work / "config.toml"
    documents = corpus(scratch, n_rows, whole)
    sections = TOPICS.format(smallest=max(10, n_rows // 5000))
    config.write_text(VECTORS.format(name="topics", documents=documents) + sections, encoding="utf-8")
    command = [sys.executable, "-m", "topicflow.flows.commands.cli", "run", str(config), "--json"]
    command += ["--store", str(work / "store"), "--runs", str(work / "runs")]
    for setting in settings:
        command += ["--set", setting]
    found = measured(command)
    record = json.loads(found.pop("said"))
    stages = {stage["stage"]: round(stage["seconds"], 2) for stage in record["stages"]}
    metrics = json.loads((work / "runs" / "topics" / "latest" / "metrics.json").read_bytes())
    found["peak_rss_bytes"] = peak_of(record, found["peak_rss_bytes"])
    kinds = size_of(work / "store")
    shapes = [np.load(path, mmap_mode="r") for path in (work / "store").glob("embeddings/*/embeddings.npy")]
    return {
        "n_documents": n_rows,
        "stages_s": round(sum(stages.values()), 1),
        "stages": stages,
        "peaks": {stage["stage"]: stage["peak_rss_bytes"] for stage in record["stages"]},
        **found,
        "text_bytes": documents.stat().st_size,
        "store_bytes": sum(kinds.values()),
        "vector_bytes": sum(vectors.nbytes for vectors in shapes),
        "store": dict(sorted(kinds.items(), key=lambda item: -item[1])),
        **{name: metrics.get(name) for name in ("n_topics", "outlier_share", "npmi", "diversity")},
    }


INDEX = """
[index]
method = "exact"
"""

QUERIES = (
    "spin waves in antiferromagnets",
    "my cat learned to open the fridge",
    "graphics card driver for windows",
)


def run_index(scratch: Path, n_rows: int, whole: int) -> dict[str, Any]:
    """Return the times and memory of an index of the documents of `run_topics`, and of searches in it."""
    work = scratch / f"run-{n_rows}"
    config = work / "index.toml"
    documents = corpus(scratch, n_rows, whole)
    config.write_text(VECTORS.format(name="index", documents=documents) + INDEX, encoding="utf-8")
    command = [sys.executable, "-m", "topicflow.flows.commands.cli"]
    runs = ["--runs", str(work / "runs"), "--json"]
    found = measured([*command, "index", str(config), "--store", str(work / "store"), *runs])
    record = json.loads(found.pop("said"))
    found["peak_rss_bytes"] = peak_of(record, found["peak_rss_bytes"])
    searches = [measured([*command, "search", query, *runs]) for query in QUERIES]
    for query, search in zip(QUERIES, searches, strict=True):
        hits = json.loads(search.pop("said"))
        search |= {"query": query, "n_found": len(hits if isinstance(hits, list) else hits["hits"])}
    return {
        **found,
        "stages": {stage["stage"]: round(stage["seconds"], 2) for stage in record["stages"]},
        "searches": searches,
    }


def main() -> None:
    """Print the runs and the exponents of time and memory as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--whole", type=int, default=10_000_000, help="texts that the sizes are samples of")
    parser.add_argument("--set", action="append", default=[], help="given on to `topicflow run`")
    parser.add_argument(
        "--index", action="store_true", help="also make an index of the last size and search it"
    )
    parser.add_argument("--keep", action="store_true", help="index the run that is there, without a new one")
    parser.add_argument("--cold", action="store_true", help="count the kernels' compilation as well")
    args = parser.parse_args()
    if args.keep:
        print(
            json.dumps({**machine(), "index": run_index(args.scratch, args.sizes[-1], args.whole)}, indent=2)
        )
        return
    if not args.cold:
        run_topics(args.scratch, min(args.sizes), args.whole, args.set)
    runs = [run_topics(args.scratch, n_rows, args.whole, args.set) for n_rows in args.sizes]
    found: dict[str, Any] = {
        "time_exponent": exponent(args.sizes, [run["stages_s"] for run in runs]),
        "memory_exponent": exponent(args.sizes, [run["peak_rss_bytes"] for run in runs]),
    }
    if args.index:
        found["index"] = run_index(args.scratch, args.sizes[-1], args.whole)
    print(
        json.dumps(
            {"benchmark": "ten_million", **machine(), "set": args.set, "runs": runs, **found}, indent=2
        )
    )


if __name__ == "__main__":
    main()
