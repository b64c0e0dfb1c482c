"""Peers: topics of seven methods on the same texts and vectors, over seeds; prints JSON.

    PYTHONPATH=PACKAGES python -m tests.benchmarks.peers [CORPUS ...] --store STORE --scratch DIR

Each corpus is embedded once, in 8-bit integers. Methods, each with its own defaults:

- `topicflow` (as `topicflow init` writes it: the smallest topic is chosen) and `topicflow_10` (smallest topic 10);
- `bertopic` (UMAP, HDBSCAN, smallest topic 10), and on the same UMAP of the same seed `plscan` of fast_hdbscan and the
  finest layer of Toponymy's clusterer; `evoc`, its most persistent layer;
- `keynmf` of Turftopic, which must be told a number of topics and gets that of the classes; `topeax` of Turftopic,
  which runs t-SNE and is fitted with the first seed only.

A method whose package is missing is left out and named. NMI and ARI are over all documents, outliers as one class. All
clusterings get keywords by one weighting (`label` with its defaults): `npmi`, `diversity` and `c_v` compare topics.
`own_npmi` is of the words that a method gives itself, over its own tokens. `weightings` has the NPMI of our topics and
of BERTopic's for each `spread` and `exclusivity`: what of a difference comes from words and what from topics.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from tests.benchmarks.auto_size import CORPORA as LABELLED
from tests.benchmarks.corpora import Corpus, distinct_vectors
from tests.benchmarks.labellings import Labels, Vectors, default_labels, stage_labels
from tests.benchmarks.peer import machine
from topicflow.configs.sections.cluster import GraphCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.clustering import number_by_size
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics.count import count, read_counts
from topicflow.tasks.topics.evaluate import measure, read_classes
from topicflow.tasks.topics.label import weigh_words

CORPORA = {
    **{name: LABELLED[name] for name in ("bbc_news", "newsgroups", "banking77", "clinc150")},
    "arxiv_10k": Corpus("arxiv_10k", "arxiv_titles.parquet", "title", "primary_cat", 10_000),
}

SHOWN = ("n_topics", "outlier_share", "nmi", "ari", "npmi", "c_v", "diversity")
PACKAGES = ("bertopic", "evoc", "fast_hdbscan", "toponymy", "turftopic")
ONE_SEED = ("topeax",)

Keywords = list[list[str]]


@dataclass
class Given:
    """What every method gets; `umap` is fitted once a seed."""

    texts: list[str]
    vectors: Vectors
    classes: np.ndarray
    counts: csr_matrix
    words: list[str]
    _umap: dict[int, np.ndarray] = field(default_factory=dict)

    def umap(self, seed: int) -> np.ndarray:
        """Return the five dimensions (n, 5) that BERTopic clusters."""
        if seed not in self._umap:
            from umap import UMAP

            made = UMAP(
                n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed, n_jobs=1
            )
            self._umap = {seed: np.asarray(made.fit_transform(self.vectors), np.float32)}
        return self._umap[seed]


@dataclass(frozen=True)
class Found:
    """Labels (n,), -1 for outliers, and the method's own keywords if it has some."""

    labels: Labels
    own: Keywords | None = None


def topicflow(given: Given, seed: int) -> Found:
    """Our defaults with the smallest topic that is chosen."""
    return Found(stage_labels(given.vectors, DiffusionReduce(), GraphCluster(min_cluster_size="auto"), seed))


def topicflow_10(given: Given, seed: int) -> Found:
    """Our defaults with the smallest topic of BERTopic."""
    return Found(default_labels(given.vectors, 10, seed))


def bertopic(given: Given, seed: int) -> Found:
    """BERTopic 0.17: HDBSCAN on UMAP, words by its own c-TF-IDF."""
    from hdbscan import HDBSCAN

    labels = HDBSCAN(min_cluster_size=10).fit(given.umap(seed)).labels_
    return Found(labels.astype(np.int32), ctfidf_words(given.texts, labels))


