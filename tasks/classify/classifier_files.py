"""Classifier files: the folder that a config names -> its classifier's folder, and the identity of its numbers.

Does not import a numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

import json
from pathlib import Path

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.run_files import has_file, whole_file
from topicflow.tasks.store.artifact_store import canonical_json, digest, file_digest

DECIDING = ("classifier.json", "coefficients.npy", "intercepts.npy")


def find_classifier(path: str) -> Path:
    """Return the classifier's folder in `path`, which is a run of train_classifier or the classifier's own folder.

    Raises
    ------
    ConfigError
        If there is no classifier, or it reads columns beside the vectors, which a topic model does not have.
    DamagedError
        If the run had one and has lost a file of it.
    """
    for name in DECIDING:
        if has_file(Path(path), f"classifier/{name}"):
            whole_file(Path(path), f"classifier/{name}")
    for folder in (Path(path) / "classifier", Path(path)):
        if all((folder / name).is_file() for name in DECIDING):
            _refuse_features(folder, path)
            return folder
    msg = f"cluster.classifier: {path} contains no classifier; name a run's folder, for example runs/classes/latest"
    raise ConfigError(msg)


def _refuse_features(folder: Path, path: str) -> None:
    """Raise ConfigError if a classifier has features; what cannot be read is the reader's error."""
    try:
        described = json.loads((folder / "classifier.json").read_bytes())
    except ValueError:
        return
    if isinstance(described, dict) and (features := described.get("features")):
        names = ", ".join(each["name"] for each in [*features["numbers"], *features["categories"]])
        msg = (
            f"cluster.classifier: {path} reads the columns {names} beside the vectors, and topics are made of vectors "
            "alone; train it without [features]"
        )
        raise ConfigError(msg)


def classifier_key(path: str) -> str:
    """Return the identity of a classifier's numbers, for any path; its body's numbers are part of its space."""
    folder = find_classifier(path)
    return digest(canonical_json({name: file_digest(folder / name) for name in DECIDING}))
