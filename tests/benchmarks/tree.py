"""Tree: do layers of a tree agree with coarse labels, beside other ways to group the same topics; prints JSON.

    python -m tests.benchmarks.tree --store STORE --scratch DIR [CORPUS ...]

Each corpus is embedded once, in 8-bit integers, and modelled with the default smallest topic, with `"auto"`,
and with k-means (50 topics on a layout). The same topics are then grouped in each way, and groups are compared
with the coarse labels (the group of a newsgroup, the domain of an intent, the archive of an arXiv category) and
with the fine ones by NMI, over documents with a topic: each pair of figures is coarse and fine. `at_classes`
has as many groups as there are coarse labels, `mean` is the mean over numbers of groups from 2 to all topics,
`layers` are the layers of a run. Seconds cover the averages over the graph, the merges of `ours` and `ward`,
and the layers.

    ours       mean cosine of documents, averaged with their neighbours: what the stage `tree` does
    documents  mean cosine of documents, in the embeddings
    cosine     average linkage of centroids by cosine, each topic counted once
    ward       a ward tree on the unit centroids, as BERTopic's
    heights    merges of the documents in the clustering's own spanning tree: two topics merge when half of each has
    sizes      clusterings with larger smallest topics; a topic belongs to the cluster that has most of its documents
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from sklearn.metrics import normalized_mutual_info_score

from tests.benchmarks.auto_size import CORPORA
from tests.benchmarks.corpora import DATA, distinct_vectors
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import GraphCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce, ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.clustering import kmeans_clusters
from topicflow.tasks.core.clusters.hierarchy import merges_of
from topicflow.tasks.core.clusters.linkage import Dendrogram, average_linkage, layer_counts, topic_means
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.cluster import sized_clusters
from topicflow.tasks.topics.density_fits import density_fit
from topicflow.tasks.topics.neighbors import NeighborGraph, find_neighbors
from topicflow.tasks.topics.reduce import diffused, reduce_graph

Labels = NDArray[np.int32]
Vectors = NDArray[np.float32]
Cut = Callable[[int], NDArray[np.int64]]
"""Returns the group (n_topics,) of each topic for a number of groups."""

METHODS = ("default", "auto", "kmeans")
N_KMEANS = 50
STEPS = 40
"""Numbers of groups over which the mean is taken."""

GROWTH = 1.3
"""Ratio of two smallest topics of `sizes`."""


def coarse_labels(name: str, labels: list[str]) -> list[str]:
    """Return the coarse label of each document."""
    if name == "clinc150":
        pairs = pl.read_parquet(DATA / "clinc150.parquet", columns=["intent", "domain"]).unique("intent")
        domain = dict(pairs.iter_rows())
        return [domain[label] for label in labels]
    return labels if name == "bbc_news" else [label.partition(".")[0] for label in labels]


def dendrograms(vectors: Vectors, points: Vectors, labels: Labels) -> dict[str, Dendrogram]:
    """Return the merges of topics by each way that has a dendrogram."""
    n_topics, ones = int(labels.max()) + 1, np.ones(len(labels), np.int64)
    sizes = np.bincount(labels[labels >= 0], minlength=n_topics)
    centroids = topic_means(vectors, labels, ones, n_topics)
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    return {
        "ours": average_linkage(topic_means(points, labels, ones, n_topics), sizes),
        "documents": average_linkage(centroids, sizes),
        "cosine": of_scipy(linkage(unit, "average", metric="cosine")),
        "ward": of_scipy(linkage(unit, "ward")),
    }


def of_scipy(merges: NDArray[np.float64]) -> Dendrogram:
    """Return a linkage of scipy."""
    return Dendrogram(merges[:, :2].astype(np.int64), merges[:, 2])


def by_heights(tree: NDArray[np.float64], labels: Labels) -> Dendrogram:
    """Return the merges of topics in a spanning tree of the documents: a topic is where half of its documents are."""
    merges, _, lengths = merges_of(tree)
    n_topics, n = int(labels.max()) + 1, len(labels)
    half = np.bincount(labels[labels >= 0], minlength=n_topics) / 2
    counts: list[dict[int, int]] = [{int(label): 1} if label >= 0 else {} for label in labels]
    group: dict[int, int] = {}  # the group at a node of the tree
    placed: set[int] = set()
    made: list[tuple[int, int, float]] = []
    for at, (one, other) in enumerate(merges.tolist()):
        most, least = sorted((counts[one], counts[other]), key=len, reverse=True)
        found = [each for each in (group.pop(one, None), group.pop(other, None)) if each is not None]
        for topic, count in least.items():
            most[topic] = most.get(topic, 0) + count
        for topic in [t for t in least if t not in placed and most[t] >= half[t]]:
            placed.add(topic)
            found.append(topic)
        while len(found) > 1:
            made.append((found.pop(), found.pop(), float(lengths[at])))
            found.append(n_topics + len(made) - 1)
        counts.append(most)
        if found:
            group[n + at] = found[0]
    return Dendrogram(np.array([each[:2] for each in made]), np.array([each[2] for each in made]))


def by_sizes(fit: Any, labels: Labels, least: int) -> dict[int, NDArray[np.int64]]:
    """Return the groups (n_topics,) of clusterings with larger and larger smallest topics, by number of groups."""
    n_topics, found, size = int(labels.max()) + 1, {}, float(least)
    while size < len(labels) / 4:
        size *= GROWTH
        coarse = fit.estimated(round(size), 0).labels
        both = (labels >= 0) & (coarse >= 0)
        if coarse.max() < 1:
            continue
        shared = np.zeros((n_topics, int(coarse.max()) + 1), np.int64)
        np.add.at(shared, (labels[both], coarse[both]), 1)
        groups = shared.argmax(axis=1)
        found.setdefault(len(np.unique(groups)), groups)
    return found


def measure(
    vectors: Vectors, graph: NeighborGraph, classes: tuple[Labels, Labels], method: str
) -> dict[str, Any]:
    """Return one row: the topics of a method, and how well each way groups them."""
    runtime = RuntimeConfig()
    started = time.perf_counter()
    points = diffused(graph.indices, graph.distances, vectors, DiffusionReduce(), runtime.n_threads)
    seconds = time.perf_counter() - started
    fit, size = density_fit(points, GraphCluster(), runtime), 0
    if method != "kmeans":
        config = GraphCluster(min_cluster_size="auto") if method == "auto" else GraphCluster()
        found, choice = sized_clusters(points, config, 0)
        size = int(config.min_cluster_size) if choice is None else choice.size
    else:
        layout = ParallelUmapReduce(method="parallel_umap")
        found = kmeans_clusters(reduce_graph(graph.indices, graph.distances, vectors, layout, 0), N_KMEANS, 0)
    labels = found.labels
    started = time.perf_counter()
    trees = dendrograms(vectors, points, labels)
    counts = layer_counts(trees["ours"].distances)
    seconds += time.perf_counter() - started
    own, n_topics = labels >= 0, found.n_clusters

    def agreement(groups: NDArray[np.int64]) -> tuple[float, float]:
        both = [float(normalized_mutual_info_score(each[own], groups[labels[own]])) for each in classes]
        return round(both[0], 3), round(both[1], 3)

    if size:
        trees["heights"] = by_heights(fit.tree(min(-(-size // 2), len(points) - 1)), labels)
    n_classes = min(int(classes[0].max()) + 1, n_topics)
    numbers = np.unique(np.geomspace(2, n_topics, STEPS).round().astype(int)).tolist()
    ways = {}
    for name, tree in trees.items():
        several = np.array([agreement(tree.roots(k)) for k in numbers])
        ways[name] = {
            "at_classes": agreement(tree.roots(n_classes)),
            "mean": np.round(several.mean(axis=0), 3).tolist(),
            "layers": {k: agreement(tree.roots(k)) for k in counts},
        }
    if size:
        same = {
            k: (agreement(groups), agreement(trees["ours"].roots(k)))
            for k, groups in by_sizes(fit, labels, size).items()
        }
        means = np.round(np.array(list(same.values())).mean(axis=0), 3).tolist()
        ways["sizes"] = {"mean_at_its_numbers": means[0], "ours_at_the_same": means[1], "numbers": list(same)}
    return {
        "documents": len(vectors), "method": method, "topics": n_topics, "coarse_classes": n_classes,
        "topics_themselves": agreement(np.arange(n_topics)), "seconds": round(seconds, 2), "ways": ways,
    }  # fmt: skip


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["bbc_news", "newsgroups", "clinc150", "arxiv_20k", "arxiv_abstracts_10k"]
    parser.add_argument("corpora", nargs="*", default=names)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    args = parser.parse_args()
    store, rows = ArtifactStore(args.store), []
    for name in args.corpora:
        documents, vectors, firsts = distinct_vectors(CORPORA[name], store, args.scratch)
        fine = (
            store.table(documents, "documents")
            .select(pl.col("label").cast(pl.String))
            .collect()["label"]
            .to_list()
        )
        both = (coarse_labels(name, fine), fine)
        classes = tuple(np.unique(np.array(each)[firsts], return_inverse=True)[1] for each in both)
        graph = find_neighbors(vectors, NeighborsConfig(), 0, RuntimeConfig())
        rows += [
            {"corpus": name, **measure(vectors, graph, (classes[0], classes[1]), method)}
            for method in METHODS
        ]
    print(json.dumps({"benchmark": "tree", **machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
