"""All rows' 14 nearest neighbours at equal recall: ours and the peers, one machine, one run; prints JSON.

    python -m tests.benchmarks.neighbor_peers --work DIR [--vectors FILE.npy] [--rows 100000] [--only NAME …]

Every engine gets the same unit vectors in memory and returns the 15 nearest rows of every row, itself among them. It
may use all cores and has a ladder of efforts; the first effort counts whose recall over 1,000 sampled rows is at least
.95 (ours has no ladder: its defaults). `seconds` is from vectors to neighbours: building and searching an index, or
the descent; the median over `--repeats`, engines in turns, a fresh process each. The kernels of numba are compiled
before, by the same call on 5,000 rows. `peak_bytes` is the largest memory of the process in addition to what it had
before the call. faiss (`faiss-cpu`), `hnswlib` and `evoc` are not dependencies of the project: an engine that cannot
be imported is left out, and the result says so.

`products` compares the ways to multiply codes of 8 bits (tasks/core/vectors/integer_products.py): nanoseconds
for a pair of 384 dimensions on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.neighbors import arxiv_vectors
from tests.benchmarks.peer import machine
from topicflow.tasks.core.integers.code_search import by_vnni
from topicflow.tasks.core.vectors.avx2_products import by_avx2
from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.core.vectors.descent import descent_neighbors
from topicflow.tasks.core.vectors.integer_products import by_floats, by_integers
from topicflow.tasks.core.vectors.knn import exact_neighbors
from topicflow.tasks.core.vectors.processor import has_vnni, x86_features

K, SAMPLE, LEAST_RECALL, WARM_ROWS = 15, 1000, 0.95, 5000
EFS = (16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384)
PROBES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)

Vectors = NDArray[np.float32]
Neighbors = NDArray[np.int32]
Search = Callable[[Vectors, int], Neighbors]


@dataclass(frozen=True)
class Engine:
    """How an engine makes its search from vectors, its efforts in ascending order, and its package."""

    prepare: Callable[[Vectors], Search]
    efforts: Sequence[int]
    package: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether the package can be imported."""
        return self.package is None or find_spec(self.package) is not None


def ours(vectors: Vectors) -> Search:
    """Return our descent; it has no effort to choose."""
    return lambda rows, _: descent_neighbors(vectors, K, seed=1)[0][: len(rows)]


def pynndescent(vectors: Vectors) -> Search:
    """Return pynndescent's descent; the effort is its number of candidates for each row."""
    from pynndescent import NNDescent

    def search(rows: Vectors, effort: int) -> Neighbors:
        index = NNDescent(vectors, metric="cosine", n_neighbors=K, max_candidates=effort, n_jobs=-1)
        return index.neighbor_graph[0][: len(rows)]

    return search


def evoc(vectors: Vectors) -> Search:
    """Return EVoC's descent on float32 vectors; the effort is its number of candidates for each row."""
    from evoc.knn_graph import knn_graph

    return lambda rows, effort: knn_graph(vectors, n_neighbors=K, max_candidates=effort)[0][: len(rows)]


def evoc_int8(vectors: Vectors) -> Search:
    """Return EVoC's descent on vectors in 8 bits, which it offers for quantised embeddings."""
    from evoc.knn_graph import knn_graph

    codes = np.rint(vectors * (127 / np.abs(vectors).max())).astype(np.int8)
    return lambda rows, effort: knn_graph(codes, n_neighbors=K, max_candidates=effort)[0][: len(rows)]


def hnswlib(vectors: Vectors) -> Search:
    """Return hnswlib's graph; the effort is `ef`."""
    import hnswlib as library

    index = library.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=100, M=16, random_seed=0)
    index.add_items(vectors, num_threads=n_cores())

    def search(rows: Vectors, ef: int) -> Neighbors:
        index.set_ef(ef)
        return index.knn_query(rows, K, num_threads=n_cores())[0].astype(np.int32)

    return search


def usearch(vectors: Vectors, codes: str = "f32") -> Search:
    """Return usearch's graph of float32 vectors; the effort is `expansion_search`."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype=codes, connectivity=16, expansion_add=100)
    index.add(np.arange(len(vectors)), vectors, threads=n_cores())

    def search(rows: Vectors, ef: int) -> Neighbors:
        index.expansion_search = ef
        return index.search(rows, K, threads=n_cores()).keys.astype(np.int32)

    return search


def usearch_int8(vectors: Vectors) -> Search:
    """Return usearch's graph of its own 8-bit codes."""
    return usearch(vectors, "i8")


def faiss_hnsw(vectors: Vectors) -> Search:
    """Return faiss's graph; the effort is `efSearch`."""
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    index.add(vectors)

    def search(rows: Vectors, ef: int) -> Neighbors:
        index.hnsw.efSearch = ef
        return index.search(rows, K)[1].astype(np.int32)

    return search


def faiss_ivf(vectors: Vectors) -> Search:
    """Return faiss's inverted file of 4 sqrt(n) cells; the effort is the number of cells probed."""
    import faiss

    n_cells = max(1, 4 * round(len(vectors) ** 0.5))
    quantizer = faiss.IndexFlatIP(vectors.shape[1])
    index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], n_cells, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[np.random.default_rng(0).permutation(len(vectors))[: 64 * n_cells]])
    index.add(vectors)

    def search(rows: Vectors, n_probe: int) -> Neighbors:
        index.nprobe = n_probe
        return index.search(rows, K)[1].astype(np.int32)

    return search


