"""Judge: the raw and the tuned vectors of held-out examples -> metrics of both, side by side.

Metrics never use training data: neighbours are held-out documents, the probe is fitted on the training part and
tested on the held-out part, and new topics are computed from held-out documents.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.cluster import HdbscanCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import MeasureConfig
from topicflow.tasks.core.clusters.clustering import kmeans_clusters
from topicflow.tasks.core.clusters.quality import agreement, sample_rows
from topicflow.tasks.core.learning.class_head import Examples, fit_softmax
from topicflow.tasks.core.learning.residual import FloatArray
from topicflow.tasks.core.learning.similarity import (
    chance_share,
    document_ranks,
    partner_ranks,
    rank_agreement,
    ranking_quality,
    retrieval_figures,
    same_class_shares,
    triplet_accuracy,
)
from topicflow.tasks.core.vectors.equals import EqualRows
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.store.resources import compiled_threads, one_torch_thread
from topicflow.tasks.topics.cluster import cluster_points
from topicflow.tasks.topics.neighbors import distinct_points, find_neighbors
from topicflow.tasks.topics.reduce import reduce_graph
from topicflow.tasks.tuning import recipes
from topicflow.tasks.tuning.example_set import AnyEmbed, ExampleSet, read_examples
from topicflow.tasks.tuning.examples import HELD_OUT, TRAINING

PROBE_STRENGTH = 10.0
"""C of the probe, a classifier on unit vectors; the same for raw and tuned vectors."""

Figures = dict[str, float | int | None]


def measure_space(found: ExampleSet, config: MeasureConfig, seed: int, runtime: RuntimeConfig) -> Figures:
    """Return the metrics of one space by name, on the held-out examples; None if a metric is not defined.

    Parameters
    ----------
    found : ExampleSet
        Examples with the vectors of the space.
    config : MeasureConfig
        Numbers of neighbours, sample size, kind of topics.
    seed : int
        Seed of the sample and of the topics.
    runtime : RuntimeConfig
        Number of threads.

    Notes
    -----
    O(sample × n_held_out × dim) for the neighbours, plus the probe and the topics.
    """
    if found.links is not None:
        return {name: _defined(value) for name, value in _of_links(found, config, seed).items()}
    vectors, classes = found.of(HELD_OUT)
    shares = same_class_shares(vectors, classes, config.neighbors, config.sample, seed)
    figures: dict[str, float] = {f"top_{k}": shares.get(k, math.nan) for k in sorted(config.neighbors)}
    figures |= _probe(found, vectors, classes)
    if config.topics != "none":
        labels = _topics(vectors, classes, config, seed, runtime)
        figures["nmi"] = agreement(labels, classes)["nmi"]
        if config.topics == "pipeline":
            figures["outlier_share"] = float((labels < 0).mean())
    return {name: _defined(value) for name, value in figures.items()}


def _of_links(found: ExampleSet, config: MeasureConfig, seed: int) -> dict[str, float]:
    """Return metrics of how well cosines predict the similarity of held-out pairs or triplets."""
    links, similar = found.linked(HELD_OUT)
    if found.corpus is not None:
        return _of_synthetic(found, config, seed)
    if found.scores is not None:
        cosines = np.einsum("ij,ij->i", *(np.asarray(found.vectors[rows]) for rows in links.T))
        return {"spearman": rank_agreement(cosines, found.scored(HELD_OUT)[1])}
    if links.shape[1] == 2 and similar.all():
        ranks = partner_ranks(found.vectors, links, config.sample, seed)
        return {
            "partner_first": float((ranks == 1.0).mean()),
            "mean_reciprocal_rank": float((1.0 / ranks).mean()),
        }
    members = [np.asarray(found.vectors[rows]) for rows in links.T]
    if len(members) == 3:
        return {"triplet_accuracy": triplet_accuracy(members[0], members[1], members[2])}
    cosines = np.einsum("ij,ij->i", members[0], members[1])
    means = {
        f"{name}_cosine": float(cosines[rows].mean()) if rows.any() else math.nan
        for name, rows in (("similar", similar), ("dissimilar", ~similar))
    }
    return {"roc_auc": ranking_quality(cosines, similar), **means}


def _of_synthetic(found: ExampleSet, config: MeasureConfig, seed: int) -> dict[str, float]:
    """Return how well held-out made questions find their documents among all; their names say that they are made."""
    assert found.corpus is not None
    assert found.rows_of_items is not None
    links = found.linked(HELD_OUT)[0]
    questions, passages = links[sample_rows(len(links), config.sample, seed)].T
    ranks = document_ranks(found.vectors[questions], found.corpus, found.rows_of_items[passages])
    return {f"synthetic_{name}": value for name, value in retrieval_figures(ranks).items()}


def _probe(found: ExampleSet, vectors: FloatArray, classes: NDArray[np.int64]) -> dict[str, float]:
    """Return accuracy and macro F1 on held-out documents of a softmax regression on the training part.

    Only classes of the training part count; NaN if none of them has a held-out document.
    """
    trained, their_classes = found.of(TRAINING)
    names, numbers = np.unique(their_classes, return_inverse=True)
    known = np.isin(classes, names)
    if not known.any():
        return {"probe_accuracy": math.nan, "probe_macro_f1": math.nan}
    fitted = fit_softmax(Examples(trained, numbers.reshape(-1), np.ones(len(numbers))), PROBE_STRENGTH)
    predicted = names[fitted.probabilities(vectors[known]).argmax(axis=1)]
    truth = classes[known]
    scores = []
    for name in np.unique(truth):
        hits = float(((predicted == name) & (truth == name)).sum())
        scores.append(2.0 * hits / float((predicted == name).sum() + (truth == name).sum()))
    return {"probe_accuracy": float((predicted == truth).mean()), "probe_macro_f1": float(np.mean(scores))}


def _topics(
    vectors: FloatArray, classes: NDArray[np.int64], config: MeasureConfig, seed: int, runtime: RuntimeConfig
) -> NDArray[np.int32]:
    """Return topics (n_held_out,) of the held-out vectors, -1 for none: k-means, or the stages of a topic model."""
    n_classes = len(np.unique(classes))
    if config.topics == "kmeans":
        return kmeans_clusters(np.ascontiguousarray(vectors), n_classes, seed).labels
    clustering = HdbscanCluster(
        method="hdbscan", min_cluster_size=max(2, min(15, len(vectors) // (2 * n_classes)))
    )
    with compiled_threads(runtime.n_threads):
        points = distinct_points(vectors, runtime.n_threads)
        fitted = np.ascontiguousarray(vectors[points.firsts])
        graph = find_neighbors(fitted, NeighborsConfig(), seed, runtime, EqualRows.all_distinct(len(fitted)))
        reduced = reduce_graph(
            graph.indices, graph.distances, fitted, ParallelUmapReduce(method="parallel_umap"), seed,
            runtime.n_threads,
        )  # fmt: skip
        found = cluster_points(reduced, clustering, seed, runtime, points.counts)
        return found.labels[points.group]


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 9)


def side_by_side(raw: Figures, tuned: Figures, chance: float | None = None) -> dict[str, Any]:
    """Return the metrics as in a run's record: raw_<name> and tuned_<name>, and the metric by chance."""
    figures: dict[str, Any] = {} if chance is None else {"chance": round(chance, 9)}
    for name in raw:
        figures |= {f"raw_{name}": raw[name], f"tuned_{name}": tuned[name]}
    return figures


@stage("measure")
def measure(
    context: Context,
    chosen: ArtifactRef,
    raw: ArtifactRef,
    tuned: ArtifactRef,
    encodings: tuple[AnyEmbed, AnyEmbed],
    config: MeasureConfig,
) -> ArtifactRef:
    """Return the artifact of the metrics of raw and tuned vectors, measuring on a miss.

    `encodings` are the sections with which `raw` and `tuned` were embedded; texts of pairs are embedded with them,
    too.
    """
    store = context.store
    recipe = recipes.measured_spaces(config, chosen.key, raw.key, tuned.key, context.seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        measured: list[Figures] = []
        for embeddings, encoding in zip((raw, tuned), encodings, strict=True):
            examples = read_examples(store, chosen, embeddings, encoding, context.runtime)
            with one_torch_thread():
                measured.append(measure_space(examples, config, context.seed, context.runtime))
        counts = {name: value for name, value in store.meta(chosen).items() if name.startswith("n_")}
        chance = chance_share(examples.of(HELD_OUT)[1]) if examples.links is None else None
        writer.save_json("metrics", {**counts, **side_by_side(measured[0], measured[1], chance)})
        writer.rows = counts["n_held_out"]
    return store.committed(recipe, writer)
