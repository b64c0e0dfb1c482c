"""Time from embeddings to labelled topics compared with plain BERTopic; prints JSON.

    python -m tests.benchmarks.speed --store STORE --scratch DIR --corpus arxiv_100k

Each side runs in a separate process on the same documents and embeddings, first on 20,000 others so that numba has
compiled its kernels (both sides use it), then on all: `seconds` is the second run. Ours is the stages neighbors,
reduce, cluster, count and label with the shipped defaults, artifacts written and read back; BERTopic's is
`fit_transform` with its defaults, seeded and unseeded. min_cluster_size is 10, BERTopic's default, on both sides.
`cold_s` is that first run, imports and compilation included. NPMI is over each side's own tokens, `npmi_other` over
the other side's, as in tests/benchmarks/quality.py.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.corpora import embedded, fresh_store
from tests.benchmarks.peer import fit_bertopic, machine
from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.resources import highest_peak_bytes
from topicflow.tasks.topics.cluster import cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.evaluate import measure, read_classes, read_keywords
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import reduce

SIDES = ("topicflow", "bertopic", "bertopic, unseeded")
WARM = "arxiv_20k"
SHOWN = ("n_topics", "outlier_share", "npmi", "npmi_other", "diversity", "nmi")


def our_run(
    store: ArtifactStore,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    seed: int,
    implementation: str = "auto",
) -> tuple[dict[str, float], np.ndarray, list[list[str]]]:
    """Return seconds by stage, labels and keywords."""
    runtime, counting, seconds = RuntimeConfig(), CountConfig(), {}
    started = time.perf_counter()

    def lap(stage: str, made: object) -> ArtifactRef:
        nonlocal started
        seconds[stage], started = time.perf_counter() - started, time.perf_counter()
        return made

    graph = lap("neighbors", neighbors.fn(Context(store, seed, runtime), embeddings, NeighborsConfig()))
    reduced = lap(
        "reduce",
        reduce.fn(
            Context(store, seed, runtime), embeddings, graph, ParallelUmapReduce(method="parallel_umap")
        ),
    )
    clustering = HdbscanCluster(method="hdbscan", min_cluster_size=10, implementation=implementation)
    labels = lap("cluster", cluster.fn(Context(store, seed, runtime), embeddings, graph, reduced, clustering))
    counts = lap("count", count.fn(Context(store, runtime=runtime), documents, counting))
    modelled = (documents, embeddings, labels, counts)
    topics = lap(
        "label",
        label.fn(
            Context(store, runtime=runtime),
            Clustered(*modelled),
            LabelConfig(),
            counting,
            SentenceTransformersEmbed(),
        ),
    )
    return seconds, np.asarray(store.array(labels, "labels")), read_keywords(store, topics)


def run_side(side: str, name: str, store: ArtifactStore, scratch: Path, seed: int) -> dict[str, Any]:
    """Return one side's seconds and figures, in this process."""
    documents, embeddings = embedded(name, store, scratch)
    vectors = np.asarray(store.array(embeddings, "embeddings"))
    texts = [text for part in text_parts(store, documents) for text in part]
    row: dict[str, Any] = {"side": side}
    started = time.perf_counter()
    if side == "topicflow":
        own = fresh_store(store, scratch / "speed-store", documents, embeddings)
        warm = embedded(WARM, store, scratch)
        our_run(fresh_store(store, scratch / "speed-warm", *warm), *warm, seed, "fast")
        row["cold_s"] = time.perf_counter() - started
        row["stages"], labels, keywords = our_run(own, documents, embeddings, seed)
        row["seconds"] = sum(row["stages"].values())
    else:
        used = seed if side == "bertopic" else None
        documents_too, embeddings_too = embedded(WARM, store, scratch)
        warm_texts = [text for part in text_parts(store, documents_too) for text in part]
        fit_bertopic(warm_texts, np.asarray(store.array(embeddings_too, "embeddings")), 10, used)
        row["cold_s"] = time.perf_counter() - started
        peer = fit_bertopic(texts, vectors, 10, used)
        row["seconds"], labels, keywords = peer.seconds, peer.labels, peer.keywords
    row["peak_rss_bytes"] = highest_peak_bytes()
    known = (keywords, labels, vectors, vectors, read_classes(store, documents), EvaluateConfig(sample=10))
    as_bertopic = [re.sub(r"[^A-Za-z0-9 ]+", "", re.sub(r"[\n\t]", " ", text)) for text in texts]
    own, other = (texts, as_bertopic) if side == "topicflow" else (as_bertopic, texts)
    figures = measure([own], *known, CountConfig(), seed)
    figures["npmi_other"] = measure([other], *known, CountConfig(), seed)["npmi"]
    return {**row, **{key: figures.get(key) for key in SHOWN}}


def main() -> None:
    """Print all sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--corpus", default="arxiv_100k")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    store = ArtifactStore(args.store)
    if args.side:
        print(json.dumps(run_side(args.side, args.corpus, store, args.scratch, args.seed)))
        return
    embedded(args.corpus, store, args.scratch)
    rows = []
    for side in args.sides:
        command = [sys.executable, "-m", "tests.benchmarks.speed", *sys.argv[1:], "--side", side]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    own = next((row["seconds"] for row in rows if row["side"] == "topicflow"), None)
    for row in rows:
        row["times_ours"] = row["seconds"] / own if own else None
    print(json.dumps({"benchmark": "speed", **machine(), "corpus": args.corpus, "sides": rows}, indent=2))


if __name__ == "__main__":
    main()
