"""Stability: the topics of our defaults over seeds, shuffled rows and 99 % of the rows, beside BERTopic's; prints JSON.

    python -m tests.benchmarks.stability --store STORE --scratch DIR [--fits 5] [--peer-up-to 11000] [CORPUS ...]

Each row is the mean and the least adjusted Rand index over all pairs of fits: over all documents, no topic being one
more group, and over the documents that have a topic in both. `layout` are the defaults of version 0.1.0 (our layout and
HDBSCAN), `bertopic` is UMAP and HDBSCAN as BERTopic calls them, both with the fit's number as seed. Documents are
embedded once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from tests.benchmarks.corpora import Corpus
from tests.benchmarks.labellings import Labels, Vectors, bertopic_labels, default_labels, layout_labels
from tests.benchmarks.peer import machine
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.evaluate import read_classes

CORPORA = {
    corpus.name: (corpus, smallest)
    for corpus, smallest in (
        (Corpus("bbc_news", "bbc_news.parquet", "text", "label"), 10),
        (Corpus("newsgroups", "newsgroups.parquet", "text", "label"), 15),
        (Corpus("reddit_10k", "reddit_titles_1m.parquet", "title", "subreddit", 10_000), 15),
        (Corpus("arxiv_20k", "arxiv_titles.parquet", "title", "primary_cat", 20_000), 15),
        (Corpus("arxiv_100k", "arxiv_titles.parquet", "title", "primary_cat", 100_000), 50),
    )
}

WAYS: dict[str, Callable[[Vectors, int, int], Labels]] = {
    "topicflow": default_labels,
    "layout": layout_labels,
    "bertopic": bertopic_labels,
}

Rows = NDArray[np.int64]
NOT_DRAWN = -9


def fits(kind: str, n: int, n_fits: int) -> Iterator[tuple[int, Rows]]:
    """Yield the seed and the rows, in their order, of each fit."""
    for fit in range(n_fits):
        rng = np.random.default_rng(100 + fit)
        if kind == "seeds":
            yield fit, np.arange(n)
        elif kind == "shuffles":
            yield fit, rng.permutation(n)
        else:
            yield fit, np.sort(rng.permutation(n)[: int(0.99 * n)])


def agreement(found: list[Labels]) -> dict[str, float]:
    """Return the mean and the least adjusted Rand index over pairs of labels (n,): all, and clustered documents."""
    everything, clustered = [], []
    for one, other in itertools.combinations(found, 2):
        both = (one != NOT_DRAWN) & (other != NOT_DRAWN)
        everything.append(adjusted_rand_score(one[both], other[both]))
        both &= (one >= 0) & (other >= 0)
        clustered.append(adjusted_rand_score(one[both], other[both]))
    return {
        "ari": round(float(np.mean(everything)), 3),
        "ari_least": round(float(np.min(everything)), 3),
        "ari_clustered": round(float(np.mean(clustered)), 3),
        "ari_clustered_least": round(float(np.min(clustered)), 3),
    }


def measure(
    vectors: Vectors, classes: NDArray[np.int64] | None, smallest: int, way: str, kind: str, n_fits: int
) -> dict[str, Any]:
    """Return one row of the table."""
    found, scores, seconds = [], [], []
    for seed, rows in fits(kind, len(vectors), n_fits):
        drawn = np.ascontiguousarray(vectors[rows])
        started = time.perf_counter()
        labels = WAYS[way](drawn, smallest, seed)
        seconds.append(time.perf_counter() - started)
        whole = np.full(len(vectors), NOT_DRAWN, np.int32)
        whole[rows] = labels
        found.append(whole)
        if classes is not None:
            scores.append(normalized_mutual_info_score(classes[rows], labels))
    n_topics = [int(labels.max(initial=-1)) + 1 for labels in found]
    outliers = [float((labels == -1).sum() / (labels != NOT_DRAWN).sum()) for labels in found]
    return {
        "way": way,
        "over": kind,
        "fits": n_fits,
        "topics": [min(n_topics), max(n_topics)],
        "outlier_share": round(float(np.mean(outliers)), 3),
        **agreement(found),
        "nmi": round(float(np.mean(scores)), 3) if scores else None,
        "seconds": round(float(np.median(seconds)), 2),
    }


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=list(CORPORA))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--fits", type=int, default=10)
    parser.add_argument(
        "--peer-up-to", type=int, default=11_000, help="documents up to which BERTopic is fitted"
    )
    args = parser.parse_args()
    store, rows = ArtifactStore(args.store), []
    context = Context(store, 0, RuntimeConfig())
    for name in args.corpora:
        corpus, smallest = CORPORA[name]
        documents = load.fn(context, corpus.load_config(args.scratch))
        encoded = embed.fn(context, documents, SentenceTransformersEmbed(precision="int8"))
        vectors, classes = np.asarray(store.array(encoded, "embeddings")), read_classes(store, documents)
        ways = [way for way in WAYS if way != "bertopic" or len(vectors) <= args.peer_up_to]
        for way, kind in itertools.product(ways, ("seeds", "shuffles", "99 %")):
            row = measure(vectors, classes, smallest, way, kind, args.fits)
            rows.append({"corpus": name, "documents": len(vectors), "smallest_topic": smallest, **row})
    print(json.dumps({"benchmark": "stability", **machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
