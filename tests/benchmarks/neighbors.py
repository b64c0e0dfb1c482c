"""The neighbour graph (k = 15) and the search of fitted vectors: descent, pynndescent, exact; prints JSON.

    python -m tests.benchmarks.neighbors --work DIR [--rows 100000] [--vectors FILE.npy] [--repeats 2] [--no-exact]

Each figure is a separate process, the methods in turn, repeated; the seconds are the minimum, the recall is that of
the last. `first_s` is the first call in the process, on 2,000 rows: it imports and compiles. It is given for an empty
numba cache (`first_ever_s`) and for a filled one (`first_s`). `seconds` is the second call, on all rows: vectors in
memory -> indices and distances in memory. `cpu_s` is that call's processor time over all threads, on which other work
on the machine has less effect. `peak_rss_bytes` is the whole process's, `rss_before_bytes` its memory before the
call, including the vectors. Recall is the share of the 14 exact neighbours of 1,000 sampled rows.

`search` fits nine tenths of the rows and looks up `--queries` vectors, the last tenth repeated; `index_s` builds the
cells, `seconds` answers the queries (k = 1). Its recall counts a fitted vector as near as the nearest as found.

Vectors: those of --vectors, or of 100,000 arXiv titles with the packaged encoder, embedded once in DIR. With more
--rows than vectors, the rows are repeated with Gaussian noise of .02 per component (`n_repeats`): near copies of each
other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.peer import machine
from topicflow.tasks.core.vectors.descent import descent_neighbors
from topicflow.tasks.core.vectors.knn import exact_neighbors, pynndescent_neighbors, recall

K = 15
SAMPLE = 1000
METHODS: dict[str, Callable[[NDArray[np.float32]], tuple[NDArray[np.int32], NDArray[np.float32]]]] = {
    "descent": lambda vectors: descent_neighbors(vectors, K, seed=1),
    "pynndescent": lambda vectors: pynndescent_neighbors(vectors, K, seed=1),
    "exact": lambda vectors: exact_neighbors(vectors, K),
}


def peak_rss() -> int:
    """Return the maximum memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return a call's result, its wall seconds and its processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def measure_graph(method: str, path: Path, is_warm_up: bool) -> dict[str, Any]:
    """Return the time of one method in this process, and its recall."""
    vectors = np.load(path)
    _, first, _ = timed(lambda: METHODS[method](vectors[:2000]))
    if is_warm_up:
        return {"first_s": first}
    before = peak_rss()
    (indices, _), seconds, cpu = timed(lambda: METHODS[method](vectors))
    peak = peak_rss()
    rows = np.random.default_rng(0).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False)
    exact, _ = exact_neighbors(vectors, K, rows)
    return {
        "first_s": first,
        "seconds": seconds,
        "cpu_s": cpu,
        "recall": recall(indices[rows], exact),
        "rss_before_bytes": before,
        "peak_rss_bytes": peak,
    }


def measure_search(path: Path, n_queries: int) -> dict[str, Any]:
    """Return the time to build the cells and to search them in this process, and the recall at 1."""
    from topicflow.tasks.core.vectors.search import cell_index, search_neighbors

    vectors = np.load(path)
    n_fitted = len(vectors) - max(1, len(vectors) // 10)
    fitted, held_out = vectors[:n_fitted], vectors[n_fitted:]
    queries = held_out[np.arange(n_queries) % len(held_out)]
    search_neighbors(fitted[:2000], queries[:100], 1)
    before = peak_rss()
    index, index_s, _ = timed(lambda: cell_index(fitted, seed=1))
    (_, distances), seconds, cpu = timed(lambda: search_neighbors(fitted, queries, 1, index=index))
    peak = peak_rss()
    least = 1.0 - (queries[:SAMPLE] @ fitted.T).max(axis=1)
    return {
        "n_fitted": n_fitted,
        "n_queries": n_queries,
        "index_s": index_s,
        "seconds": seconds,
        "cpu_s": cpu,
        "queries_per_s": n_queries / seconds,
        "recall_at_1": float((distances[: len(least), 0] <= least + 1e-6).mean()),
        "rss_before_bytes": before,
        "peak_rss_bytes": peak,
    }


def child(cache: Path, *options: str) -> dict[str, Any]:
    """Return the measurements of a separate process."""
    command = [sys.executable, "-m", "tests.benchmarks.neighbors", *options]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout))


def least(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the minimum seconds of several runs, and the other values of the last."""
    timings = [name for name in runs[0] if name.endswith("_s") or name == "seconds"]
    return {**runs[-1], **{name: min(run[name] for run in runs) for name in timings}}


def prepared(source: Path, n_rows: int, target: Path) -> int:
    """Write `n_rows` of the vectors to `target`, repeated with noise if there are fewer; return the repeats."""
    vectors = np.load(source, mmap_mode="r")
    n_repeats = -(-n_rows // len(vectors))
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(vectors))[:n_rows])
    written = np.lib.format.open_memmap(target, "w+", np.float32, (n_rows, vectors.shape[1]))
    for repeat in range(n_repeats):
        start = repeat * len(rows)
        part = vectors[rows[: n_rows - start]]
        if repeat:
            part = part + rng.normal(scale=0.02, size=part.shape).astype(np.float32)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        written[start : start + len(part)] = part
    written.flush()
    return n_repeats


def arxiv_vectors(work: Path) -> Path:
    """Return the file with the embeddings of 100,000 arXiv titles, computed if they are not in the store."""
    from tests.benchmarks.corpora import embedded
    from topicflow.tasks.store.artifact_store import ArtifactStore

    store = ArtifactStore(work / "store")
    _, embeddings = embedded("arxiv_100k", store, work)
    path = work / "arxiv_100k.npy"
    np.save(path, store.array(embeddings, "embeddings"))
    return path


def main() -> None:
    """Print the methods' times and recall as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--no-exact", action="store_true")
    parser.add_argument("--measure", help="measure one method in this process: what the script itself calls")
    parser.add_argument("--warm-up", action="store_true")
    args = parser.parse_args()
    if args.measure:
        measured = (
            measure_search(args.vectors, args.queries)
            if args.measure == "search"
            else measure_graph(args.measure, args.vectors, args.warm_up)
        )
        print(json.dumps(measured))
        return
    with tempfile.TemporaryDirectory(dir=args.work) as scratch:
        path, cache = Path(scratch) / "vectors.npy", Path(scratch) / "numba"
        n_repeats = prepared(args.vectors or arxiv_vectors(args.work), args.rows, path)
        names = [name for name in METHODS if not (args.no_exact and name == "exact")]
        options = ["--vectors", str(path), "--queries", str(args.queries)]
        first_ever = {name: child(cache, "--measure", name, "--warm-up", *options) for name in names}
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in [*names, "search"]}
        for _ in range(args.repeats):
            for name, measured in runs.items():
                measured.append(child(cache, "--measure", name, *options))
        methods = {name: {"first_ever_s": first_ever[name]["first_s"], **least(runs[name])} for name in names}
    print(
        json.dumps(
            {
                "benchmark": "neighbors",
                **machine(),
                "n_rows": args.rows,
                "n_repeats": n_repeats,
                "k": K,
                "load": os.getloadavg()[0],
                "methods": methods,
                "times_faster_than_pynndescent": methods["pynndescent"]["seconds"]
                / methods["descent"]["seconds"],
                "search": least(runs["search"]),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
