"""Classes: embeddings and a trained classifier -> labels (n_docs,) int32, -1 for unsure documents, as a clustering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.cluster import ClassesCluster
from topicflow.tasks.classify.classifier_files import find_classifier
from topicflow.tasks.classify.classifiers import load_classifier
from topicflow.tasks.core.clusters.clustering import LabelArray, number_by_size
from topicflow.tasks.core.learning.heads import CHUNK_ROWS
from topicflow.tasks.encoding.spaces import check_space, space_of
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter


def write_classes(
    store: ArtifactStore, writer: ArtifactWriter, embeddings: ArtifactRef, config: ClassesCluster
) -> None:
    """Write the labels' arrays, and the classes' names, in the order of the topics, into the manifest.

    Raises
    ------
    ConfigError
        If the embeddings are in another space than the classifier's, or it gives a document several classes.
    """
    folder = find_classifier(config.classifier)
    classifier = load_classifier(folder)
    where = f"cluster.classifier {config.classifier}"
    if classifier.head.multilabel:
        msg = f"{where}: it gives a document several classes, expected one; train it without labels.separator"
        raise ConfigError(msg)
    check_space(classifier.space, space_of(store, embeddings), where)
    vectors = store.array(embeddings, "embeddings")
    best, sure = np.zeros(len(vectors), np.int32), np.zeros(len(vectors), np.float32)
    for start in range(0, len(vectors), CHUNK_ROWS):
        probabilities = classifier.probabilities(np.asarray(vectors[start : start + CHUNK_ROWS]))
        rows = slice(start, start + len(probabilities))
        best[rows], sure[rows] = probabilities.argmax(axis=1), probabilities.max(axis=1)
    labels, order = number_classes(np.where(sure >= config.threshold, best, -1))
    writer.save_array("labels", labels)
    writer.save_array("probabilities", np.where(labels >= 0, sure, 0.0).astype(np.float32))
    writer.save_array("outlier_scores", 1.0 - sure)
    writer.save_array("reassigned", np.zeros(len(labels), bool))
    writer.rows = len(labels)
    outlier_share = float((labels < 0).mean())
    writer.meta = {
        "n_topics": len(order),
        "names": [classifier.names[i] for i in order],
        "outlier_share": outlier_share,
        "outlier_share_before": outlier_share,
    }


def number_classes(classes: NDArray[np.integer]) -> tuple[LabelArray, list[int]]:
    """Return labels numbered from 0 by decreasing size (-1 stays -1), and the class of each number."""
    labels = number_by_size(classes)
    _, first = np.unique(labels, return_index=True)
    return labels, [int(classes[row]) for row in first if labels[row] >= 0]
