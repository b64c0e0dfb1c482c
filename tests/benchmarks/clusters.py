"""The two implementations of HDBSCAN on the same layout: seconds, and how far their clusters agree; prints JSON.

    python -m tests.benchmarks.clusters --store STORE --scratch DIR --sizes 20000 50000 100000

Points are the shipped 5-d layout of this number of titles from arxiv_100k, min_cluster_size 10. Each implementation
runs twice: `first_s` includes imports and what numba loads from disk (a user's one run), `again_s` does not.
Agreement is the adjusted Rand index over all points, noise as one cluster, and the share of points that are noise on
both sides or on neither.
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

from tests.benchmarks.corpora import embedded
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.cluster import cluster_points
from topicflow.tasks.topics.neighbors import find_neighbors
from topicflow.tasks.topics.reduce import reduce_graph

IMPLEMENTATIONS = ("reference", "fast")


def run(points: Path, implementation: str) -> dict[str, Any]:
    """Return the seconds of one implementation in a separate process; its labels are saved with the points."""
    script = [sys.executable, "-m", "tests.benchmarks.clusters", "--points", str(points), implementation]
    done = subprocess.run(script, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_here(points: Path, implementation: str) -> dict[str, Any]:
    """Return the seconds of the first and second run and save the labels."""
    positions, seconds = np.load(points), []
    config = HdbscanCluster(method="hdbscan", min_cluster_size=10, implementation=implementation)
    for _ in range(2):
        started = time.perf_counter()
        found = cluster_points(positions, config, 1)
        seconds.append(time.perf_counter() - started)
    np.save(points.with_name(f"{implementation}.npy"), found.labels)
    return {"first_s": seconds[0], "again_s": seconds[1], "n_topics": found.n_clusters}


def main() -> None:
    """Print a row for each size as JSON."""
    from sklearn.metrics import adjusted_rand_score

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    parser.add_argument("--points", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.points:
        print(json.dumps(run_here(Path(args.points[0]), args.points[1])))
        return
    store = ArtifactStore(args.store)
    _, embeddings = embedded("arxiv_100k", store, args.scratch)
    vectors = store.array(embeddings, "embeddings")
    rows = []
    for size in args.sizes:
        part = np.asarray(vectors[:size])
        graph = find_neighbors(part, NeighborsConfig(), 1, RuntimeConfig())
        points = args.scratch / "points.npy"
        np.save(
            points,
            reduce_graph(graph.indices, graph.distances, part, ParallelUmapReduce(method="parallel_umap"), 1),
        )
        row: dict[str, Any] = {"n_documents": size, **{name: run(points, name) for name in IMPLEMENTATIONS}}
        theirs, ours = (np.load(points.with_name(f"{name}.npy")) for name in IMPLEMENTATIONS)
        row["adjusted_rand"] = float(adjusted_rand_score(theirs, ours))
        row["same_noise"] = float(((theirs < 0) == (ours < 0)).mean())
        rows.append(row)
    print(json.dumps({"benchmark": "clusters", **machine(), "sizes": rows}, indent=2))


if __name__ == "__main__":
    main()
