"""Assigning new documents to a fitted model, compared with BERTopic.transform; prints JSON.

    python -m tests.benchmarks.assigning --scratch DIR --fitted 100000 --new 900000 --peer-new 5000

Both sides fit on the first `--fitted` of reddit_titles_1m by their own pipeline (embeddings given, min_cluster_size
50, seeded), then assign titles that follow them. Ours is the work of the stages beyond `neighbors.fit_limit`: the
index of the fitted vectors, linked by the fit's own graph, the nearest of each new one, the vote. Clocks cover
vectors in memory to topics, including the index. `ways` compares the walk with cells alone, on the first `COMPARED`
new ones: seconds, and recall, and topics compared with those by exact neighbours for `EXACT` of them. Agreement is
with the fit's own topics, three ways: fitted documents assigned like new ones (`fitted_again`), the same without
themselves in the vote (`left_out`, which a rule that only remembers cannot pass), and BERTopic's transform of a slice
of its own fitted documents against its own fit.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import reddit_vectors
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.assign import neighbor_weights, vote_topics
from topicflow.tasks.core.vectors.nearest import Parts, exact_nearest
from topicflow.tasks.core.vectors.search import CellIndex, cell_index, search_neighbors
from topicflow.tasks.topics.cluster import cluster_points
from topicflow.tasks.topics.fitted_sample import N_NEAREST
from topicflow.tasks.topics.neighbors import find_neighbors
from topicflow.tasks.topics.reduce import reduce_graph

MIN_CLUSTER_SIZE = 50

COMPARED, EXACT = 100_000, 20_000


def our_side(fitted: np.ndarray, new: np.ndarray, seed: int) -> dict[str, Any]:
    """Return seconds, rate and agreement of our assignment."""
    graph = find_neighbors(fitted, NeighborsConfig(), seed, RuntimeConfig())
    points = reduce_graph(
        graph.indices, graph.distances, fitted, ParallelUmapReduce(method="parallel_umap"), seed
    )
    labels = cluster_points(
        points, HdbscanCluster(method="hdbscan", min_cluster_size=MIN_CLUSTER_SIZE), seed
    ).labels
    some = cell_index(fitted[:1000], seed, neighbors=np.zeros((1000, 15), np.int32))
    search_neighbors(fitted[:1000], new[:1000], N_NEAREST, index=some)  # compiled before the clock starts
    started = time.perf_counter()
    index = cell_index(fitted, seed, neighbors=graph.indices)
    indexed = time.perf_counter() - started
    nearest, distances = search_neighbors(fitted, new, N_NEAREST, seed, index=index)
    topics, _ = vote_topics(labels, nearest, neighbor_weights(distances))
    seconds = time.perf_counter() - started
    nearest, distances = search_neighbors(fitted, fitted, N_NEAREST + 1, seed, index=index)
    again, _ = vote_topics(labels, nearest[:, :-1], neighbor_weights(distances[:, :-1]))
    left_out, _ = vote_topics(labels, nearest[:, 1:], neighbor_weights(distances[:, 1:]))
    return {
        "seconds": seconds,
        "index_s": indexed,
        "documents_per_s": len(new) / seconds,
        "ways": ways(fitted, new[:COMPARED], labels, index),
        "outlier_share_fitted": float((labels < 0).mean()),
        "outlier_share_new": float((topics < 0).mean()),
        "fitted_again": float((again == labels).mean()),
        "left_out": float((left_out == labels).mean()),
        "left_out_where_both_have_a_topic": float(
            (left_out == labels)[(left_out >= 0) & (labels >= 0)].mean()
        ),
    }


def ways(fitted: np.ndarray, new: np.ndarray, labels: np.ndarray, linked: CellIndex) -> list[dict[str, Any]]:
    """Return seconds, recall and agreement with the vote of exact neighbours, for cells alone and for walks."""
    exact, similarities = exact_nearest(Parts([fitted]), new[:EXACT], N_NEAREST)
    wanted, _ = vote_topics(labels, exact.astype(np.int32), neighbor_weights(1 - similarities))
    alone = replace(linked, links=linked.links[:, :0])
    found = []
    for name, index, n_probe in (
        ("cells", alone, 12), ("cells", alone, 20), ("walk", linked, 6), ("walk", linked, 8), ("walk", linked, 20),
    ):  # fmt: skip
        started, cpu = time.perf_counter(), time.process_time()
        nearest, distances = search_neighbors(fitted, new, N_NEAREST, n_probe=n_probe, index=index)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        topics, _ = vote_topics(labels, nearest[:EXACT], neighbor_weights(distances[:EXACT]))
        both = (topics >= 0) & (wanted >= 0)
        hits = (nearest[:EXACT, :, None] == exact[:, None, :]).any(axis=2)
        found.append(
            {
                "way": name,
                "n_probe": n_probe,
                "seconds": seconds,
                "cpu_s": cpu,
                "recall": float(hits.mean()),
                "as_by_exact_neighbours": float((topics == wanted).mean()),
                "where_both_have_a_topic": float((topics == wanted)[both].mean()),
            }
        )
    return found


def peer_side(texts: list[str], fitted: np.ndarray, new: np.ndarray, n_new: int, seed: int) -> dict[str, Any]:
    """Return seconds, rate and agreement of BERTopic's transform on a slice."""
    from bertopic import BERTopic
    from umap import UMAP

    umap = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed)
    model = BERTopic(umap_model=umap, min_topic_size=MIN_CLUSTER_SIZE)
    topics, _ = model.fit_transform(texts, fitted)
    model.transform(texts[:200], fitted[:200])  # compiled before the clock starts
    started = time.perf_counter()
    model.transform(["title"] * n_new, new[:n_new])
    seconds = time.perf_counter() - started
    again, _ = model.transform(texts[:n_new], fitted[:n_new])
    return {
        "seconds": seconds,
        "n_new": n_new,
        "documents_per_s": n_new / seconds,
        "fitted_again": float((np.asarray(again) == np.asarray(topics[:n_new])).mean()),
    }


def main() -> None:
    """Print both sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--fitted", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=900_000)
    parser.add_argument("--peer-new", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    documents, path = reddit_vectors(args.scratch, args.fitted + args.new)
    vectors = np.load(path)
    fitted, new = vectors[: args.fitted], vectors[args.fitted :]
    ours = our_side(fitted, new, args.seed)
    texts = pl.read_parquet(documents, columns=["title"])["title"][: args.fitted].to_list()
    peer = peer_side(texts, fitted, new, args.peer_new, args.seed) if args.peer_new else None
    times = ours["documents_per_s"] / peer["documents_per_s"] if peer else None
    sizes = {"fitted": args.fitted, "new": len(new)}
    figures = {"topicflow": ours, "bertopic": peer, "times_faster": times}
    print(json.dumps({"benchmark": "assigning", **machine(), **sizes, **figures}, indent=2))


if __name__ == "__main__":
    main()
