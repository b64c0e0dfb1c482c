"""Auto size: what cluster.min_cluster_size = "auto" chooses, beside the best of a sweep of sizes; prints JSON.

    python -m tests.benchmarks.auto_size --store STORE --scratch DIR [CORPUS ...]

Each corpus with labels is embedded once, in 8-bit integers, and modelled with the defaults. A row has the size that is
chosen for each wish, the size of the sweep with the largest NMI, and the size by a law, a fifth of the square root of
the documents, each with topics and NMI (outliers as one class); and the seconds of a fit with "auto" and with the
number that it chose, kernels compiled before. `loss` is the best NMI minus that of the medium choice.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from tests.benchmarks.corpora import Corpus, distinct_vectors
from tests.benchmarks.labellings import Labels, Vectors
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import GraphCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.clustering import Clustering
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.cluster import cluster_points, sized_clusters
from topicflow.tasks.topics.density_fits import density_fit
from topicflow.tasks.topics.evaluate import read_classes
from topicflow.tasks.topics.neighbors import find_neighbors
from topicflow.tasks.topics.reduce import diffused

SIZES = (5, 6, 8, 10, 12, 15, 18, 21, 25, 30, 36, 43, 50, 60, 72, 86, 100, 120, 145, 170, 200, 240, 300)

LAW = 0.2
"""The law's multiple of the square root of the documents."""

CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("bbc_news", "bbc_news.parquet", "text", "label"),
        Corpus("agnews", "agnews_weak_test.parquet", "title", "label"),
        Corpus("newsgroups", "newsgroups.parquet", "text", "label"),
        Corpus("banking77", "banking77_train.parquet", "text", "label"),
        Corpus("clinc150", "clinc150.parquet", "text", "intent"),
        Corpus("sib200_languages", "sib200_11_languages.parquet", "text", "lang"),
        Corpus("reddit_10k", "reddit_titles_1m.parquet", "title", "subreddit", 10_000),
        Corpus("arxiv_abstracts_10k", "arxiv_abstracts_30k.parquet", "abstract", "primary_cat", 10_000),
        Corpus("arxiv_20k", "arxiv_titles.parquet", "title", "primary_cat", 20_000),
        Corpus("arxiv_100k", "arxiv_titles.parquet", "title", "primary_cat", 100_000),
    )
}


def measure(vectors: Vectors, classes: NDArray[np.int64]) -> dict[str, Any]:
    """Return one row of the table from the vectors and the known classes of the documents."""
    runtime = RuntimeConfig()
    graph = find_neighbors(vectors, NeighborsConfig(), 0, runtime)
    points = diffused(graph.indices, graph.distances, vectors, DiffusionReduce(), runtime.n_threads)
    row: dict[str, Any] = {"documents": len(vectors), "classes": int(classes.max()) + 1}
    for wish in ("medium", "few", "many"):
        config = GraphCluster(min_cluster_size="auto", topics=wish)
        found, seconds, choice = timed(points, config)
        assert choice is not None
        row[wish] = {"size": choice, **figures(found.labels, classes), "seconds": seconds}
    chosen = row["medium"]["size"]
    row["medium"]["seconds_with_the_number"] = timed(points, GraphCluster(min_cluster_size=chosen))[1]
    fit = density_fit(points, GraphCluster(), runtime)
    sizes = [size for size in SIZES if size <= len(vectors) // 4]
    sweep = {size: figures(fit.clusters(size).labels, classes) for size in sizes}
    best = max(sweep, key=lambda size: float(sweep[size]["nmi"]))
    law = max(5, round(LAW * len(vectors) ** 0.5))
    by_law = cluster_points(points, GraphCluster(min_cluster_size=law), 0)
    row["best"] = {"size": best, **sweep[best]}
    row["law"] = {"size": law, **figures(by_law.labels, classes)}
    row["loss"] = round(row["best"]["nmi"] - row["medium"]["nmi"], 3)
    row["loss_of_the_law"] = round(row["best"]["nmi"] - row["law"]["nmi"], 3)
    row["sweep"] = {size: each["nmi"] for size, each in sweep.items()}
    return row


def timed(points: Vectors, config: GraphCluster) -> tuple[Clustering, float, int | None]:
    """Return the clusters, the seconds, and the size that was chosen."""
    started = time.perf_counter()
    found, choice = sized_clusters(points, config, 0)
    return found, round(time.perf_counter() - started, 1), None if choice is None else choice.size


def figures(labels: Labels, classes: NDArray[np.int64]) -> dict[str, Any]:
    """Return topics, outliers, NMI and adjusted mutual information."""
    return {
        "topics": int(labels.max(initial=-1)) + 1,
        "outlier_share": round(float((labels < 0).mean()), 3),
        "nmi": round(float(normalized_mutual_info_score(classes, labels)), 3),
        "ami": round(float(adjusted_mutual_info_score(classes, labels)), 3) if len(labels) < 30_000 else None,
    }


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=list(CORPORA))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    args = parser.parse_args()
    store, rows = ArtifactStore(args.store), []
    for name in args.corpora:
        documents, vectors, firsts = distinct_vectors(CORPORA[name], store, args.scratch)
        classes = read_classes(store, documents)
        assert classes is not None
        rows.append({"corpus": name, **measure(vectors, classes[firsts])})
    print(json.dumps({"benchmark": "auto_size", **machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
