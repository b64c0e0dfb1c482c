"""Our layout and umap-learn's on the same graph: quality over seeds, seconds, and a sample fit; prints JSON.

    python -m tests.benchmarks.layouts --store STORE --scratch DIR newsgroups bbc_news --seeds 1 2 3 4 5
    python -m tests.benchmarks.layouts --store STORE --scratch DIR --sample 200000

For each layout: NMI, outliers and topics after HDBSCAN (min_cluster_size 10), trustworthiness and the share of the 15
nearest neighbours that are among the 15 nearest in the layout (both on a sample of 5,000). The clock covers graph to
positions, without umap-learn's fuzzy set on either side. `--sample N` instead fits N of reddit_titles_1m as a whole
and by a half and a quarter (`neighbors.fit_limit`), and prints each one's NMI with the subreddits as a share of the
whole fit's, its agreement with the whole fit, and that of another seed's whole fit, which is the maximum.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import normalized_mutual_info_score

from tests.benchmarks.corpora import embedded, reddit_vectors
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import ParallelUmapReduce, UmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.quality import neighbor_preservation, trustworthiness
from topicflow.tasks.core.layout.fuzzy import fuzzy_graph
from topicflow.tasks.core.layout.parallel_layout import parallel_layout
from topicflow.tasks.core.layout.seeded_layout import umap_layout
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.topics.cluster import cluster, cluster_points
from topicflow.tasks.topics.evaluate import read_classes
from topicflow.tasks.topics.neighbors import find_neighbors, neighbors
from topicflow.tasks.topics.reduce import reduce, start_positions

CLUSTERING = HdbscanCluster(method="hdbscan", min_cluster_size=10)


def compare(
    name: str, store: ArtifactStore, scratch: Path, seeds: list[int], epochs: list[int]
) -> list[dict[str, Any]]:
    """Return a row for each way and seed on one corpus."""
    documents, embeddings = embedded(name, store, scratch)
    vectors = np.asarray(store.array(embeddings, "embeddings"))
    classes = read_classes(store, documents)
    known = find_neighbors(vectors, NeighborsConfig(), 0, RuntimeConfig())
    graph = fuzzy_graph(known.indices, known.distances)
    sample = np.sort(np.random.default_rng(0).permutation(len(vectors))[:5000])
    rows = []
    for seed in seeds:
        for n_epochs in (None, *epochs):
            started = time.perf_counter()
            if n_epochs is None:
                config = UmapReduce(method="umap")
                points = umap_layout(graph, vectors, 5, config.min_dist, None, "spectral", seed)
            else:
                start = start_positions(vectors, 5, "pca", seed)
                points = parallel_layout(graph, start, 0.0, n_epochs, seed)
            seconds = time.perf_counter() - started
            labels = cluster_points(points, CLUSTERING, seed).labels
            rows.append(
                {
                    "corpus": name,
                    "layout": "umap-learn" if n_epochs is None else f"ours, {n_epochs} epochs",
                    "seed": seed,
                    "seconds": seconds,
                    "nmi": float(normalized_mutual_info_score(classes, labels)),
                    "outlier_share": float((labels < 0).mean()),
                    "n_topics": int(labels.max() + 1),
                    "trustworthiness": trustworthiness(vectors[sample], points[sample], 15),
                    "knn_preserved": neighbor_preservation(known.indices[:, 1:], points, sample),
                }
            )
    return rows


def sample_fits(n_rows: int, scratch: Path, seed: int) -> list[dict[str, Any]]:
    """Return a row for the whole fit, another seed's, and fits of a half and a quarter."""
    documents, path = reddit_vectors(scratch, n_rows)
    truth = pl.read_parquet(documents, columns=["subreddit"])["subreddit"].rank("dense").to_numpy()
    store = ArtifactStore(scratch / "sample-store")
    recipe = Recipe("embed", "embeddings", 1, config={"rows": n_rows})
    with store.writing(recipe) as writer:
        writer.save_array("embeddings", np.load(path))
        writer.rows = n_rows
    embeddings = store.committed(recipe, writer)
    rows: list[dict[str, Any]] = []
    labels: list[np.ndarray] = []
    runtime, clustering = RuntimeConfig(), HdbscanCluster(method="hdbscan", min_cluster_size=50)
    for limit, used in ((n_rows, seed), (n_rows, seed + 1), (n_rows // 2, seed), (n_rows // 4, seed)):
        started = time.perf_counter()
        graph = neighbors.fn(Context(store, used, runtime), embeddings, NeighborsConfig(fit_limit=limit))
        reduced = reduce.fn(
            Context(store, used, runtime), embeddings, graph, ParallelUmapReduce(method="parallel_umap")
        )
        made = cluster.fn(Context(store, used, runtime), embeddings, graph, reduced, clustering)
        labels.append(np.asarray(store.array(made, "labels")))
        nmi = float(normalized_mutual_info_score(truth, labels[-1]))
        rows.append(
            {
                "fit_limit": limit,
                "seed": used,
                "seconds": time.perf_counter() - started,
                "nmi": nmi,
                "share_of_whole_fit": nmi / rows[0]["nmi"] if rows else 1.0,
                "agreement_with_whole_fit": float(normalized_mutual_info_score(labels[0], labels[-1])),
                "outlier_share": float((labels[-1] < 0).mean()),
                "n_topics": int(labels[-1].max() + 1),
            }
        )
    return rows


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--epochs", type=int, nargs="+", default=[60])
    parser.add_argument("--sample", type=int)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    if args.sample:
        found["sample_fits"] = sample_fits(args.sample, args.scratch, args.seeds[0])
    store = ArtifactStore(args.store)
    found["layouts"] = [
        row for name in args.corpora for row in compare(name, store, args.scratch, args.seeds, args.epochs)
    ]
    print(json.dumps({"benchmark": "layouts", **machine(), **found}, indent=2))


if __name__ == "__main__":
    main()
