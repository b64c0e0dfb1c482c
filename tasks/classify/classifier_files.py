"""Classifier files: the folder that a config names -> where its classifier lies, and what identifies its numbers.

Imports no numeric library, so that a plan answers at once.
"""

from __future__ import annotations

from pathlib import Path

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifact_store import canonical_json, digest, file_digest

DECIDING = ("classifier.json", "coefficients.npy", "intercepts.npy")


def find_classifier(path: str) -> Path:
    """Return the folder of the classifier in `path`, a run of train_classifier or the classifier's own folder."""
    for folder in (Path(path) / "classifier", Path(path)):
        if all((folder / name).is_file() for name in DECIDING):
            return folder
    msg = f"cluster.classifier: {path} holds no classifier; name a run's folder, as runs/classes/latest"
    raise ConfigError(msg)


def classifier_key(path: str) -> str:
    """Return what identifies a classifier's numbers, wherever it lies; its body's are in the space that it names."""
    folder = find_classifier(path)
    return digest(canonical_json({name: file_digest(folder / name) for name in DECIDING}))
