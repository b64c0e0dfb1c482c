"""Fitted topics: where the given topics of a fit are -> arrays of its labels' artifact, and back."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from topicflow.tasks.core.clusters.given import Given
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter


def save_fitted(writer: ArtifactWriter, fitted: Given) -> None:
    """Save the vectors and thresholds of given topics beside the labels."""
    for field in fields(Given):
        writer.save_array(_name(field.name), getattr(fitted, field.name))


def has_fitted(store: ArtifactStore, labels: ArtifactRef) -> bool:
    """Return whether labels have given topics with which other documents can be compared."""
    return f"{_name('vectors')}.npy" in store.manifest(labels.kind, labels.key)["files"]


def read_fitted(store: ArtifactStore, labels: ArtifactRef) -> Given:
    """Return where the given topics of labels are."""
    found = {field.name: np.asarray(store.array(labels, _name(field.name))) for field in fields(Given)}
    return Given(**found)


def _name(field: str) -> str:
    return f"given_{field}"
