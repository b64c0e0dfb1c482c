"""Evaluate: documents, vectors, layout, labels and topics -> the metrics of a topic model, by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.tasks.core.clusters import quality
from topicflow.tasks.core.vectors.blocks import gathered
from topicflow.tasks.core.words import coherence
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.memo import remembered
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, digest
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.final import read_stability
from topicflow.tasks.topics.fitted_sample import PlacedPoints, reduced_points

PART_ROWS = 16_384
"""Documents tokenised at a time."""

Metrics = dict[str, float | int | None]
"""Metrics by name; None if a metric is not defined for the input."""


def measure(
    texts: Iterable[Iterable[str]],
    keywords: Sequence[Sequence[str]],
    labels: NDArray[np.int32],
    embeddings: NDArray[np.float32] | None,
    reduced: NDArray[np.float32] | PlacedPoints | None,
    classes: NDArray[np.int64] | None,
    config: EvaluateConfig,
    counting: CountConfig,
    seed: int,
) -> Metrics:
    """Return every metric of a topic model; None if it is not defined.

    Parameters
    ----------
    texts : iterable of iterable of str
        The texts of n_docs documents in order, in parts; read once.
    keywords : sequence of sequence of str
        Keywords of each topic, best first.
    labels : ndarray
        Topic of each document (n_docs,) int32, -1 for none.
    embeddings : ndarray or None
        Unit vectors (n_docs, dim) float32; only sampled rows are read.
    reduced : ndarray, PlacedPoints or None
        The clustered points (n_docs, d) float32; only sampled rows are read. Without these two, trustworthiness and
        DBCV, which measure a layout, are left out.
    classes : ndarray or None
        Known class of each document (n_docs,) int64, -1 if unknown; None without classes.
    config : EvaluateConfig
        Words of each topic and the size of the sample.
    counting : CountConfig
        Definition of a word.
    seed : int
        Seed of the sample.

    Notes
    -----
    Coherence is linear in tokens; trustworthiness and DBCV are quadratic in `config.sample`.
    """
    metrics: dict[str, float | int] = {
        **_sizes(labels),
        **_coherence(texts, keywords, config, counting),
        **(
            _shape(labels, embeddings, reduced, config.sample, seed)
            if embeddings is not None and reduced is not None
            else {}
        ),
        **(_agreement(labels, classes) if classes is not None else {}),
    }
    return {name: _defined(value) for name, value in metrics.items()}


def _defined(value: float) -> float | int | None:
    """Return a metric for JSON: None for NaN; nine digits, which do not depend on the number of threads."""
    if isinstance(value, int):
        return value
    return None if math.isnan(value) else round(float(value), 9)


def _sizes(labels: NDArray[np.int32]) -> dict[str, float | int]:
    _, sizes = np.unique(labels[labels >= 0], return_counts=True)
    return {
        "n_documents": len(labels),
        "n_topics": len(sizes),
        "outlier_share": quality.outlier_share(labels),
        "median_topic_size": float(np.median(sizes)) if len(sizes) else math.nan,
        "largest_topic_share": float(sizes.max() / len(labels)) if len(sizes) else math.nan,
    }


def _coherence(
    texts: Iterable[Iterable[str]],
    keywords: Sequence[Sequence[str]],
    config: EvaluateConfig,
    counting: CountConfig,
) -> dict[str, float | int]:
    topics = coherence.split_keywords(keywords, config.top_n_words)
    words = coherence.index_words(topics)
    parts = (
        coherence.word_ids(part, words.vocabulary, counting.token_pattern, lowercase=counting.lowercase)
        for part in (texts if words.n_words else ())
    )
    near, far = coherence.count_windows(parts, words, (coherence.NPMI_WINDOW, coherence.C_V_WINDOW))
    return {
        "npmi": coherence.defined_mean(coherence.npmi(words, near)),
        "c_v": coherence.defined_mean(coherence.c_v(words, far)),
        "diversity": coherence.topic_diversity(topics),
    }


def _shape(
    labels: NDArray[np.int32],
    embeddings: NDArray[np.float32],
    reduced: NDArray[np.float32] | PlacedPoints,
    sample: int,
    seed: int,
) -> dict[str, float | int]:
    rows = quality.sample_rows(len(labels), sample, seed)
    clustered = quality.sample_clusters(labels, sample, seed)
    vectors, points = gathered(embeddings, rows), reduced[rows]
    return {
        "trustworthiness": remembered(  # it does not depend on the labels
            lambda: ("trustworthiness", digest(vectors.tobytes()), digest(points.tobytes())),
            lambda: quality.trustworthiness(vectors, points),
        ),
        "dbcv": quality.dbcv(reduced[clustered], labels[clustered], labels),
    }


def _agreement(labels: NDArray[np.int32], classes: NDArray[np.int64]) -> dict[str, float | int]:
    known = classes >= 0
    clustered = known & (labels >= 0)
    within = quality.agreement(labels[clustered], classes[clustered])
    return {
        "n_labelled": int(known.sum()),
        **quality.agreement(labels[known], classes[known]),
        **{f"{name}_clustered": value for name, value in within.items()},
    }


@dataclass(frozen=True)
class Measured:
    """The artifacts of a topic model that its metrics are computed from; the fields are the recipe's inputs."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    reduced: ArtifactRef
    labels: ArtifactRef
    topics: ArtifactRef


@stage("evaluate")
def evaluate(
    context: Context, measured: Measured, config: EvaluateConfig, counting: CountConfig
) -> ArtifactRef:
    """Return the metrics artifact, measuring on a miss."""
    store, inputs = context.store, vars(measured)
    recipe = recipes.evaluate(config, {name: ref.key for name, ref in inputs.items()}, counting, context.seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        metrics = measure(
            text_parts(store, measured.documents, PART_ROWS),
            read_keywords(store, measured.topics),
            store.array(measured.labels, "labels"),
            store.array(measured.embeddings, "embeddings"),
            reduced_points(store, measured.reduced),
            read_classes(store, measured.documents),
            config,
            counting,
            context.seed,
        )
        labels = measured.labels
        stability = read_stability(store, labels)
        if stability is not None and not np.isnan(stability).all():
            metrics["stability"] = round(float(np.nanmean(stability)), 9)
        metrics["outlier_share_before"] = store.meta(labels)["outlier_share_before"]
        metrics["truncated_share"] = store.meta(measured.embeddings)["truncated_share"]
        metrics["n_empty"] = store.meta(measured.documents)["n_empty"]
        writer.rows = measured.documents.rows
        writer.save_json("metrics", metrics)
    return store.committed(recipe, writer)


def read_keywords(store: ArtifactStore, topics: ArtifactRef) -> list[list[str]]:
    """Return the keywords of each topic in order, best first, without the row of outliers."""
    table = store.table(topics, "topics").filter(pl.col("topic") >= 0).sort("topic").select("keywords")
    keywords: list[list[str]] = table.collect()["keywords"].to_list()
    return keywords


def read_classes(store: ArtifactStore, documents: ArtifactRef) -> NDArray[np.int64] | None:
    """Return the documents' known classes (n_docs,) int64, -1 for null; None without such a column."""
    return known_classes(store.table(documents, "documents"))


def known_classes(table: pl.LazyFrame) -> NDArray[np.int64] | None:
    """Return the known classes (n_docs,) int64 of a documents' table, -1 for null; None without such a column."""
    if "label" not in table.collect_schema():
        return None
    codes = table.select(pl.col("label").rank("dense").cast(pl.Int64).fill_null(0) - 1).collect()["label"]
    classes: NDArray[np.int64] = codes.to_numpy()
    return classes
