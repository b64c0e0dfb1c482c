"""Recipes of topics: vectors, graph, layout, labels and counts -> recipes.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.cluster import (
    ClassesCluster,
    ClusterConfig,
    GraphCluster,
    HdbscanCluster,
    KMeansCluster,
)
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import (
    DiffusionReduce,
    MapConfig,
    NoReduce,
    ParallelUmapReduce,
    PcaReduce,
    UmapReduce,
)
from topicflow.tasks.classify.classifier_files import classifier_key
from topicflow.tasks.core.words.segmenters import optional_version, word_identity
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {
    "neighbors": 7,
    "reduce": 8,
    "cluster": 7,
    "count": 3,
    "label": 3,
    "evaluate": 1,
}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def map_reduce(config: MapConfig) -> ParallelUmapReduce:
    """Return the reduction for the two-dimensional map."""
    return ParallelUmapReduce(
        method="parallel_umap", n_components=2, min_dist=config.min_dist, n_epochs=config.n_epochs
    )


def neighbors(config: NeighborsConfig, embeddings: str) -> Recipe:
    """Return the recipe of the neighbour graph; it does not depend on the run's seed."""
    return Recipe(
        stage="neighbors",
        kind="neighbors",
        version=VERSIONS["neighbors"],
        config=fields_of(config),
        inputs={"embeddings": embeddings},
        identity=library_versions("numpy", "numba", "pynndescent"),
    )


def reduce(
    config: DiffusionReduce | ParallelUmapReduce | UmapReduce | PcaReduce | NoReduce,
    embeddings: str,
    neighbors: str,
    seed: int,
) -> Recipe:
    """Return the recipe of the reduced vectors; only layouts depend on the seed."""
    is_layout = config.method in {"parallel_umap", "umap"}
    of_graph = {"neighbors": neighbors} if is_layout or config.method == "diffusion" else {}
    return Recipe(
        stage="reduce",
        kind="reduced",
        version=VERSIONS["reduce"],
        config=fields_of(config),
        inputs={"embeddings": embeddings, **of_graph},
        identity=library_versions("numpy", "umap-learn", "numba"),
        seed=seed if is_layout else None,
    )


def cluster(
    config: GraphCluster | HdbscanCluster | KMeansCluster | ClassesCluster,
    embeddings: str,
    neighbors: str,
    reduced: str,
    seed: int,
    sizing: str | None = None,
) -> Recipe:
    """Return the recipe of the labels; `neighbors` has the fitted documents and the nearest ones of all others.

    `sizing` is the key of the labels whose smallest topic is taken, if it is not chosen from these vectors.

    A classifier's classes depend only on the embeddings; its content identifies it, not its path. Only k-means has a
    seed.
    """
    if isinstance(config, ClassesCluster):
        fields = fields_of(config, leave_out={"classifier"})
        identity = {"classifier": classifier_key(config.classifier)}
        return Recipe("cluster", "labels", VERSIONS["cluster"], fields, {"embeddings": embeddings}, identity)
    return Recipe(
        stage="cluster",
        kind="labels",
        version=VERSIONS["cluster"],
        config=_cluster_fields(config),
        inputs={"embeddings": embeddings, "neighbors": neighbors, "reduced": reduced}
        | ({} if sizing is None else {"sizing": sizing}),
        identity=library_versions("hdbscan", "scikit-learn", "numba"),
        seed=seed if isinstance(config, KMeansCluster) else None,
    )


def _cluster_fields(config: GraphCluster | HdbscanCluster | KMeansCluster) -> dict[str, Any]:
    """Return the fields of a section; with "auto" the wish is among them, the size that is chosen is not."""
    if isinstance(config, KMeansCluster):
        return fields_of(config)
    fields = fields_of(config, leave_out={"topics", "about"})
    if config.min_cluster_size != "auto":
        return fields
    return fields | (
        {"topics": config.topics or "medium"} if config.about is None else {"about": config.about}
    )


def count(config: CountConfig, texts: str) -> Recipe:
    """Return the recipe of the word counts."""
    return Recipe(
        stage="count",
        kind="counts",
        version=VERSIONS["count"],
        config=fields_of(config, leave_out=() if config.lemmas else ("lemmas",)),
        inputs={"texts": texts},
        identity=library_versions("scikit-learn", "stop-words", "stopwordsiso")
        | words_of(config.token_pattern)
        | ({"py3langid": optional_version("py3langid")} if "auto" in config.stop_words else {})
        | ({"simplemma": optional_version("simplemma")} if config.lemmas else {}),
    )


def words_of(pattern: str | None) -> dict[str, str]:
    """Return what decides the words of texts, for the identity of a recipe; with a pattern it decides alone."""
    return {} if pattern is not None else word_identity()


def count_part(config: CountConfig, texts: str, rows: tuple[int, int]) -> Recipe:
    """Return the recipe of a part of the word counts, of the documents from one row to another."""
    whole = count(config, texts)
    return Recipe(**{**vars(whole), "kind": "tally-parts", "config": {**whole.config, "rows": list(rows)}})


