"""Names of topics, by a language model and of keywords: how near a name is to its own topic and to the others.

    python -m tests.benchmarks.naming --store STORE --scratch DIR [--url URL --model MODEL] [--words] [CORPUS ...]

Each corpus is embedded once, in 8-bit integers, and modelled with the defaults. The ten largest topics get names; the
other topics, of which some are near to them, are there too. Figures, with the encoder of the documents: `margin`, the
mean of the cosine of a name to its own topic's centroid less the cosine to the best other topic's; `nearest`, the share
of names that are nearest to their own topic.

    keywords     the names of runs without a language model; `first` is the first keyword alone
    alone        the model sees the topic's keywords and documents; names that are alike stay
    contrast     the model sees the keywords of the nearest other topics too, and names that are alike are asked again
    tree         contrast, and the keywords of the group that contains the topic

Without --url llama.cpp's server with SmolLM2-135M is started out of packages. Seconds cover the stage `name` alone.
With --words no model is asked: recipes of keywords are compared, over all topics, with NPMI and diversity; seconds
cover the stages `count` and `label` in an empty store, with a loaded encoder. `npmi_without_forms` is the NPMI of as
many keywords of which no two are forms of one word.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import CORPORA, fresh_store
from tests.benchmarks.peer import machine
from tests.real_servers import llama_cpp_chat
from topicflow.configs.sections.cluster import GraphCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.names import NamesConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.shaping import TreeConfig
from topicflow.tasks.core.words.word_forms import without_forms
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed, embed_texts, text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.naming.evidence import Modelled
from topicflow.tasks.naming.name import name
from topicflow.tasks.naming.wanted import Wanted
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.evaluate import measure
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import reduce
from topicflow.tasks.tree.tree import Grouped, tree

ENCODER = SentenceTransformersEmbed(precision="int8")

CLUSTERING = {
    "bbc_news": GraphCluster(min_cluster_size=10),
    "newsgroups": GraphCluster(min_cluster_size="auto"),
    "arxiv_20k": GraphCluster(min_cluster_size="auto", topics="few"),
}
"""Sizes that give each corpus some dozens of topics, so that a name must tell a topic from similar ones."""

KINDS = {"bbc_news": "news articles", "newsgroups": "newsgroup posts", "arxiv_20k": "titles of papers"}

RECIPES = {
    "default": (CountConfig(), LabelConfig()),
    "phrases": (
        CountConfig(ngram_range=(1, 3)),
        LabelConfig(representation="keybert", n_name_words=1),
    ),
    "phrases, four words": (CountConfig(ngram_range=(1, 3)), LabelConfig(representation="keybert")),
    "keybert, four words": (CountConfig(), LabelConfig(representation="keybert")),
}
"""Recipes of keywords and their names."""


@dataclass(frozen=True)
class Fitted:
    """A corpus with its topics, before any keywords."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    graph: ArtifactRef
    labels: ArtifactRef


@dataclass(frozen=True)
class Bench:
    """Where artifacts are, and how many topics get names."""

    store: ArtifactStore
    scratch: Path
    n_topics: int

    @property
    def context(self) -> Context:
        """The context of the stages."""
        return context_of(self.store)

    def fitted(self, which: str) -> Fitted:
        """Return a corpus with its topics."""
        documents = load.fn(self.context, CORPORA[which].load_config(self.scratch))
        vectors = embed.fn(self.context, documents, ENCODER)
        graph = neighbors.fn(self.context, vectors, NeighborsConfig())
        reduced = reduce.fn(self.context, vectors, graph, DiffusionReduce())
        return Fitted(
            documents,
            vectors,
            graph,
            cluster.fn(self.context, vectors, graph, reduced, CLUSTERING[which]),
        )


def context_of(store: ArtifactStore) -> Context:
    """Return the context of stages that write to a store."""
    return Context(store, 42, RuntimeConfig(store=str(store.root)))


def counted(store: ArtifactStore, fit: Fitted, counting: CountConfig) -> ArtifactRef:
    """Return the word counts."""
    return count.fn(context_of(store), fit.documents, counting)


def labelled(store: ArtifactStore, fit: Fitted, counting: CountConfig, config: LabelConfig) -> ArtifactRef:
    """Return the topics with keywords."""
    clustered = Clustered(fit.documents, fit.embeddings, fit.labels, counted(store, fit, counting))
    return label.fn(context_of(store), clustered, config, counting, ENCODER)


def figures(store: ArtifactStore, topics: ArtifactRef, names: Sequence[str]) -> dict[str, float]:
    """Return the mean margin of the names of the first topics, and the share that is nearest to its own topic."""
    centroids = np.asarray(store.array(topics, "centroids"), np.float64)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    vectors = embed_texts(store, pl.Series(list(names)), ENCODER, RuntimeConfig(store=str(store.root)))
    cosines = vectors @ centroids.T
    own = np.diag(cosines).copy()
    np.fill_diagonal(cosines, -1.0)
    best = cosines.max(axis=1)
    return {"margin": round(float((own - best).mean()), 3), "nearest": round(float((own > best).mean()), 2)}