def ctfidf_words(texts: list[str], labels: np.ndarray) -> Keywords:
    """Return BERTopic's words for given labels: its own class without embedding, reduction or clustering."""
    from bertopic import BERTopic
    from bertopic.backend import BaseEmbedder
    from bertopic.cluster import BaseCluster
    from bertopic.dimensionality import BaseDimensionalityReduction

    class Known(BaseCluster):  # type: ignore[misc]
        def fit(self, _: np.ndarray, __: np.ndarray | None = None) -> Known:
            self.labels_ = labels
            return self

    model = BERTopic(
        embedding_model=BaseEmbedder(),
        umap_model=BaseDimensionalityReduction(),
        hdbscan_model=Known(),
        calculate_probabilities=False,
    )
    model.fit_transform(texts, embeddings=np.zeros((len(texts), 2), np.float32))
    numbers = sorted(topic for topic in model.get_topics() if topic >= 0)
    return [[word for word, _ in model.get_topic(number) if word] for number in numbers]


def plscan(given: Given, seed: int) -> Found:
    """The persistent clusters of fast_hdbscan."""
    from fast_hdbscan import PLSCAN

    return Found(PLSCAN().fit(given.umap(seed)).labels_.astype(np.int32))


def toponymy(given: Given, seed: int) -> Found:
    """The finest layer of Toponymy's clusterer."""
    from toponymy.clustering import build_raw_cluster_layers

    return Found(build_raw_cluster_layers(given.umap(seed))[0].astype(np.int32))


def evoc(given: Given, seed: int) -> Found:
    """EVoC on the vectors themselves."""
    from evoc import EVoC

    return Found(EVoC(random_state=seed).fit_predict(given.vectors).astype(np.int32))


class _Encoder:
    """Our encoder with the signature that Turftopic calls."""

    def __init__(self) -> None:
        config = SentenceTransformersEmbed(precision="int8")
        self.encoder = load_encoder(find_encoder(config, "cpu"), config)

    def encode(self, sentences: list[str], **_: Any) -> np.ndarray:
        """Return vectors (n, dim)."""
        return np.asarray(self.encoder.encode(list(sentences))[0])


def keynmf(given: Given, seed: int) -> Found:
    """Turftopic's KeyNMF with as many topics as classes."""
    from turftopic import KeyNMF

    model = KeyNMF(int(given.classes.max()) + 1, encoder=_Encoder(), random_state=seed)
    shares = model.fit_transform(given.texts, embeddings=given.vectors)
    return of_turftopic(model, shares)


def topeax(given: Given, seed: int) -> Found:
    """Turftopic's Topeax, which finds the number of topics."""
    from turftopic import Topeax

    model = Topeax(encoder=_Encoder(), random_state=seed)
    shares = model.fit_transform(given.texts, embeddings=given.vectors)
    return of_turftopic(model, shares)


def of_turftopic(model: Any, shares: np.ndarray) -> Found:
    """Return the largest share of each document, and the words of the topics that have documents."""
    labels = np.asarray(shares).argmax(axis=1)
    words = [[word for word, _ in topic] for _, topic in model.get_topics(top_k=10)]
    return Found(labels.astype(np.int32), [words[topic] for topic in np.unique(labels)])


METHODS: tuple[Callable[[Given, int], Found], ...] = (
    topicflow, topicflow_10, bertopic, plscan, toponymy, evoc, keynmf, topeax,
)  # fmt: skip


def figures(given: Given, found: Found, seed: int) -> dict[str, Any]:
    """Return the figures of one fit."""
    labels = number_by_size(found.labels)
    keywords = weighed(given, labels, LabelConfig())
    known = (None, None, given.classes, EvaluateConfig(), CountConfig())
    row = measure([given.texts], keywords, labels, *known, seed)
    shown = {name: row.get(name) for name in SHOWN}
    if found.own is not None:
        stripped = [re.sub(r"[^A-Za-z0-9 ]+", "", re.sub(r"[\n\t]", " ", text)) for text in given.texts]
        shown["own_npmi"] = measure([stripped], found.own, found.labels, *known, seed)["npmi"]
    return shown


