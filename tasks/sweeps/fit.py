"""Fit: a corpus and one setting -> the artifacts of a topic model with it, and its result: figures and agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.tasks.core.clusters.quality import agreement
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.sweeps import recipes
from topicflow.tasks.topics.cluster import cluster
from topicflow.tasks.topics.evaluate import Measured, evaluate
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.recipes import CorpusKeys
from topicflow.tasks.topics.reduce import reduce


@dataclass(frozen=True)
class Corpus:
    """What all settings share: the documents, their embeddings and word counts, and the key of the encoder."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    counts: ArtifactRef
    encoder: str

    @property
    def keys(self) -> CorpusKeys:
        """The keys, as recipes need them."""
        return CorpusKeys(self.documents.key, self.embeddings.key, self.counts.key, self.encoder)


def fit_clusters(
    context: Context, embeddings: ArtifactRef, config: TopicModelConfig
) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
    """Return the neighbour graph, the reduced vectors and the labels of a setting, computing what the store lacks."""
    graph = neighbors.fn(context, embeddings, config.neighbors)
    reduced = reduce.fn(context, embeddings, graph, config.reduce)
    return graph, reduced, cluster.fn(context, embeddings, graph, reduced, config.cluster)


def fit_setting(context: Context, corpus: Corpus, config: TopicModelConfig, seeds: int) -> ArtifactRef:
    """Return the result of a setting, computing what the store lacks.

    Raises
    ------
    PipelineError
        If the setting does not fit the corpus; the message is one line.
    """
    store = context.store
    recipe = recipes.setting(config, corpus.keys, context.seed, seeds)
    if found := store.find(recipe, claim=False):
        return found
    graph, reduced, labels = fit_clusters(context, corpus.embeddings, config)
    clustered = Clustered(corpus.documents, corpus.embeddings, labels, corpus.counts)
    topics = label.fn(context, clustered, config.label, config.count, config.embed)
    measured = Measured(corpus.documents, corpus.embeddings, reduced, labels, topics)
    metrics = evaluate.fn(context, measured, config.evaluate, config.count)
    made = [graph, reduced, labels, topics, metrics]
    again = [
        fit_clusters(replace(context, seed=context.seed + further), corpus.embeddings, config)
        for further in range(1, len(recipes.fits_of(config, corpus.keys, context.seed, seeds)))
    ]
    with store.writing(recipe) as writer:
        figures = store.json(metrics, "metrics")
        figures["agreement"] = agreement_of(context, [labels, *(each[2] for each in again)])
        figures["entropy"] = entropy_of(np.asarray(store.array(labels, "labels")))
        writer.save_json("figures", figures)
        writer.rows = int(figures["n_topics"])
        refs = [*made, *(ref for each in again for ref in each[1:])]
        writer.meta = {
            "stages": {
                name: {"kind": ref.kind, "key": ref.key}
                for name, ref in zip(
                    ("neighbors", "reduce", "cluster", "label", "evaluate"), made, strict=True
                )
            },
            "beside": [[ref.kind, ref.key] for ref in refs],
        }
    return store.committed(recipe, writer)


def agreement_of(context: Context, fits: Sequence[ArtifactRef]) -> float | None:
    """Return the mean adjusted Rand index over all pairs of fits, outliers as one group; None for a single fit."""
    if len(fits) < 2:
        return None
    labels = [np.asarray(context.store.array(ref, "labels")) for ref in fits]
    found = [agreement(one, other)["ari"] for one, other in combinations(labels, 2)]
    return round(float(np.mean([1.0 if np.isnan(each) else each for each in found])), 9)


def entropy_of(labels: NDArray[np.int32]) -> float:
    """Return the bits that the topic of a document tells on average; documents without a topic are one group."""
    shares = np.unique(labels, return_counts=True)[1] / max(1, len(labels))
    return round(abs(float((shares * np.log2(shares)).sum())), 9)
