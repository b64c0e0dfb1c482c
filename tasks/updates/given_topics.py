"""Given topics of a series: a fit with given topics and new embeddings -> which new documents belong to these.

A new document that is near enough to a given topic, by the threshold of the fit, belongs to it. The others follow the
clusters of the nearest fitted documents as if there were no given topics, as the documents of the fit did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.assign import best_topics
from topicflow.tasks.core.clusters.clustering import Clustering, LabelArray
from topicflow.tasks.core.clusters.given import place
from topicflow.tasks.given.fitted_topics import read_fitted
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates.topic_state import Fit

MIN_PART = 0.05
"""Minimum share of a topic's documents that an edited topic has, to count as a part of the topic."""


def given_numbers(store: ArtifactStore, labels: ArtifactRef) -> dict[str, int]:
    """Return the number of each given topic in labels, by name; one that edits took away is left out."""
    meta = store.meta(labels)
    rows = meta.get("given", [])
    numbers = meta.get("given_now", range(len(rows)))
    return {row["name"]: number for row, number in zip(rows, numbers, strict=True) if number is not None}


def same_given(store: ArtifactStore, before: ArtifactRef, now: ArtifactRef) -> dict[int, int]:
    """Return the earlier number of each given topic (by its number now) that has the same name in both labels."""
    old = given_numbers(store, before)
    return {number: old[name] for name, number in given_numbers(store, now).items() if name in old}


def names_of_given(store: ArtifactStore, fit: Fit, ids: Sequence[int]) -> dict[int, str]:
    """Return the names of a fit's given topics, by lasting id; a topic that a person split has none."""
    labels = ArtifactRef("labels", fit.labels, "cluster")
    names = store.meta(labels).get("names") or []
    return {
        ids[number]: names[number]
        for number in given_numbers(store, labels).values()
        if names[number] is not None
    }


@dataclass(frozen=True)
class Unedited:
    """The fitted documents before edits: n_docs rows.

    Attributes
    ----------
    topics, edited : ndarray of shape (n_docs,), int32
        Topic of each document before and after edits.
    """

    topics: LabelArray
    edited: LabelArray

    def parts(self, topic: int) -> NDArray[np.int64]:
        """Return the edited topics of a topic's documents, most documents first; -1 if most have none."""
        own = self.edited[self.topics == topic]
        if not len(own) or (own < 0).mean() > 0.5:
            return np.array([-1])
        numbers, counts = np.unique(own[own >= 0], return_counts=True)
        least = MIN_PART * len(own)
        if counts.max() < least:  # a split into many parts
            least = MIN_PART * counts.max()
        kept = counts >= least
        order = np.lexsort((numbers[kept], -counts[kept]))
        return np.asarray(numbers[kept][order], np.int64)


def votes_of_clusters(store: ArtifactStore, fit: Fit, voters: Clustering) -> Clustering:
    """Return the clustering of all fitted documents with those of given topics in their clusters instead.

    `voters` (n_docs,) has the labels of the fit. A document whose cluster is no topic any more has none.
    """
    before = np.asarray(store.array(fit.without_edits()[0], "labels"))
    clusters = ArtifactRef("labels", fit.clusters, "cluster")
    own = np.asarray(store.array(clusters, "labels"))
    n_given = len(store.meta(fit.without_edits()[0])["given"])
    is_given, found = (before >= 0) & (before < n_given), np.full(int(own.max(initial=-1)) + 2, -1, np.int32)
    rest = np.flatnonzero((before >= n_given) & (own >= 0))
    found[own[rest]] = before[rest]  # the topic that each cluster became
    numbers = found[own]
    unedited = Unedited(before, voters.labels)
    last = int(found.max(initial=-1))
    main = np.array([*(unedited.parts(topic)[0] for topic in range(last + 1)), -1], np.int32)
    labels = np.where(is_given, main[numbers], voters.labels).astype(np.int32)
    probabilities = np.asarray(store.array(clusters, "probabilities"))
    scores = np.asarray(store.array(clusters, "outlier_scores"))
    return replace(
        voters,
        labels=labels,
        probabilities=np.where(is_given, probabilities, voters.probabilities),
        outlier_scores=np.where(is_given, scores, voters.outlier_scores),
    )


def with_given_topics(
    store: ArtifactStore, fit: Fit, embeddings: ArtifactRef, voted: Clustering
) -> Clustering:
    """Return the clustering of new documents (m,) after those near enough to a given topic went to it.

    The probability of these is how near they are. An edit of a given topic holds for them too: of the parts of a
    split topic each goes to the one with the nearest centroid.
    """
    given, vectors = fit.without_edits()[0], store.array(embeddings, "embeddings")
    placed = place(vectors, read_fitted(store, given))
    labels = voted.labels.copy()
    edited = ArtifactRef("labels", fit.labels, "cluster")
    numbers = given_numbers(store, edited)
    names = [row["name"] for row in store.meta(given)["given"]]
    unedited = Unedited(*(np.asarray(store.array(ref, "labels")) for ref in (given, edited)))
    centroids = np.asarray(store.array(ArtifactRef("topics", fit.topics, "label"), "centroids"))
    for topic in np.unique(placed.topics[placed.topics >= 0]).tolist():
        rows = np.flatnonzero(placed.topics == topic)
        is_empty = not (unedited.topics == topic).any()
        parts = np.array([numbers.get(names[topic], -1)]) if is_empty else unedited.parts(topic)
        if len(parts) == 1:
            labels[rows] = parts[0]
        else:
            nearest, _ = best_topics(np.asarray(vectors[rows]), centroids[parts])
            labels[rows] = parts[nearest]
    near = placed.topics >= 0
    return Clustering(
        labels,
        np.where(near, np.where(labels >= 0, placed.nearness, 0.0), voted.probabilities).astype(np.float32),
        np.where(near, 1.0 - placed.nearness, voted.outlier_scores).astype(np.float32),
    )
