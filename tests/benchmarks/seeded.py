"""Seeds beside no seeds and BERTopic's guided topics, on the same vectors; prints JSON.

    python -m tests.benchmarks.seeded --store STORE --scratch DIR [--every N] [CORPUS ...]

Every second class of a corpus (or every n-th) is a seed: its name and the three words with the highest c-TF-IDF of
the class; with `examples`, also five of its documents, which BERTopic cannot take. Figures are over the documents of
seeded classes: NMI and purity (outliers as one class, and as wrong), and F1 by BCubed (the mean over documents of
precision and recall of their topics); `f1_rest` is that of the other classes, `nmi_all` of all documents. Our
smallest topic is chosen from the pulled vectors; rows with `same_size` have that of the fit without seeds, as a run
does. `words_shown` is for three less typical words of each seeded class (the 11th, 15th and 19th): the share of them
among the ten keywords of the topic with most of the seed's documents, by `topics.word_weight`. BERTopic runs with its
defaults, a smallest topic of 10, and its words of seeds as one text.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.auto_size import CORPORA
from tests.benchmarks.corpora import distinct_vectors
from tests.benchmarks.labellings import Labels, Vectors
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import GraphCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.shaping import SeededTopics
from topicflow.tasks.core.clusters.given import directions, fit_given
from topicflow.tasks.core.clusters.pull import pull_rows
from topicflow.tasks.core.clusters.quality import agreement
from topicflow.tasks.core.words.counts import top_words
from topicflow.tasks.core.words.seed_words import raise_seed_words, seed_shares
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.given.classes import plain
from topicflow.tasks.given.topics_file import GivenTopic
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.cluster import sized_clusters
from topicflow.tasks.topics.count import count, read_counts
from topicflow.tasks.topics.label import weigh_words
from topicflow.tasks.topics.neighbors import find_neighbors
from topicflow.tasks.topics.reduce import diffused

SEEDED = ("banking77", "clinc150", "newsgroups")
NOTHING = "oos"
_SECTION = SeededTopics(method="seeded", names=("a",))
DEFAULT = (_SECTION.threshold, _SECTION.strength)
GRID = [(threshold, strength) for threshold in (0.6, 0.8) for strength in (0.2, 0.35, 0.5)]
WORD_WEIGHTS = (1.0, 1.5, 2.0, 3.0)
N_WORDS, N_EXAMPLES = 3, 5
RARER = slice(10, 19, 4)


@dataclass(frozen=True)
class Case:
    """A corpus with its seeds: texts, vectors (n, dim), class and seed of each document's class (n,), -1 for none."""

    texts: list[str]
    vectors: Vectors
    classes: NDArray[np.int64]
    wanted: NDArray[np.int64]
    seeds: list[GivenTopic]
    rarer: list[tuple[str, ...]]
    counts: Any
    words: list[str]
    encoder: Any

    def encoded(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts."""
        return np.asarray(self.encoder.encode(list(texts))[0], np.float32)

    def names(self, *, examples: bool) -> Vectors:
        """Return the unit vector of each seed."""
        rng, found = np.random.default_rng(0), []
        for number, seed in enumerate(self.seeds):
            rows = rng.choice(np.flatnonzero(self.wanted == number), N_EXAMPLES, replace=False)
            own = self.encoded(seed.texts).sum(axis=0)
            found.append(own + self.vectors[rows].sum(axis=0) if examples else own)
        return directions(np.stack(found))


def read_case(store: ArtifactStore, name: str, scratch: Path, encoder: Any, every: int) -> Case:
    """Return a corpus of the benchmarks with every n-th class as a seed."""
    documents, vectors, firsts = distinct_vectors(CORPORA[name], store, scratch)
    table = store.table(documents, "documents").select("text", pl.col("label").cast(pl.String)).collect()
    texts, labels = (table[column].gather(firsts).to_list() for column in ("text", "label"))
    known = sorted(set(labels))
    classes = np.array([known.index(label) for label in labels])
    counted = count.fn(Context(store, 0, RuntimeConfig()), documents, CountConfig())
    counts, words = read_counts(store, counted)
    counts = counts[firsts]
    weights = weigh_words(counts, words, classes.astype(np.int32), LabelConfig()).scores
    chosen = [known.index(label) for label in [each for each in known if each != NOTHING][::every]]
    best = [[words[w] for w in columns] for columns, _ in top_words(weights, RARER.stop)]
    seeds = [GivenTopic(name=plain(known[c]), words=tuple(best[c][:N_WORDS])) for c in chosen]
    rarer = [tuple(best[c][RARER]) for c in chosen]
    numbers = np.full(len(known), -1)
    numbers[chosen] = np.arange(len(chosen))
    return Case(texts, vectors, classes, numbers[classes], seeds, rarer, counts, words, encoder)


def pulled(case: Case, names: Vectors, threshold: float, strength: float) -> tuple[Vectors, Labels]:
    """Return the vectors after the pull, and the seed of each document."""
    rows = np.arange(len(case.vectors))
    blocks = list(pull_rows(case.vectors, rows, names, fit_given(case.vectors, names, threshold), strength))
    return np.concatenate([b.vectors for b in blocks]), np.concatenate([b.seeds for b in blocks])


def clustered(vectors: Vectors, size: int = 0) -> tuple[Labels, int, Labels]:
    """Return the labels with the size that is chosen, this size, and the labels with another size."""
    graph = find_neighbors(vectors, NeighborsConfig(), 0, RuntimeConfig())
    points = diffused(graph.indices, graph.distances, vectors, DiffusionReduce())
    found, choice = sized_clusters(points, GraphCluster(min_cluster_size="auto"), 0)
    assert choice is not None
    if size in {0, choice.size}:
        return found.labels, choice.size, found.labels
    return found.labels, choice.size, sized_clusters(points, GraphCluster(min_cluster_size=size), 0)[0].labels


def figures(case: Case, labels: Labels, seconds: float = 0.0) -> dict[str, Any]:
    """Return the figures of a clustering."""
    own = case.wanted >= 0
    f1, precision = bcubed(labels, case.classes)
    return {
        "topics": int(labels.max()) + 1,
        "outliers": round(float((labels < 0).mean()), 3),
        "nmi": round(agreement(labels[own], case.classes[own])["nmi"], 3),
        "purity": round(float(precision[own].mean()), 3),
        "f1": round(float(f1[own].mean()), 3),
        "f1_rest": round(float(f1[~own].mean()), 3),
        "nmi_all": round(agreement(labels, case.classes)["nmi"], 3),
        **({"seconds": round(seconds, 1)} if seconds else {}),
    }


def bcubed(labels: Labels, classes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return F1 of each document (n,), and its topic's share of its class; both are 0 without a topic."""
    table = np.zeros((labels.max() + 2, classes.max() + 1))
    np.add.at(table, (labels + 1, classes), 1)
    shared = table[labels + 1, classes]
    precision, recall = shared / table.sum(axis=1)[labels + 1], shared / table.sum(axis=0)[classes]
    placed = labels >= 0
    return np.where(placed, 2 * precision * recall / (precision + recall), 0.0), np.where(
        placed, precision, 0.0
    )


def words_shown(case: Case, labels: Labels, seeds: Labels) -> dict[str, float]:
    """Return the share of seed words among the keywords of the seed's topic, by their weight."""
    topic_words = weigh_words(case.counts, case.words, labels, LabelConfig())
    own, n_topics = case.rarer, int(labels.max()) + 1
    shares, scores = seed_shares(seeds, labels, len(own), n_topics), topic_words.scores[-topic_words.first :]
    main = (shares * np.bincount(labels[labels >= 0])[:, None]).argmax(axis=0)
    found = {}
    for times in WORD_WEIGHTS:
        best = top_words(raise_seed_words(scores, case.words, own, shares, times), 10)
        shown = [{case.words[w] for w in best[topic][0]} & set(own[seed]) for seed, topic in enumerate(main)]
        found[str(times)] = round(sum(map(len, shown)) / sum(map(len, own)), 3)
    return found


def bertopic(case: Case, *, seeded: bool) -> Labels:
    """Return the labels of BERTopic, with seeds by its guided way."""
    from bertopic import BERTopic
    from bertopic.backend import BaseEmbedder
    from umap import UMAP

    class Known(BaseEmbedder):  # type: ignore[misc]
        def embed(self, documents: list[str], verbose: bool = False) -> Vectors:
            return case.encoded(documents)

    umap = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=42)
    lists = [[seed.name, *seed.words] for seed in case.seeds]
    model = BERTopic(embedding_model=Known(), umap_model=umap, seed_topic_list=lists if seeded else None)
    topics, _ = model.fit_transform(case.texts, case.vectors.copy())
    return np.asarray(topics, np.int32)


