"""Classifiers: a trained classifier -> a folder without pickle, and back, with the same probabilities.

classifier.json                     method, names of the classes, multilabel, the space of its input, the features
                                    beside its vectors if there are any, how it was made
coefficients.npy, intercepts.npy    the head, float64
body/                               for SetFit, the tuned encoder: safetensors, tokenizer and JSON
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.classify.classifier_files import DECIDING
from topicflow.tasks.classify.features import Features, beside
from topicflow.tasks.core.learning.heads import FloatArray, Head
from topicflow.tasks.encoding.spaces import Space
from topicflow.tasks.errors import ArtifactError, ConfigError, first_line
from topicflow.tasks.runs.run_files import whole_file

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FORMAT, WITHOUT_FEATURES = 2, 1
"""Format with features, and the format of a classifier without, which earlier versions read."""


@dataclass(frozen=True)
class Classifier:
    """A trained classifier.

    Attributes
    ----------
    method : str
        `probe` or `setfit`.
    names : list of str
        The classes, in the order of the rows of the head.
    head : Head
    space : dict
        The space of the vectors.
    features : Features or None
        The columns that the head reads beside the vectors.
    """

    method: str
    names: list[str]
    head: Head
    space: Space
    features: Features | None = None

    def probabilities(self, vectors: FloatArray, table: pl.DataFrame | None = None) -> FloatArray:
        """Return the probability of each class (n, n_classes) float32.

        Parameters
        ----------
        vectors : ndarray of shape (n, dim), float32
            Unit vectors of its space.
        table : pl.DataFrame, optional
            The columns of its features, as `feature_table` returns them; needed if it has features.

        Raises
        ------
        ConfigError
            If it has features and there is no table.
        """
        return self.head.probabilities(beside(vectors, self.features, table))

    def save(self, folder: Path, made: dict[str, Any]) -> None:
        """Write the classifier, without its body, into a folder; `made` says how it was made."""
        folder.mkdir(parents=True, exist_ok=True)
        described = {
            "format": WITHOUT_FEATURES if self.features is None else FORMAT,
            "method": self.method,
            "names": self.names,
            "multilabel": self.head.multilabel,
            "space": self.space,
            **({} if self.features is None else {"features": self.features.described()}),
            "made": made,
        }
        text = json.dumps(described, indent=2, ensure_ascii=False)
        (folder / "classifier.json").write_text(text, encoding="utf-8")
        np.save(folder / "coefficients.npy", self.head.coefficients, allow_pickle=False)
        np.save(folder / "intercepts.npy", self.head.intercepts, allow_pickle=False)


def load_classifier(folder: Path) -> Classifier:
    """Return the classifier in a folder; raise ArtifactError if it cannot be read or has a newer version."""
    try:
        for name in DECIDING:
            whole_file(folder.parent, f"{folder.name}/{name}")
        described = json.loads((folder / "classifier.json").read_bytes())
        if described["format"] > FORMAT:
            msg = (
                f"{folder}: the classifier has format {described['format']}, this version reads up to {FORMAT}; "
                "upgrade topicflow"
            )
            raise ArtifactError(msg)
        coefficients = np.load(folder / "coefficients.npy", allow_pickle=False)
        intercepts = np.load(folder / "intercepts.npy", allow_pickle=False)
        head = Head(coefficients, intercepts, bool(described["multilabel"]))
        features = Features.read(described["features"]) if "features" in described else None
        return Classifier(described["method"], described["names"], head, described["space"], features)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder}: the classifier cannot be read ({first_line(error)}); name a run of train_classifier"
        raise ArtifactError(msg) from None


def body_config(embed: SentenceTransformersEmbed, body: Path) -> SentenceTransformersEmbed:
    """Return how texts are embedded with a tuned body: as before, but never with 8-bit integers."""
    precision = "auto" if embed.precision == "int8" else embed.precision
    return embed.model_copy(
        update={"model": str(body), "revision": None, "precision": precision, "adapter": None}
    )


def export_setfit(folder: Path, embed: Any, target: Path) -> None:  # noqa: ANN401  (any kind of section embed)
    """Write a classifier in a form that `SetFitModel.from_pretrained` reads; SetFit pickles the head.

    Parameters
    ----------
    folder : Path
        A classifier's folder.
    embed : SentenceTransformersEmbed, StaticEmbed or PrecomputedEmbed
        How the vectors were made; the body of a probe is the encoder itself.
    target : Path
        A folder that does not exist or is empty.

    Raises
    ------
    ConfigError
        If SetFit is not installed, the folder is not empty, or SetFit cannot represent the classifier.
    """
    classifier = load_classifier(folder)
    if not isinstance(embed, SentenceTransformersEmbed) or "adapter" in classifier.space:
        msg = "--export-setfit: SetFit has an encoder and a head; this classifier reads other vectors"
        raise ConfigError(msg)
    if classifier.features is not None:
        listed = ", ".join(classifier.features.config.columns)
        msg = f"--export-setfit: SetFit reads texts alone, this classifier also {listed}; train it without [features]"
        raise ConfigError(msg)
    if target.exists() and any(target.iterdir()):
        msg = f"--export-setfit: {target} is not empty; name a new folder"
        raise ConfigError(msg)
    try:
        from setfit import SetFitModel
    except ImportError:
        msg = "--export-setfit: SetFit is not installed; pip install 'topicflow[setfit]'"
        raise ConfigError(msg) from None
    from topicflow.tasks.encoding.encoder_files import find_encoder
    from topicflow.tasks.encoding.encoders import load_body

    own = body_config(embed, folder / "body") if classifier.method == "setfit" else embed
    body = _unit_body(load_body(find_encoder(own, "cpu"), own), own)
    SetFitModel(
        model_body=body, model_head=_sklearn_head(classifier), labels=classifier.names,
        multi_target_strategy="one-vs-rest" if classifier.head.multilabel else None,
    ).save_pretrained(str(target))  # fmt: skip


def _unit_body(body: SentenceTransformer, embed: SentenceTransformersEmbed) -> SentenceTransformer:
    """Return the encoder with the steps that topicflow adds: its prompt, and vectors of unit length."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize

    from topicflow.tasks.encoding.encoders import document_prompt

    prompt = document_prompt(body, embed)
    if not any(isinstance(module, Normalize) for module in body):
        body = SentenceTransformer(modules=[*body, Normalize()], device="cpu")
    if prompt:
        body.prompts, body.default_prompt_name = {"document": prompt}, "document"
    return body


def _sklearn_head(classifier: Classifier) -> Any:  # noqa: ANN401
    """Return the head as a fitted model of scikit-learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    def one(coefficients: Any, intercepts: Any, classes: Any) -> Any:  # noqa: ANN401
        model = LogisticRegression()
        model.coef_, model.intercept_ = np.atleast_2d(coefficients), np.atleast_1d(intercepts)
        model.classes_, model.n_features_in_ = np.asarray(classes), model.coef_.shape[1]
        model.n_iter_ = np.array([0], np.int32)
        return model

    head, n = classifier.head, len(classifier.names)
    if head.multilabel:
        many = OneVsRestClassifier(LogisticRegression())
        many.estimators_ = [
            one(w, b, [0, 1]) for w, b in zip(head.coefficients, head.intercepts, strict=True)
        ]
        many.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(np.eye(n, dtype=int))
        many.n_features_in_ = head.coefficients.shape[1]
        return many
    if n == 2:
        return one(np.diff(head.coefficients, axis=0), np.diff(head.intercepts), [0, 1])
    return one(head.coefficients, head.intercepts, np.arange(n))