ENGINES = {
    "topicflow": Engine(ours, (0,)),
    "pynndescent": Engine(pynndescent, (10, 15, 20, 30, 40, 60), "pynndescent"),
    "evoc": Engine(evoc, (10, 15, 22, 30, 45, 60), "evoc"),
    "evoc_int8": Engine(evoc_int8, (10, 15, 22, 30, 45, 60), "evoc"),
    "usearch": Engine(usearch, EFS, "usearch"),
    "usearch_int8": Engine(usearch_int8, EFS, "usearch"),
    "hnswlib": Engine(hnswlib, EFS, "hnswlib"),
    "faiss_hnsw": Engine(faiss_hnsw, EFS, "faiss"),
    "faiss_ivf": Engine(faiss_ivf, PROBES, "faiss"),
}
DESCENTS = ("topicflow", "pynndescent", "evoc", "evoc_int8")
"""Engines that search all rows at once, so that a sample takes as long as everything."""


def chosen_effort(name: str, search: Search, vectors: Vectors, rows: NDArray[np.int64]) -> tuple[int, float]:
    """Return the first effort with the least recall, or the last one, and its recall over the sampled rows."""
    exact = exact_neighbors(vectors, K, rows)[0]
    reached = 0.0
    for effort in ENGINES[name].efforts:
        found = search(vectors, effort)[rows] if name in DESCENTS else search(vectors[rows], effort)
        reached = recall_of(found, exact)
        if reached >= LEAST_RECALL:
            break
    return effort, reached


def recall_of(found: Neighbors, exact: Neighbors) -> float:
    """Return the share of exact neighbours that are found; a row's own place in its list does not matter."""
    hits = sum(len(np.intersect1d(a, b[1:])) for a, b in zip(found, exact, strict=True))
    return hits / exact[:, 1:].size


def measure(name: str, path: Path, effort: int | None) -> dict[str, Any]:
    """Return an engine's seconds in this process; with the choice of its effort if it is None."""
    vectors = np.load(path)
    engine = ENGINES[name]
    engine.prepare(vectors[:WARM_ROWS])(vectors[:WARM_ROWS], engine.efforts[0])
    rows = np.sort(np.random.default_rng(0).permutation(len(vectors))[:SAMPLE])
    if effort is None:
        search = engine.prepare(vectors)
        effort, reached = chosen_effort(name, search, vectors, rows)
        return {"effort": effort, "recall": round(reached, 4)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, processor = time.perf_counter(), time.process_time()
    engine.prepare(vectors)(vectors, effort)
    return {
        "seconds": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "peak_bytes": 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before),
    }


def child(name: str, path: Path, *options: str) -> dict[str, Any]:
    """Return the measurements of a fresh process."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.neighbor_peers",
        "--measure",
        name,
        "--vectors",
        str(path),
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout))


def products() -> dict[str, float]:
    """Return nanoseconds for a pair of codes of 384 dimensions on one core, for each way."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    codes, items = (rng.integers(-127, 128, (rows, 384)).astype(np.int8) for rows in (512, 256))
    found = {}
    ways = [by_integers, by_floats, *([by_avx2] if (x86_features() or {}).get("avx2") else [])]
    ways += [by_vnni] if has_vnni() else []
    for multiply in ways:
        multiply(codes, items)
        taken = []
        for _ in range(20):
            started = time.perf_counter()
            multiply(codes, items)
            taken.append(time.perf_counter() - started)
        found[multiply.__name__] = round(min(taken) * 1e9 / (len(codes) * len(items)), 2)
    return found


def versions(names: Sequence[str]) -> dict[str, str | None]:
    """Return the version of each engine's package, None for those that are not installed."""
    packages = {"faiss": "faiss-cpu"}
    found: dict[str, str | None] = {}
    for name in names:
        package = ENGINES[name].package
        if package is None:
            continue
        try:
            found[package] = version(packages.get(package, package))
        except PackageNotFoundError:
            found[package] = None
    return found


def compared(path: Path, names: Sequence[str], n_repeats: int) -> dict[str, dict[str, Any]]:
    """Return the figures of all engines: their efforts first, then their seconds in turns."""
    efforts = {name: child(name, path, "--choose") for name in names}
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(n_repeats):
        for name in names:
            taken[name].append(child(name, path, "--effort", str(efforts[name]["effort"])))
    return {
        name: {
            **efforts[name],
            **{key: round(statistics.median(run[key] for run in taken[name]), 3) for key in taken[name][0]},
        }
        for name in names
    }


def main() -> None:
    """Print the engines' seconds and recall as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--measure", help="measure one engine in this process: what the script itself calls")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--effort", type=int)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.vectors, None if args.choose else args.effort)))
        return
    vectors = np.load(args.vectors or arxiv_vectors(args.work), mmap_mode="r")[: args.rows]
    path = args.work / f"neighbor_peers_{len(vectors)}.npy"
    np.save(path, vectors)
    names = [name for name in args.only if ENGINES[name].is_here]
    engines = compared(path, names, args.repeats)
    fast = {name: each["seconds"] for name, each in engines.items() if each["recall"] >= LEAST_RECALL}
    peers = {name: seconds for name, seconds in fast.items() if name != "topicflow"}
    best = min(peers, key=lambda name: peers[name], default=None)
    result = {
        "benchmark": "neighbor_peers",
        **machine(),
        "packages": versions(list(ENGINES)),
        "left_out": [name for name in args.only if name not in names],
        "n_rows": len(vectors),
        "dim": vectors.shape[1],
        "k": K,
        "load": os.getloadavg()[0],
        "products_ns": products(),
        "engines": engines,
        "best_peer": best,
        "times_faster_than_best_peer": peers[best] / fast["topicflow"]
        if best and "topicflow" in fast
        else None,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
