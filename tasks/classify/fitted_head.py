"""Fitted head: labelled examples -> a head on their vectors, with the features beside them or without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.tasks.classify.features import Features, beside
from topicflow.tasks.core.learning.heads import Classes, FloatArray, Head, fit_head
from topicflow.tasks.core.learning.splits import Rows
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


@dataclass(frozen=True)
class Examples:
    """Distinct labelled texts with their vectors (n, dim), classes (n, n_classes), and columns of features if any."""

    texts: list[str]
    vectors: FloatArray
    classes: Classes
    multilabel: bool
    features: pl.DataFrame | None = None

    def columns(self, rows: Rows) -> pl.DataFrame | None:
        """Return the features of some rows, None if there are none."""
        return None if self.features is None else self.features[rows]


def read_examples(store: ArtifactStore, annotations: ArtifactRef) -> Examples:
    """Return the labelled texts of an annotations artifact."""
    meta = store.meta(annotations)
    return Examples(
        store.table(annotations, "texts").collect()["text"].to_list(),
        np.asarray(store.array(annotations, "vectors")),
        np.asarray(store.array(annotations, "classes")),
        bool(meta["multilabel"]),
        store.table(annotations, "features").collect() if "features" in meta else None,
    )


@dataclass(frozen=True)
class FittedHead:
    """A head, and the features that it reads beside the vectors, if any."""

    head: Head
    features: Features | None

    @classmethod
    def fit(
        cls, examples: Examples, rows: Rows, vectors: FloatArray, config: TrainClassifierConfig
    ) -> FittedHead:
        """Return a head for some rows and their vectors (n_rows, dim); these rows alone decide the features' scales."""
        table = examples.columns(rows)
        features = None if table is None else Features.fit(table, config.features)
        head = fit_head(
            beside(vectors, features, table), examples.classes[rows], config.head.C, balance=config.head.balance,
            multilabel=examples.multilabel,
        )  # fmt: skip
        return cls(head, features)

    def probabilities(self, examples: Examples, rows: Rows, vectors: FloatArray) -> FloatArray:
        """Return the probability of each class (n_rows, n_classes) for some rows and their vectors."""
        return self.head.probabilities(beside(vectors, self.features, examples.columns(rows)))
