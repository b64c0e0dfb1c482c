"""Copies: are the topics of the other texts the same if some texts occur often? Prints JSON.

    python -m tests.benchmarks.copies --scratch DIR [--documents 250] [--smallest 10]

Texts of bbc_news (each distinct text once), embedded once in 8-bit integers, and three short answers. Each case
copies some of them and models the whole by each `reduce.method`, through the stages; the adjusted Rand index compares
the topics of the texts without copies with their topics if nothing is copied. `one_label` says whether all copies of
a text have its topic, `own` how many copied texts are separate topics.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import NoReduce, ParallelUmapReduce, PcaReduce, UmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe, digest
from topicflow.tasks.topics.cluster import AnyCluster, cluster
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import AnyReduce, reduce

ANSWERS = ["no comment", "thank you", "nothing to add"]
METHODS: tuple[AnyReduce, ...] = (
    NoReduce(method="none"), PcaReduce(method="pca"), ParallelUmapReduce(method="parallel_umap"),
    UmapReduce(method="umap"),
)  # fmt: skip
CASES = [(3, 1), (3, 10), (3, 100), (30, 10), (30, 100), (100, 10), (100, 100)]
"""The number of copied texts, and how often each occurs; the three answers are the first of them."""

Vectors = NDArray[np.float32]


def texts_of_bbc(n: int) -> list[str]:
    """Return `n` distinct texts of bbc_news."""
    texts = pl.read_parquet(DATA / "bbc_news.parquet", columns=["text"])["text"].unique(maintain_order=True)
    return texts.gather(np.sort(np.random.default_rng(1).permutation(len(texts))[:n])).to_list()


def topics(
    store: ArtifactStore, vectors: Vectors, layout: AnyReduce, clustering: AnyCluster
) -> NDArray[np.int32]:
    """Return the topic (n,) of each vector from the stages."""
    runtime = RuntimeConfig(store="", runs="")
    embeddings = _saved(store, vectors)
    graph = neighbors.fn(Context(store, 0, runtime), embeddings, NeighborsConfig())
    reduced = reduce.fn(Context(store, 0, runtime), embeddings, graph, layout)
    labels = cluster.fn(Context(store, 0, runtime), embeddings, graph, reduced, clustering)
    return np.asarray(store.array(labels, "labels"))


def _saved(store: ArtifactStore, vectors: Vectors) -> ArtifactRef:
    recipe = Recipe("embed", "embeddings", 1, inputs={"vectors": digest(vectors.tobytes())})
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        writer.save_array("embeddings", vectors)
        writer.rows = len(vectors)
    return store.committed(recipe, writer)


def measure(
    store: ArtifactStore, vectors: Vectors, layout: AnyReduce, clustering: AnyCluster
) -> list[dict[str, Any]]:
    """Return a row for each case; the answers are the last vectors."""
    n = len(vectors)
    alone = topics(store, vectors, layout, clustering)
    table = []
    for n_copied, times in CASES:
        drawn = np.random.default_rng(2).permutation(n - len(ANSWERS))[: n_copied - len(ANSWERS)]
        copied = np.concatenate([np.arange(n - len(ANSWERS), n), drawn])
        rows = np.concatenate([np.arange(n), np.repeat(copied, times - 1)])
        started = time.perf_counter()
        found = topics(store, np.ascontiguousarray(vectors[rows]), layout, clustering)
        seconds = time.perf_counter() - started
        others = np.setdiff1d(np.arange(n), copied)
        sizes = np.bincount(found[found >= 0], minlength=1)
        own = [row for row in copied if found[row] >= 0 and sizes[found[row]] == times]
        table.append(
            {
                "method": layout.method,
                "copied": n_copied,
                "times": times,
                "n_documents": len(rows),
                "topics_of_others": len(set(found[others].tolist()) - {-1}),
                "topics_without_copies": len(set(alone[others].tolist()) - {-1}),
                "ari": round(float(adjusted_rand_score(alone[others], found[others])), 4),
                "one_label": bool((found[n:] == found[rows[n:]]).all()),
                "own": len(own),
                "seconds": round(seconds, 2),
            }
        )
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=250)
    parser.add_argument("--smallest", type=int, default=10)
    asked = parser.parse_args()
    encoding = SentenceTransformersEmbed(precision="int8")
    texts = texts_of_bbc(asked.documents) + ANSWERS
    vectors = load_encoder(find_encoder(encoding, "cpu"), encoding).encode(texts)[0]
    store, clustering = (
        ArtifactStore(asked.scratch / "store"),
        HdbscanCluster(method="hdbscan", min_cluster_size=asked.smallest),
    )
    table = [row for layout in METHODS for row in measure(store, vectors, layout, clustering)]
    print(json.dumps({"machine": machine(), "smallest": asked.smallest, "rows": table}, indent=1))


if __name__ == "__main__":
    main()
