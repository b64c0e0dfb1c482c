"""The index, hnswlib and faiss's HNSW at equal recall, one machine, one run; prints JSON.

    python -m tests.benchmarks.index --scratch DIR --rows 1000000

Vectors are the first `--rows` of reddit_titles_1m except the last 2,000, which are queries: `ef` (or the number of
cells probed) is the smallest of a ladder that reaches recall@10 .99 on one half of them, everything is measured on
the other half. A found document counts if it is as near as the true tenth. Queries per second are for all measured
queries together, on all cores; latencies for one query after the other on one thread. Bytes per vector are those of
the file; ours reads the float32 vectors of the best twenty from the embeddings' memory map, which is in the store
anyway. Every graph has M 16 and ef_construction 128. Processor seconds are the sum over all threads, for shared
cores. `cells` are those of tasks/core/vectors/search.py, with which a topic model assigns documents: not part of the
index, for many queries together.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.corpora import reddit_vectors
from tests.benchmarks.peer import machine
from topicflow.tasks.core.graphs.hnsw import Graph
from topicflow.tasks.core.vectors.nearest import Parts, exact_nearest
from topicflow.tasks.core.vectors.search import cell_index, search_neighbors

M, EF_CONSTRUCTION, K, TARGET, N_QUERIES = 16, 128, 10, 0.99, 1000
EFS = (10, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024)
PROBES = (8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512)

Search = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Engine:
    """A built index, the time to build it, its bytes, and its search: queries and an effort -> rows (m, 10)."""

    build_s: float
    build_processor_s: float
    n_bytes: int
    search: Search
    ladder: tuple[int, ...] = EFS
    extra: dict[str, Any] | None = None


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result of a call."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def processor_s(function: Callable[[], Any]) -> float:
    """Return the processor seconds of a call, for all threads together."""
    started = time.process_time()
    function()
    return time.process_time() - started


def topicflow(vectors: np.ndarray, folder: Path, codes: str) -> Engine:
    """Return our graph, saved and opened from its file as a memory map."""
    parts, path = Parts([vectors]), folder / f"{codes}.usearch"
    before = time.process_time()
    seconds, built = timed(lambda: Graph.build(parts, codes, M, EF_CONSTRUCTION, seed=0))
    processor = time.process_time() - before
    built.save(path)
    scale = built.scale
    del built
    open_s, graph = timed(lambda: Graph(vectors.shape[1], codes, scale).read(path))
    first_s, _ = timed(lambda: graph.search(parts, vectors[:1], K, 64))

    def search(queries: np.ndarray, ef: int) -> np.ndarray:
        return graph.search(parts, queries, K, ef)[0]

    return Engine(
        seconds,
        processor,
        path.stat().st_size,
        search,
        extra={"open_ms": 1000 * open_s, "first_query_ms": 1000 * first_s},
    )


def cells(vectors: np.ndarray, folder: Path) -> Engine:
    """Return the cells with which `neighbors` assigns documents, for many queries together; not part of the index."""
    cell_index(vectors[:20_000], 0)  # compiled before the clock starts
    before = time.process_time()
    seconds, index = timed(lambda: cell_index(vectors, 0))
    processor = time.process_time() - before
    n_bytes = sum(np.asarray(array).nbytes for array in vars(index).values())

    def search(queries: np.ndarray, n_probe: int) -> np.ndarray:
        probed = min(n_probe, len(index.centroids))
        return search_neighbors(vectors, queries, K, n_probe=probed, index=index)[0]

    return Engine(seconds, processor, n_bytes, search, PROBES)


def hnswlib(vectors: np.ndarray, folder: Path) -> Engine:
    """Return hnswlib's graph of float32 vectors."""
    import hnswlib as library

    index = library.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=EF_CONSTRUCTION, M=M, random_seed=0)
    before = time.process_time()
    seconds, _ = timed(lambda: index.add_items(vectors))
    processor = time.process_time() - before

    def search(queries: np.ndarray, ef: int) -> np.ndarray:
        index.set_ef(ef)
        return index.knn_query(queries, K, num_threads=1 if len(queries) == 1 else -1)[0]

    return Engine(seconds, processor, index.index_file_size(), search)


