"""Recipes of classifiers: labels, vectors and settings -> recipes.

The stage and the plan call the same functions. No numeric library is imported here, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.classify import LabelsConfig, PredictConfig
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {"labelled_texts": 1, "compare_methods": 1, "train": 1, "predict": 1}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


def labelled_texts(config: LabelsConfig, content: str, space: Mapping[str, Any]) -> Recipe:
    """Return the recipe of labelled texts with vectors in a `space`; `content` replaces the source of the labels."""
    fields = {"multilabel": config.separator is not None}
    identity = {name: str(value) for name, value in space.items()}
    return Recipe(
        "labelled_texts", "annotations", VERSIONS["labelled_texts"], fields, {"content": content}, identity
    )


def trial(
    config: TrainClassifierConfig, trained: Mapping[str, Any], annotations: str, body: str | None
) -> Recipe:
    """Return the recipe of one training of a comparison; for SetFit, `body` is the key of its encoder."""
    own = config.compare.model_dump(mode="json", include={"test_share", "max_test"})
    fields = {**_learning(config, body), "compare": own, "trial": dict(trained)}
    return _learned("compare_methods", "trials", fields, annotations, body, config.seed)


def comparison(config: TrainClassifierConfig, annotations: str, body: str | None) -> Recipe:
    """Return the recipe of the comparison."""
    fields = {**_learning(config, body), "compare": fields_of(config.compare)}
    return _learned("compare_methods", "comparisons", fields, annotations, body, config.seed)


def classifier(config: TrainClassifierConfig, method: str, annotations: str, body: str | None) -> Recipe:
    """Return the recipe of the classifier that a method trains on all labelled texts."""
    fields = {**_learning(config, body), "method": method}
    return _learned("train", "classifiers", fields, annotations, body, config.seed)


def predictions(
    config: PredictConfig, embeddings: str, annotations: str, classifier: str, documents: str | None = None
) -> Recipe:
    """Return the recipe of the predictions; the method is in the classifier, `documents` has the features if any."""
    inputs = {"embeddings": embeddings, "annotations": annotations, "classifier": classifier}
    if documents is not None:
        inputs["documents"] = documents
    fields = fields_of(config, leave_out={"method"})
    return Recipe("predict", "predictions", VERSIONS["predict"], fields, inputs, library_versions("numpy"))


def _learning(config: TrainClassifierConfig, body: str | None) -> dict[str, Any]:
    """Return the sections that decide a training; SetFit's only if a body is tuned, features only if there are any."""
    features = {"features": fields_of(config.features)} if config.features.columns else {}
    return {"head": fields_of(config.head), "setfit": fields_of(config.setfit) if body else None, **features}


def _learned(
    stage: str, kind: str, fields: dict[str, Any], annotations: str, body: str | None, seed: int
) -> Recipe:
    libraries = ("numpy", "scikit-learn", *(("torch", "sentence-transformers") if body else ()))
    identity = library_versions(*libraries) | ({"body": body} if body else {})
    return Recipe(stage, kind, VERSIONS[stage], fields, {"annotations": annotations}, identity, seed)
