"""Topic shares beside BERTopic's `approximate_distribution`, with the same topics; prints JSON.

    python -m tests.benchmarks.shares --store STORE --scratch DIR bbc_news newsgroups

The vectors are those of all-MiniLM-L6-v2 in 8-bit integers, from the store or embedded now. Topics: k-means over the
vectors, the same on both sides. Two texts of different topics and different labels make one mixed text; the words of
the topics are counted without these texts. `both` says how often the two topics have the two largest shares, `in five`
how often they are among the five largest, and `labels` how often the two labels have the largest sums of shares over
the topics in which they are most frequent. The vector of a mixed text is that of its first text (as of an encoder that
reads only the beginning), or the mean of both. BERTopic has its defaults: windows of four words, one word apart,
minimum similarity .1.

The clock: shares of documents in memory with counts, vectors and topics there, and the topics' word counts (ours);
`approximate_distribution` of the texts (BERTopic), which cuts its own words. `agrees`: how often the largest share is
that of the document's topic, over all documents, and over clear ones (a margin of .05 between the cosines to both
nearest centroids).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from tests.benchmarks.corpora import CORPORA
from tests.benchmarks.peer import machine
from tests.fakes import counted
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.execution.context import Context
from topicflow.tasks.shares.estimate import Rows, TopicModelWords, divide
from topicflow.tasks.shares.shares import share_lists
from topicflow.tasks.store.artifact_store import ArtifactStore

N_TOPICS = {"bbc_news": 30, "newsgroups": 60}
WEIGHT = 0.2


class Corpus:
    """Texts, vectors, labels and topics of a corpus."""

    def __init__(self, name: str, store: ArtifactStore, scratch: Path) -> None:
        from sklearn.cluster import KMeans

        documents = load.fn(Context(store), CORPORA[name].load_config(scratch))
        vectors = embed.fn(Context(store), documents, SentenceTransformersEmbed(precision="int8"))
        table = store.table(documents, "documents").collect()
        self.texts, self.classes = table["text"].to_list(), table["label"].to_list()
        self.vectors = np.asarray(store.array(vectors, "embeddings"))
        topics = KMeans(N_TOPICS[name], n_init=1, random_state=0).fit_predict(self.vectors)
        order = np.argsort(-np.bincount(topics), kind="stable")
        self.topics = np.argsort(order)[topics].astype(np.int32)
        self.centroids = np.stack([self.vectors[self.topics == t].mean(axis=0) for t in range(len(order))])
        members = [[self.classes[row] for row in np.flatnonzero(self.topics == t)] for t in range(len(order))]
        self.majority = [Counter(own).most_common(1)[0][0] for own in members]
        self.lengths = np.array([len(text.split()) for text in self.texts])

    def margins(self) -> np.ndarray:
        """Return the difference of the cosines to the two nearest centroids."""
        directions = self.centroids / np.linalg.norm(self.centroids, axis=1, keepdims=True)
        best = np.sort(self.vectors @ directions.T, axis=1)
        return np.asarray(best[:, -1] - best[:, -2])

    def pairs(self, n: int) -> np.ndarray:
        """Return pairs of documents (n, 2) whose topics and labels differ."""
        rng, found = np.random.default_rng(0), []
        fitting = np.flatnonzero((self.lengths >= 30) & (self.lengths < 400))
        while len(found) < n:
            a, b = rng.choice(fitting, 2)
            distinct = self.classes[a] != self.classes[b] and self.topics[a] != self.topics[b]
            if distinct and self.majority[self.topics[a]] != self.majority[self.topics[b]]:
                found.append((a, b))
        return np.array(found)


def recall(shares: np.ndarray, corpus: Corpus, pairs: np.ndarray) -> dict[str, float]:
    """Return how often both topics, and both labels, have the largest shares (n_pairs, n_topics)."""
    order = np.argsort(-shares, axis=1, kind="stable")
    wanted = [set(corpus.topics[pair].tolist()) for pair in pairs]
    names = sorted(set(corpus.majority))
    of_class = np.array([[name == own for name in names] for own in corpus.majority], float)
    classes = np.argsort(-(shares @ of_class), axis=1, kind="stable")[:, :2]
    labels = [{corpus.classes[a], corpus.classes[b]} for a, b in pairs]
    tops = [[set(row[:n].tolist()) for row in order] for n in (2, 5)]
    shown = [{names[k] for k in row} for row in classes]
    rates = {
        "both": [two == found for two, found in zip(wanted, tops[0], strict=True)],
        "in five": [two <= found for two, found in zip(wanted, tops[1], strict=True)],
        "labels": [two == found for two, found in zip(labels, shown, strict=True)],
    }
    return {name: round(float(np.mean(each)), 3) for name, each in rates.items()}


def dense(divided: Any, n_topics: int) -> np.ndarray:
    """Return the shares of all topics (n_rows, n_topics)."""
    found = np.zeros((len(divided.topics), n_topics))
    for row in range(len(found)):
        np.add.at(found[row], divided.topics[row], divided.shares[row])
    return found


def measure(name: str, store: ArtifactStore, scratch: Path, n_pairs: int, n_timed: int) -> dict[str, Any]:
    """Return quality and seconds of both sides on one corpus."""
    corpus = Corpus(name, store, scratch)
    pairs, n = corpus.pairs(n_pairs), len(corpus.texts)
    mixed = [f"{corpus.texts[a]}\n\n{corpus.texts[b]}" for a, b in pairs]
    counts, _ = counted([[*corpus.texts, *mixed]], CountConfig())
    fitted = np.setdiff1d(np.arange(n), pairs)
    model = TopicModelWords.of(csr_matrix(counts[fitted]), corpus.topics[fitted], corpus.centroids)
    first = corpus.vectors[pairs[:, 0]]
    both = first + corpus.vectors[pairs[:, 1]]
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    none, zeros = np.full(n_pairs, -1, np.int32), np.zeros(n_pairs, np.float32)
    ours = {
        kind: recall(
            dense(divide(Rows(csr_matrix(counts[n:]), vectors, none, zeros), model, WEIGHT), len(corpus.centroids)),
            corpus, pairs,
        )
        for kind, vectors in (("vector of the first text", first), ("mean vector", both))
    }  # fmt: skip
    everything = Rows(
        csr_matrix(counts[:n]), corpus.vectors, corpus.topics, (corpus.margins() >= 0.05).astype(np.float32)
    )
    started = time.perf_counter()
    whole = TopicModelWords.of(everything.counts, corpus.topics, corpus.centroids)
    lists = share_lists(divide(everything, whole, WEIGHT), np.arange(n), n, 5)
    seconds = time.perf_counter() - started
    largest = (
        pl.DataFrame({"s": lists}).select(pl.col("s").list.first().struct.field("topic"))["topic"].to_numpy()
    )
    is_clear = everything.probabilities >= 0.5
    agrees = largest == corpus.topics
    peer = peer_figures(corpus, fitted, mixed, pairs, n_timed)
    figures = {
        "documents": n, "topics": len(corpus.centroids), "pairs": n_pairs,
        "topicflow": {
            **ours, "seconds": round(seconds, 2), "documents_per_s": round(n / seconds),
            "agrees": round(float(agrees.mean()), 3), "agrees_if_clear": round(float(agrees[is_clear].mean()), 4),
            "clear": round(float(is_clear.mean()), 3),
        },
        "bertopic": peer,
    }  # fmt: skip
    figures["times_faster"] = round(figures["topicflow"]["documents_per_s"] / peer["documents_per_s"], 1)
    return figures


def peer_figures(
    corpus: Corpus, fitted: np.ndarray, mixed: list[str], pairs: np.ndarray, n_timed: int
) -> dict[str, Any]:
    """Return BERTopic's quality on the mixed texts and its speed on documents of the corpus."""
    from bertopic import BERTopic
    from bertopic.backend import BaseEmbedder
    from bertopic.cluster import BaseCluster
    from bertopic.dimensionality import BaseDimensionalityReduction

    texts = [corpus.texts[row] for row in fitted]
    model = BERTopic(
        embedding_model=BaseEmbedder(), umap_model=BaseDimensionalityReduction(), hdbscan_model=BaseCluster()
    )
    topics, _ = model.fit_transform(
        texts, embeddings=np.zeros((len(texts), 2)), y=corpus.topics[fitted].tolist()
    )
    theirs = np.zeros(len(corpus.centroids), np.int64)  # its own numbers, by size
    theirs[corpus.topics[fitted]] = np.asarray(topics)
    shares, _ = model.approximate_distribution(mixed)
    rows = np.linspace(0, len(texts) - 1, n_timed).astype(int)
    started = time.perf_counter()
    found, _ = model.approximate_distribution([texts[row] for row in rows])
    seconds = time.perf_counter() - started
    agrees = found[:, theirs].argmax(axis=1) == corpus.topics[fitted[rows]]
    return {
        "mixed": recall(shares[:, theirs], corpus, pairs),
        "seconds": round(seconds, 2),
        "documents": n_timed,
        "documents_per_s": round(n_timed / seconds, 1),
        "agrees": round(float(agrees.mean()), 3),
    }


def main() -> None:
    """Print quality and speed of each corpus as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=["bbc_news", "newsgroups"])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--timed", type=int, default=1000)
    args = parser.parse_args()
    store = ArtifactStore(args.store)
    found: dict[str, Any] = {"benchmark": "shares", **machine()}
    for name in args.corpora:
        measure(name, store, args.scratch, 20, 20)  # kernels are compiled
        found[name] = measure(name, store, args.scratch, args.pairs, args.timed)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