def distinct_keywords(
    store: ArtifactStore, fit: Fitted, counting: CountConfig, config: LabelConfig
) -> list[list[str]]:
    """Return the best keywords of each topic of which no two are forms of one word, as many as a topic has."""
    n = config.top_n_words
    more = labelled(store, fit, counting, config.model_copy(update={"top_n_words": 2 * n}))
    table = store.table(more, "topics").sort("topic").collect()
    return [without_forms(own)[:n] for own in table["keywords"].to_list()]


def words(bench: Bench, which: str) -> dict[str, Any]:
    """Return the figures of each recipe of keywords, over all topics of a corpus."""
    fit, found = bench.fitted(which), {}
    numbers = np.asarray(bench.store.array(fit.labels, "labels"))
    texts = [text for part in text_parts(bench.store, fit.documents) for text in part]
    folder = bench.scratch / "words"
    warm = fresh_store(bench.store, folder, fit.documents, fit.embeddings, fit.labels)
    labelled(warm, fit, *RECIPES["keybert, four words"])
    for recipe, (counting, config) in RECIPES.items():
        store = fresh_store(bench.store, folder, fit.documents, fit.embeddings, fit.labels)
        started = time.perf_counter(), time.process_time()
        made = labelled(store, fit, counting, config)
        seconds = time.perf_counter() - started[0], time.process_time() - started[1]
        table = store.table(made, "topics").sort("topic").collect()
        keywords = table["keywords"].to_list()
        distinct = distinct_keywords(store, fit, counting, config)
        metrics, without = (
            measure([texts], each, numbers, None, None, None, EvaluateConfig(), counting, 42)
            for each in (keywords, distinct)
        )
        found[recipe] = {
            "topics": table.height,
            **figures(store, made, table["name"].to_list()),
            "npmi": round(float(metrics["npmi"] or 0.0), 3),
            "npmi_without_forms": round(float(without["npmi"] or 0.0), 3),
            "diversity": round(float(metrics["diversity"] or 0.0), 3),
            "seconds": round(seconds[0], 1),
            "processor_seconds": round(seconds[1], 1),
            "names": table["name"].to_list()[: bench.n_topics],
        }
        shutil.rmtree(folder)
    return found


def asked(bench: Bench, which: str, config: NamesConfig) -> dict[str, Any]:
    """Return names and figures of the largest topics of a corpus, by the model and of keywords."""
    fit, store = bench.fitted(which), bench.store
    topics = labelled(store, fit, CountConfig(), LabelConfig())
    plain = Modelled(fit.documents, fit.embeddings, fit.labels, topics)
    grouped = Grouped(fit.embeddings, fit.graph, fit.labels, counted(store, fit, CountConfig()), topics)
    grown = tree.fn(bench.context, grouped, TreeConfig(), LabelConfig())
    table = store.table(topics, "topics").sort("topic").collect()
    n = min(bench.n_topics, table.height)
    names = {
        "keywords": table["name"].to_list()[:n],
        "first": [own[0] for own in table["keywords"].to_list()[:n]],
    }
    found: dict[str, Any] = {"topics": table.height}
    alone = config.model_copy(update={"n_siblings": 0, "alike": 1.0})
    variants = {
        "alone": (plain, alone),
        "contrast": (plain, config),
        "tree": (replace(plain, tree=grown), config),
    }
    for variant, (modelled, section) in variants.items():
        started = time.perf_counter()
        wanted = Wanted(tuple(range(n)), groups=())
        made = name.fn(bench.context, modelled, section, ENCODER, wanted)
        seconds = time.perf_counter() - started
        named = store.table(made, "topics").sort("topic").collect().head(n)
        names[variant] = named["name"].to_list()
        meta = store.meta(made)
        found[variant] = {
            "seconds": round(seconds),
            "calls": meta["n_calls"],
            "tokens": meta["n_tokens"],
            "by_model": int((named["named_by"] == "model").sum()),
            "notes": named["name_note"].to_list(),
        }
        print(which, variant, names[variant], flush=True)
    for variant, each in names.items():
        found.setdefault(variant, {}).update({**figures(store, topics, each), "names": each})
    return found


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """Yield the address of a server, started here if none is given."""
    if url is not None:
        yield url
        return
    with llama_cpp_chat(2048) as own:
        yield own


def main() -> None:
    """Print the figures of each corpus as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=list(KINDS))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--url")
    parser.add_argument("--model", default="SmolLM2-135M-Instruct Q4_1")
    parser.add_argument("--topics", type=int, default=10)
    parser.add_argument("--words", action="store_true")
    options = parser.parse_args()
    bench = Bench(ArtifactStore(options.store), options.scratch, options.topics)
    if options.words:
        rows = {which: words(bench, which) for which in options.corpora}
    else:
        with server(options.url) as url:
            config = NamesConfig(
                url=url, model=options.model, n_documents=3, n_chars=120, n_concurrent=1, timeout_s=900
            )
            rows = {
                which: asked(bench, which, config.model_copy(update={"corpus": KINDS[which]}))
                for which in options.corpora
            }
    print(json.dumps({"benchmark": "naming", **machine(), "corpora": rows}, indent=2))


if __name__ == "__main__":
    main()