def weighed(given: Given, labels: Labels, config: LabelConfig) -> Keywords:
    """Return ten keywords for each topic by our weighting."""
    topics = weigh_words(given.counts, given.words, labels, config)
    return [[word for word, _ in one] for one in topics.candidates(config.top_n_words)]


def weightings(given: Given, found: dict[str, Labels], seed: int) -> list[dict[str, Any]]:
    """Return the NPMI of some labels for each of our weightings."""
    rows = []
    for spread in (0.0, 0.5, 1.0):
        for exclusivity in (0.0, 0.25, 0.45):
            config, row = LabelConfig(spread=spread, exclusivity=exclusivity), {}
            for name, labels in found.items():
                numbered = number_by_size(labels)
                known = (None, None, None, EvaluateConfig(), CountConfig())
                values = measure([given.texts], weighed(given, numbered, config), numbered, *known, seed)
                row[name] = {"npmi": values["npmi"], "diversity": values["diversity"]}
            rows.append({"spread": spread, "exclusivity": exclusivity, **row})
    return rows


def compare(given: Given, seeds: list[int]) -> dict[str, Any]:
    """Return all figures of a corpus."""
    runs: dict[str, list[dict[str, Any]]] = {}
    first, missing = {}, set()
    for seed in seeds:
        for method in METHODS:
            name = method.__name__
            if name in missing or (name in ONE_SEED and seed != seeds[0]):
                continue
            started = time.perf_counter()
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    found = method(given, seed)
            except ModuleNotFoundError:
                missing.add(name)
                continue
            seconds = round(time.perf_counter() - started, 1)
            runs.setdefault(name, []).append(
                {"seed": seed, "seconds": seconds, **figures(given, found, seed)}
            )
            if seed == seeds[0] and name in ("topicflow", "topicflow_10", "bertopic"):
                first[name] = found.labels
    return {
        "documents": len(given.texts),
        "classes": int(given.classes.max()) + 1,
        "missing": sorted(missing),
        "means": {name: means(rows) for name, rows in runs.items()},
        "weightings": weightings(given, first, seeds[0]),
        "runs": runs,
    }


def means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and half the width of the 95 % interval (1.96 standard errors) of each figure."""
    found = {}
    for name in ("seconds", *SHOWN, "own_npmi"):
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            error = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
            found[name] = [round(float(np.mean(values)), 4), None if error is None else round(error, 4)]
    return found


def read(corpus: Corpus, store: ArtifactStore, scratch: Path) -> Given:
    """Return what the methods get of a corpus; equal texts once."""
    documents, vectors, firsts = distinct_vectors(corpus, store, scratch)
    counted = count.fn(Context(store, 0, RuntimeConfig()), documents, CountConfig())
    classes = read_classes(store, documents)
    assert classes is not None
    texts = [text for part in text_parts(store, documents) for text in part]
    counts, words = read_counts(store, counted)
    counts = counts[firsts]
    left = np.flatnonzero(counts.getnnz(axis=0))
    return Given(
        [texts[row] for row in firsts],
        vectors,
        classes[firsts],
        counts[:, left],
        [words[column] for column in left],
    )


def versions() -> dict[str, str]:
    """Return the versions of the peers that are there."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def main() -> None:
    """Print the figures of each corpus as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=list(CORPORA))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    args = parser.parse_args()
    store = ArtifactStore(args.store)
    rows = {
        name: compare(read(CORPORA[name], store, args.scratch), args.seeds)
        for name in (args.corpora or list(CORPORA))
    }
    print(json.dumps({"benchmark": "peers", **machine(), "peers": versions(), "corpora": rows}, indent=2))


if __name__ == "__main__":
    main()