def label(
    config: LabelConfig,
    documents: str,
    embeddings: str,
    labels: str,
    counts: str,
    encoder: str,
    seeds: tuple[str, float] | None = None,
) -> Recipe:
    """Return the recipe of the topics; `encoder` matters only to representations that embed words.

    `seeds` is the key of the vectors that seeds pulled, and the weight of the seeds' words, if there are seeds.
    """
    of_seeds = {} if seeds is None else {"pulled": seeds[0]}
    recipe = Recipe(
        stage="label",
        kind="topics",
        version=VERSIONS["label"],
        config=fields_of(config) | ({} if seeds is None else {"word_weight": seeds[1]}),
        inputs={"documents": documents, "embeddings": embeddings, "labels": labels, "counts": counts}
        | of_seeds,
        identity=library_versions("bertopic", "scikit-learn"),
    )
    if config.representation == "ctfidf":
        return recipe
    return Recipe(**{**vars(recipe), "identity": {**recipe.identity, "encoder": encoder}})


def evaluate(config: EvaluateConfig, inputs: Mapping[str, str], counting: CountConfig, seed: int) -> Recipe:
    """Return the recipe of the metrics; coherence uses the words of `counting`."""
    recipe = Recipe(
        stage="evaluate",
        kind="metrics",
        version=VERSIONS["evaluate"],
        config=fields_of(config),
        inputs=dict(inputs),
        identity=library_versions("numpy", "scikit-learn", "scipy", "numba"),
        seed=seed,
    )
    config_with_words = {**recipe.config, "token_pattern": counting.token_pattern}
    identity = {**recipe.identity, **words_of(counting.token_pattern)}
    return Recipe(**{**vars(recipe), "config": config_with_words, "identity": identity})


def lookup_part(stage: str, version: int, queries: str, cells: str, rows: tuple[int, int]) -> Recipe:
    """Return the recipe of a part of a stage's lookups, of the vectors from one row to another."""
    inputs = {"embeddings": queries, "cells": cells}
    return Recipe(stage, "lookup-parts", version, {"rows": list(rows)}, inputs)


UNSEEDED = {stage: f"{stage}_unseeded" for stage in ("neighbors", "reduce", "cluster")}
"""Names of the stages of a fit without seeds, which chooses the smallest topic for a fit with seeds."""


@dataclass(frozen=True)
class CorpusKeys:
    """Keys of what the stages of a topic model begin with: documents, embeddings, word counts, the encoder of words.

    `seeds` is the key of the vectors that seeds pulled, and the weight of the seeds' words, if there are seeds.
    """

    documents: str
    embeddings: str
    counts: str
    encoder: str
    seeds: tuple[str, float] | None = None

    @property
    def fitted(self) -> str:
        """Key of the vectors of the neighbour graph, the layout and the clusters."""
        return self.embeddings if self.seeds is None else self.seeds[0]


def label_of(config: TopicModelConfig, corpus: CorpusKeys, labels: str) -> Recipe:
    """Return the recipe of the topics of a corpus with these labels."""
    return label(
        config.label,
        corpus.documents,
        corpus.embeddings,
        labels,
        corpus.counts,
        corpus.encoder,
        corpus.seeds,
    )


def fit(config: TopicModelConfig, corpus: CorpusKeys, seed: int) -> dict[str, Recipe]:
    """Return the recipe of each stage from the neighbour graph to the metrics, in order."""
    graph = neighbors(config.neighbors, corpus.fitted)
    reduced = reduce(config.reduce, corpus.fitted, graph.key, seed)
    unseeded = unseeded_fit(config, corpus, seed) if corpus.seeds is not None else {}
    sizing = unseeded[UNSEEDED["cluster"]].key if unseeded else None
    labels = cluster(config.cluster, corpus.fitted, graph.key, reduced.key, seed, sizing)
    topics = label_of(config, corpus, labels.key)
    measured = {
        "documents": corpus.documents,
        "embeddings": corpus.embeddings,
        "reduced": reduced.key,
        "labels": labels.key,
        "topics": topics.key,
    }
    metrics = evaluate(config.evaluate, measured, config.count, seed)
    made = {"neighbors": graph, "reduce": reduced, "cluster": labels, "label": topics, "evaluate": metrics}
    return unseeded | made


def unseeded_fit(config: TopicModelConfig, corpus: CorpusKeys, seed: int) -> dict[str, Recipe]:
    """Return the recipes of the fit without seeds that chooses the smallest topic; empty if the config has a number."""
    if not is_chosen(config.cluster):
        return {}
    graph = neighbors(config.neighbors, corpus.embeddings)
    reduced = reduce(config.reduce, corpus.embeddings, graph.key, seed)
    labels = cluster(config.cluster, corpus.embeddings, graph.key, reduced.key, seed)
    return dict(zip(UNSEEDED.values(), (graph, reduced, labels), strict=True))


def is_chosen(config: ClusterConfig) -> bool:
    """Return whether the smallest topic is chosen from the data."""
    return getattr(config, "min_cluster_size", None) == "auto"
