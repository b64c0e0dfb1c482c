"""Draw: a corpus, a setting and a draw's number -> the figures of the setting on 90 % of the documents.

Neighbours, reduction and clusters are fitted again on the drawn documents, with another seed for each draw. Topics keep
the same smallest share of the documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.cluster import ClassesCluster
from topicflow.tasks.core.clusters import quality
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.requirements.sizes import check_size
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.sweeps import recipes
from topicflow.tasks.sweeps.fit import Corpus, fit_clusters
from topicflow.tasks.topics.cluster import scaled_down
from topicflow.tasks.topics.count import read_counts
from topicflow.tasks.topics.evaluate import PART_ROWS, measure, read_classes
from topicflow.tasks.topics.fitted_sample import reduced_points
from topicflow.tasks.topics.label import weigh_words

SHARE = 0.9
"""Share of the documents in a draw."""

Figures = dict[str, Any]


def drawn_rows(n_docs: int, draw: int) -> NDArray[np.int64]:
    """Return the rows of a draw, ascending; at least two if the corpus has them."""
    kept = np.random.default_rng(draw).random(n_docs) < SHARE
    kept[:2] |= kept.sum() < 2
    return np.flatnonzero(kept)


def drawn_embeddings(context: Context, embeddings: ArtifactRef, draw: int) -> ArtifactRef:
    """Return the embeddings of a draw as an artifact; whoever asked for it deletes it."""
    store, recipe = context.store, recipes.draw(embeddings.key, draw)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        rows = drawn_rows(embeddings.rows, draw)
        writer.save_array("embeddings", np.ascontiguousarray(store.array(embeddings, "embeddings")[rows]))
        writer.rows = len(rows)
    return store.committed(recipe, writer)


def fit_draw(context: Context, corpus: Corpus, config: TopicModelConfig, draw: int) -> ArtifactRef:
    """Return the figures of a setting on a draw, computing them on a miss.

    Raises
    ------
    PipelineError
        If the setting does not fit the draw.
    """
    store, context = context.store, replace(context, seed=context.seed + draw)
    recipe = recipes.drawn(config, corpus.keys, context.seed, draw)
    if found := store.find(recipe, claim=False):
        return found
    embeddings, cluster = drawn_embeddings(context, corpus.embeddings, draw), config.cluster
    if not isinstance(cluster, ClassesCluster):
        cluster = scaled_down(cluster, SHARE)
    check_size(cluster, embeddings.rows)
    made = fit_clusters(context, embeddings, config.model_copy(update={"cluster": cluster}))
    with store.writing(recipe) as writer:
        figures = figures_of(store, corpus, config, draw, made)
        writer.save_json("figures", figures)
        writer.save_array("labels", np.asarray(store.array(made[2], "labels")))
        writer.rows = embeddings.rows
        writer.meta = {"made": [[ref.kind, ref.key] for ref in (embeddings, *made)]}
    return store.committed(recipe, writer)


def figures_of(
    store: ArtifactStore,
    corpus: Corpus,
    config: TopicModelConfig,
    draw: int,
    made: tuple[ArtifactRef, ArtifactRef, ArtifactRef],
) -> Figures:
    """Return the figures that are judged, from a draw's graph, reduced vectors and labels.

    Keywords are those by c-TF-IDF, also for settings whose keywords are chosen by embeddings.
    """
    rows = drawn_rows(corpus.embeddings.rows, draw)
    labels, points = np.asarray(store.array(made[2], "labels")), reduced_points(store, made[1])
    counts, words = read_counts(store, corpus.counts)
    drawn = counts[rows]
    there = np.unique(drawn.indices)  # some words are only in documents that were not drawn
    topic_words = weigh_words(drawn[:, there], [words[column] for column in there], labels, config.label)
    keywords = [[word for word, _ in topic] for topic in topic_words.candidates(config.label.top_n_words)]
    classes = read_classes(store, corpus.documents)
    texts = drawn_texts(store, corpus.documents, rows)
    known = None if classes is None else classes[rows]
    figures: Figures = dict(
        measure(texts, keywords, labels, None, None, known, config.evaluate, config.count, draw)
    )
    sample = quality.sample_clusters(labels, config.evaluate.sample, draw)
    dbcv = quality.dbcv(points[sample], labels[sample], labels)
    return {**figures, "dbcv": None if np.isnan(dbcv) else round(dbcv, 9)}


def drawn_texts(store: ArtifactStore, documents: ArtifactRef, rows: NDArray[np.int64]) -> Iterator[pl.Series]:
    """Yield the texts of ascending rows, part by part."""
    start = 0
    for texts in text_parts(store, documents, PART_ROWS):
        low, high = np.searchsorted(rows, [start, start + len(texts)])
        yield texts.gather(rows[low:high] - start)
        start += len(texts)