def faiss(vectors: np.ndarray, folder: Path) -> Engine:
    """Return faiss's graph of float32 vectors."""
    import faiss as library

    index = library.IndexHNSWFlat(vectors.shape[1], M, library.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    before = time.process_time()
    seconds, _ = timed(lambda: index.add(vectors))
    processor = time.process_time() - before
    path = folder / "index.faiss"
    library.write_index(index, str(path))
    n_bytes = path.stat().st_size
    path.unlink()

    def search(queries: np.ndarray, ef: int) -> np.ndarray:
        index.hnsw.efSearch = ef
        return index.search(queries, K)[1]

    return Engine(seconds, processor, n_bytes, search)


def recall(vectors: np.ndarray, queries: np.ndarray, found: np.ndarray, least: np.ndarray) -> float:
    """Return the share of found rows (m, 10) that are as near as the true tenth (m,)."""
    rows = np.asarray(found, np.int64)
    similarities = np.einsum("mkd,md->mk", vectors[np.maximum(rows, 0)], queries)
    return float(((similarities >= least[:, None] - 1e-6) & (rows >= 0)).mean())


def measure(
    engine: Engine, vectors: np.ndarray, queries: np.ndarray, least: np.ndarray, *, alone: bool
) -> dict[str, Any]:
    """Return an engine's figures at the smallest effort that reaches the recall on the first half of the queries."""

    def reached_by(effort: int, asked: np.ndarray, true: np.ndarray) -> float:
        return recall(vectors, asked, engine.search(asked, effort), true)

    half = len(queries) // 2
    effort = next(
        (effort for effort in engine.ladder if reached_by(effort, queries[:half], least[:half]) >= TARGET),
        engine.ladder[-1],
    )
    asked = queries[half:]
    reached = reached_by(effort, asked, least[half:])
    seconds = min(timed(lambda: engine.search(asked, effort))[0] for _ in range(5))
    processor = min(processor_s(lambda: engine.search(asked, effort)) for _ in range(5))
    took = (
        [1000 * timed(lambda q=query: engine.search(q[None], effort))[0] for query in asked] if alone else []
    )
    return {
        "build_s": engine.build_s,
        "build_processor_s": engine.build_processor_s,
        "effort": effort,
        "recall_at_10": reached,
        "queries_per_s": len(asked) / seconds,
        "queries_per_processor_s": len(asked) / processor,
        "p50_ms": float(np.percentile(took, 50)) if took else None,
        "p99_ms": float(np.percentile(took, 99)) if took else None,
        "bytes_per_vector": engine.n_bytes / len(vectors),
        **(engine.extra or {}),
    }


ENGINES: dict[str, Callable[[np.ndarray, Path], Engine]] = {
    "topicflow": lambda vectors, folder: topicflow(vectors, folder, "int8"),
    "topicflow_float16": lambda vectors, folder: topicflow(vectors, folder, "float16"),
    "cells": cells,
    "hnswlib": hnswlib,
    "faiss": faiss,
}


def main() -> None:
    """Print every engine's figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--engines", nargs="+", default=["topicflow", "cells", "hnswlib", "faiss"])
    args = parser.parse_args()
    _, path = reddit_vectors(args.scratch, args.rows)
    everything = np.load(path, mmap_mode="r")
    vectors, queries = np.array(everything[: -2 * N_QUERIES]), np.array(everything[-2 * N_QUERIES :])
    truth_s, (_, similarities) = timed(lambda: exact_nearest(Parts([vectors]), queries, K))
    least = similarities[:, -1]
    one_s = min(timed(lambda: exact_nearest(Parts([vectors]), queries[:1], K))[0] for _ in range(5))
    folder = args.scratch / "index"
    folder.mkdir(exist_ok=True)
    figures = {
        name: measure(ENGINES[name](vectors, folder), vectors, queries, least, alone=name != "cells")
        for name in args.engines
    }
    exact = {"queries_per_s": len(queries) / truth_s, "one_query_ms": 1000 * one_s}
    versions = {name: version(name) for name in ("usearch", "hnswlib", "faiss-cpu")}
    print(
        json.dumps(
            {
                "benchmark": "index",
                **machine(),
                "engine_versions": versions,
                "rows": len(vectors),
                "exact": exact,
            }
            | figures,
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
