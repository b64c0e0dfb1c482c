"""Predict: a classifier and embeddings in its space -> class and probability of each document, what to label next.

classes.npy (n_docs, n_classes) bool, empty rows are unsure; best.npy, second.npy (n_docs,) int32; probability.npy,
margin.npy (n_docs,) float32; probabilities.npy (n_docs, n_classes) float32; suggested.npy rows to label next.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.classify import PredictConfig
from topicflow.tasks.classify import recipes
from topicflow.tasks.classify.classifiers import load_classifier
from topicflow.tasks.classify.features import identified, read_features
from topicflow.tasks.core.learning.heads import CHUNK_ROWS, FloatArray
from topicflow.tasks.core.learning.suggest import margins, suggest_rows
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.encoding.spaces import check_space, space_of
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.digests import Digests


def sure_classes(probabilities: FloatArray, threshold: float, *, multilabel: bool) -> NDArray[np.bool_]:
    """Return the classes (n, n_classes) of each document; a row without a class is unsure.

    With multilabel, each class with at least `threshold`; otherwise the most likely one if it reaches `threshold`.
    """
    reached = probabilities >= threshold
    if multilabel:
        return reached
    first = np.zeros(probabilities.shape, bool)
    first[np.arange(len(first)), probabilities.argmax(axis=1)] = True
    return first & reached


@stage("predict")
def predict(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    annotations: ArtifactRef,
    trained: ArtifactRef,
    config: PredictConfig,
) -> ArtifactRef:
    """Return the predictions' artifact, computing it on a miss.

    Raises
    ------
    ConfigError
        If the embeddings are in another space than the classifier's.
    DataError
        If the documents lack a column of the classifier's features, or it has a value that does not fit.
    """
    store = context.store
    with_features = "features" in store.meta(annotations)
    recipe = recipes.predictions(
        config, embeddings.key, annotations.key, trained.key, documents.key if with_features else None
    )
    if found := store.find(recipe):
        return found
    classifier = load_classifier(store.whole(trained))
    check_space(classifier.space, space_of(store, embeddings), "predict: the classifier")
    vectors, multilabel = store.array(embeddings, "embeddings"), classifier.head.multilabel
    features = classifier.features
    table = None if features is None else read_features(store, documents, features.config)
    n_docs, n_classes = len(vectors), len(classifier.names)
    with store.writing(recipe) as writer:
        everything = writer.open_array("probabilities", (n_docs, n_classes), "float32")
        classes = writer.open_array("classes", (n_docs, n_classes), "bool")
        best, second = np.zeros(n_docs, np.int32), np.zeros(n_docs, np.int32)
        probability, sure = np.zeros(n_docs, np.float32), np.zeros(n_docs, np.float32)
        for start in range(0, n_docs, CHUNK_ROWS):
            rows = slice(start, min(start + CHUNK_ROWS, n_docs))
            found_here = classifier.probabilities(
                np.asarray(vectors[rows]), None if table is None else table[rows]
            )
            everything[rows] = found_here
            classes[rows] = sure_classes(found_here, config.threshold, multilabel=multilabel)
            order = np.argsort(-found_here, axis=1, kind="stable")
            best[rows], second[rows] = order[:, 0], order[:, 1]
            probability[rows] = found_here.max(axis=1)
            sure[rows] = margins(found_here, multilabel=multilabel)
        for name, array in (
            ("best", best),
            ("second", second),
            ("probability", probability),
            ("margin", sure),
        ):
            writer.save_array(name, array)
        own = np.concatenate([text_digests(part) for part in _identities(store, documents, table)])
        known = np.asarray(store.array(annotations, "digests"))
        suggested, n_labelled = _suggest(own, known, vectors, sure, config.n_suggestions)
        writer.save_array("suggested", suggested)
        writer.rows = n_docs
        writer.meta = {
            "unsure_share": float((~classes.any(axis=1)).mean()),
            "n_labelled": n_labelled,
            "sizes": dict(zip(classifier.names, classes.sum(axis=0).tolist(), strict=True)),
        }
        if features is not None and table is not None:
            writer.meta["unseen"] = features.unseen(table)
    return store.committed(recipe, writer)


def _identities(
    store: ArtifactStore, documents: ArtifactRef, table: pl.DataFrame | None
) -> Iterator[pl.Series]:
    """Yield what is equal for documents that are one example, in parts."""
    start = 0
    for part in text_parts(store, documents):
        yield identified(part, None if table is None else table[start : start + len(part)])
        start += len(part)


def _suggest(
    digests: Digests, known: Digests, vectors: FloatArray, sure: FloatArray, n: int
) -> tuple[NDArray[np.int64], int]:
    """Return the rows to label next, each with a distinct unlabelled text, and the number of labelled documents.

    Parameters
    ----------
    digests, known : ndarray of shape (n_docs, 2) and (n_labelled, 2), uint64
        Of all documents and of the labelled examples.
    vectors : ndarray of shape (n_docs, dim), float32
    sure : ndarray of shape (n_docs,), float32
        Margins.
    n : int
        Maximum number of suggestions.
    """
    wide = np.dtype((np.void, digests.itemsize * 2))
    own = np.ascontiguousarray(digests).view(wide).ravel()
    labelled = np.isin(own, np.ascontiguousarray(known).view(wide).ravel())
    _, first = np.unique(own, return_index=True)
    candidates = np.sort(first[~labelled[first]])
    anchors = np.asarray(vectors[first[labelled[first]]])
    return suggest_rows(sure, vectors, candidates, anchors, n), int(labelled.sum())
