"""Small corpora, many seeds: topics, largest share and NMI of our defaults and of BERTopic's recipe; prints JSON.

    python -m tests.benchmarks.collapse --store STORE --scratch DIR [--sizes 200 500 ...] [--seeds 10] [CORPUS ...]

From every corpus beside the project `size` rows are drawn, the same for every seed, and clustered with a smallest
topic of 10 (BERTopic's). `ours` are the defaults; `layout and hdbscan` those of version 0.1.0, with and without
`cluster.max_topic_share`; the peer's is `umap.UMAP` (15 neighbours, 5 dimensions, min_dist 0, cosine, random_state) and
`hdbscan.HDBSCAN` (excess of mass) as BERTopic 0.17 calls them. A row has the minimum and maximum number of topics over
the seeds, the mean and largest share of all documents in one topic, the number of seeds in which that was above a half,
and the mean NMI with the labels, if the corpus has labels. Embedded once, in 8-bit integers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score

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

SIZES = (200, 500, 1_000, 1_500, 3_000, 10_000)
SMALLEST = 10
CROWD = 0.5

CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("agnews", "agnews_weak_test.parquet", "title", "label", 10_000),
        Corpus("arxiv_abstracts", "arxiv_abstracts_30k.parquet", "abstract", "primary_cat", 10_000),
        Corpus("arxiv_titles", "arxiv_titles.parquet", "title", "primary_cat", 10_000),
        Corpus("banking77", "banking77_train.parquet", "text", "label", 10_000),
        Corpus("bbc_news", "bbc_news.parquet", "text", "label", 10_000),
        Corpus("clinc150", "clinc150.parquet", "text", "intent", 10_000),
        Corpus("cranfield", "cranfield_docs.parquet", "text", None, 10_000),
        Corpus("customer_reviews", "customer_reviews.parquet", "text", "label", 10_000),
        Corpus("emotion", "emotion_train.parquet", "text", "label", 10_000),
        Corpus("newsgroups", "newsgroups.parquet", "text", "label", 10_000),
        Corpus("reddit_titles", "reddit_titles_1m.parquet", "title", "subreddit", 10_000),
        Corpus("sib200", "sib200_11_languages.parquet", "text", "label", 10_000),
        Corpus("sst5", "sst5_train.parquet", "text", "label", 10_000),
        Corpus("tweets", "tweets_dated.parquet", "text", None, 10_000),
    )
}


def summary(found: list[Labels], classes: NDArray[np.int64] | None, seconds: float) -> dict[str, Any]:
    """Return one row of the table from the labels of every seed."""
    n_topics = [int(labels.max(initial=-1)) + 1 for labels in found]
    shares = [float(np.bincount(labels[labels >= 0], minlength=1).max() / len(labels)) for labels in found]
    row = {
        "topics_least": min(n_topics),
        "topics_most": max(n_topics),
        "largest_share_mean": round(float(np.mean(shares)), 3),
        "largest_share_most": round(max(shares), 3),
        "seeds_above_half": sum(share > CROWD for share in shares),
        "outlier_share": round(float(np.mean([(labels < 0).mean() for labels in found])), 3),
        "seconds_a_seed": round(seconds / len(found), 2),
    }
    if classes is not None:
        scores = [normalized_mutual_info_score(classes, labels) for labels in found]
        row["nmi"] = round(float(np.mean(scores)), 3)
    return row


def measure(
    name: str, vectors: Vectors, classes: NDArray[np.int64] | None, size: int, seeds: int
) -> list[dict[str, Any]]:
    """Return a row for each way on `size` rows of a corpus."""
    rows = np.sort(np.random.default_rng(0).permutation(len(vectors))[:size])
    drawn, known = np.ascontiguousarray(vectors[rows]), None if classes is None else classes[rows]
    ways: dict[str, Callable[[int], Labels]] = {
        "ours": lambda seed: default_labels(drawn, SMALLEST, seed),
        "layout and hdbscan": lambda seed: layout_labels(drawn, SMALLEST, seed),
        "layout and hdbscan's choice": lambda seed: layout_labels(drawn, SMALLEST, seed, 1.0),
        "bertopic's recipe": lambda seed: bertopic_labels(drawn, SMALLEST, seed),
    }
    table = []
    for way, cluster in ways.items():
        started = time.perf_counter()
        found = [cluster(seed) for seed in range(seeds)]
        row = summary(found, known, time.perf_counter() - started)
        table.append({"corpus": name, "size": size, "way": way, **row})
    return table


def totals(rows: list[dict[str, Any]], seeds: int) -> dict[str, dict[str, float]]:
    """Return for each way: runs, runs with one topic above a half, mean NMI."""
    found = {}
    for way in dict.fromkeys(row["way"] for row in rows):
        own = [row for row in rows if row["way"] == way]
        scores = [row["nmi"] for row in own if "nmi" in row]
        found[way] = {
            "runs": len(own) * seeds,
            "runs_above_half": sum(row["seeds_above_half"] for row in own),
            "nmi": round(float(np.mean(scores)), 4) if scores else float("nan"),
        }
    return found


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=list(CORPORA))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    store, runtime, rows = ArtifactStore(args.store), RuntimeConfig(), []
    for name in args.corpora:
        documents = load.fn(Context(store, runtime=runtime), CORPORA[name].load_config(args.scratch))
        encoded = embed.fn(
            Context(store, runtime=runtime), documents, SentenceTransformersEmbed(precision="int8")
        )
        vectors = np.asarray(store.array(encoded, "embeddings"))
        classes = read_classes(store, documents)
        sizes = [size for size in args.sizes if size <= len(vectors)]
        for size in sizes or [len(vectors)]:
            rows += measure(name, vectors, classes, size, args.seeds)
    found = {"totals": totals(rows, args.seeds), "rows": rows}
    print(json.dumps({"benchmark": "collapse", **machine(), "seeds": args.seeds, **found}, indent=2))


if __name__ == "__main__":
    main()
