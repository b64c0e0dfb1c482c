"""Drift: documents since a fit, compared with the fitted ones -> figures, and which exceed their thresholds.

drifts: `drift.json`; `topic_counts.npy` (n_topics + 1,) and `histogram.npy` of distances, both for all documents
since the fit; `new_words.parquet` with the words that no fitted document contains, and their counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.update import DriftConfig
from topicflow.tasks.core.clusters.drifts import (
    distance_histogram,
    ks_statistic,
    population_stability,
    topic_counts,
)
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.topic_state import TopicState

SHOWN_WORDS = 20
"""Number of new words in the record."""

THRESHOLDS = {
    "outlier_rise": "max_outlier_rise",
    "distance_shift": "max_distance_shift",
    "psi_beyond_chance": "max_psi",
    "new_words_share": "max_new_words",
}
"""Figures with a threshold, and the keys of `drift` with the thresholds."""


@dataclass(frozen=True)
class Profile:
    """The properties of documents that drift compares.

    Attributes
    ----------
    topic_counts : ndarray of shape (n_topics + 1,), int64
        Number of documents without a topic, and of each topic.
    histogram : ndarray of shape (N_BINS,), int64
        Distances to the centroid of the document's topic.
    n_tokens, n_new_tokens : int
        Number of word occurrences, and of occurrences of words that no fitted document contains.
    """

    topic_counts: NDArray[np.int64]
    histogram: NDArray[np.int64]
    n_tokens: int = 0
    n_new_tokens: int = 0


def drift_figures(fitted: Profile, since: Profile) -> dict[str, float | int]:
    """Return how much the documents since a fit differ from the fitted ones, by name.

    Parameters
    ----------
    fitted, since : Profile
        The fitted documents, and the documents since.

    Notes
    -----
    With `count.min_df` or `count.max_features` the fit has fewer words than its documents, and `new_words_share`
    counts the words that were left out. O(topics).
    """
    shares = [counts[0] / max(1, counts.sum()) for counts in (fitted.topic_counts, since.topic_counts)]
    psi, beyond_chance = population_stability(fitted.topic_counts, since.topic_counts)
    figures: dict[str, float | int] = {
        "n_documents": int(since.topic_counts.sum()),
        "outlier_share": float(shares[1]),
        "outlier_share_fit": float(shares[0]),
        "outlier_rise": float(shares[1] - shares[0]),
        "distance_shift": ks_statistic(fitted.histogram, since.histogram),
        "psi": psi,
        "psi_beyond_chance": beyond_chance,
        "new_words_share": since.n_new_tokens / max(1, since.n_tokens),
    }
    return {name: value if isinstance(value, int) else round(value, 9) for name, value in figures.items()}


def over_thresholds(figures: Mapping[str, float | int], config: DriftConfig) -> list[str]:
    """Return a line for each figure that exceeds its threshold; none for fewer than `min_documents`."""
    if figures["n_documents"] < config.min_documents:
        return []
    bounds = {name: float(getattr(config, key)) for name, key in THRESHOLDS.items()}
    return [
        f"{name} {figures[name]:.3f} is over drift.{THRESHOLDS[name]} = {bound:g}"
        for name, bound in bounds.items()
        if figures[name] > bound
    ]


@stage("drift")
def drift(
    context: Context, state: TopicState, labels: ArtifactRef, counts: ArtifactRef, config: DriftConfig
) -> ArtifactRef:
    """Return the drift of all documents since the fit, computed on a miss from the last drift and the new documents."""
    store = context.store
    n_updates = state.n_since_fit + 1
    inputs = {
        "cells": state.fit.cells,
        "fitted": state.fit.counts,
        "labels": labels.key,
        "counts": counts.key,
    }
    recipe = recipes.drift(config, {**inputs, "before": state.drift or ""}, n_updates)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        cells = ArtifactRef("cells", state.fit.cells, "assign")
        fitted = Profile(store.array(cells, "topic_counts"), store.array(cells, "histogram"))
        since, words = _since_fit(store, state, labels, counts, len(fitted.topic_counts) - 1)
        figures = drift_figures(fitted, since)
        over = over_thresholds(figures, config)
        due = config.refit_after is not None and n_updates >= config.refit_after
        told = {
            "figures": figures,
            "over": over,
            "refit": bool(due or (over and config.on_drift == "refit")),
            "due": due,
            "n_updates": n_updates,
            "new_words": words.head(SHOWN_WORDS).rows(),
        }
        writer.save_json("drift", {**told, "n_tokens": since.n_tokens, "n_new_tokens": since.n_new_tokens})
        writer.save_array("topic_counts", since.topic_counts)
        writer.save_array("histogram", since.histogram)
        writer.save_table("new_words", words)
        writer.rows = labels.rows
        writer.meta = told
    for line in over:
        LOG.warning("drift: %s%s", line, "" if told["refit"] else "; topics stay (drift.on_drift)")
    return store.committed(recipe, writer)


def _since_fit(
    store: ArtifactStore, state: TopicState, labels: ArtifactRef, counts: ArtifactRef, n_topics: int
) -> tuple[Profile, pl.DataFrame]:
    """Return the profile of all documents since the fit and their new words, most frequent first."""
    of_topics = topic_counts(np.asarray(store.array(labels, "labels")), n_topics)
    histogram = distance_histogram(np.asarray(store.array(labels, "distances")))
    fresh = _word_counts(store, counts)
    known = store.table(ArtifactRef("counts", state.fit.counts, "count"), "words")
    words = fresh.join(known.collect(), on="word", how="anti")
    n_tokens, n_new = int(fresh["count"].sum()), int(words["count"].sum())
    if state.drift is not None:
        before = ArtifactRef("drifts", state.drift, "drift")
        told = store.json(before, "drift")
        of_topics = of_topics + store.array(before, "topic_counts")
        histogram = histogram + store.array(before, "histogram")
        n_tokens, n_new = n_tokens + told["n_tokens"], n_new + told["n_new_tokens"]
        words = pl.concat([store.table(before, "new_words").collect(), words])
    words = words.group_by("word").agg(pl.col("count").sum()).sort("count", "word", descending=[True, False])
    return Profile(of_topics, histogram, n_tokens, n_new), words


def _word_counts(store: ArtifactStore, counts: ArtifactRef) -> pl.DataFrame:
    """Return the words of a batch and the count of each (Int64)."""
    words = store.table(counts, "words").collect()
    totals = np.zeros(words.height, np.int64)
    np.add.at(totals, store.array(counts, "indices"), store.array(counts, "data"))
    return words.select("word").with_columns(pl.Series("count", totals))