def compare(case: Case) -> dict[str, Any]:
    """Return the figures of all sides."""
    started = time.perf_counter()
    plain_labels, size, _ = clustered(case.vectors)
    row: dict[str, Any] = {"seeds": len(case.seeds), "size": size}
    row["unseeded"] = figures(case, plain_labels, time.perf_counter() - started)
    for mode in ("words", "examples"):
        names = case.names(examples=mode == "examples")
        for threshold, strength in GRID if mode == "words" else [DEFAULT]:
            started = time.perf_counter()
            vectors, seeds = pulled(case, names, threshold, strength)
            labels, chosen, same = clustered(vectors, size)
            seconds, at = time.perf_counter() - started, f"{mode}, threshold {threshold}, strength {strength}"
            row[at] = {"size": chosen, **figures(case, labels, seconds)}
            row[f"{at}, same_size"] = figures(case, same)
            if (threshold, strength) == DEFAULT:
                row[at]["words_shown"] = words_shown(case, labels, seeds)
    for name, seeded in (("bertopic_guided", True), ("bertopic", False)):
        started = time.perf_counter()
        row[name] = figures(case, bertopic(case, seeded=seeded), time.perf_counter() - started)
    return row


def main() -> None:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=list(SEEDED))
    parser.add_argument("--every", type=int, default=2, help="every n-th class of a corpus is a seed")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    args = parser.parse_args()
    store, config = ArtifactStore(args.store), SentenceTransformersEmbed(precision="int8")
    encoder = load_encoder(find_encoder(config, "cpu"), config)
    rows = [
        {"corpus": name, **compare(read_case(store, name, args.scratch, encoder, args.every))}
        for name in args.corpora
    ]
    print(json.dumps({"benchmark": "seeded", **machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
