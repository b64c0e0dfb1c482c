"""Assign: new embeddings (n, dim) and a fit -> labels (n,) int32 in the fit's numbers, places (n, 2), distances (n,).

The rule is the one that a fit uses for documents outside its sample (`tasks.topics.fitted_sample`): the vote of the
nearest fitted documents. Documents near enough to a given topic belong to it instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.assign import neighbor_weights
from topicflow.tasks.core.clusters.clustering import Clustering
from topicflow.tasks.core.clusters.drifts import distance_histogram, own_distances, topic_counts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.parts import discard_all
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.fitted_sample import FittedSample, sample_of
from topicflow.tasks.topics.nearest_fitted import Fitted, fitted_vectors, look_up, read_lookups, save_cells
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.given_topics import votes_of_clusters, with_given_topics
from topicflow.tasks.updates.topic_state import Fit


@stage("cells")
def cells(
    context: Context,
    embeddings: ArtifactRef,
    neighbors: ArtifactRef,
    labels: ArtifactRef,
    topics: ArtifactRef,
) -> ArtifactRef:
    """Return the fitted vectors' cells with the sizes and distances of the fit's topics, computed on a miss."""
    store = context.store
    inputs = {"embeddings": embeddings, "neighbors": neighbors, "labels": labels, "topics": topics}
    recipe = recipes.cells({name: ref.key for name, ref in inputs.items()}, context.seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        sample = sample_of(store, neighbors)
        fitted = fitted_vectors(store, embeddings, sample)
        save_cells(writer, fitted, store.array(neighbors, "indices"), context.seed, context.runtime.n_threads)
        own, centroids = np.asarray(store.array(labels, "labels")), store.array(topics, "centroids")
        distances = own_distances(store.array(embeddings, "embeddings"), own, centroids)
        writer.save_array("topic_counts", topic_counts(own, len(centroids)))
        writer.save_array("histogram", distance_histogram(distances))
        writer.rows = len(fitted)
        writer.meta = {"n_fitted": len(fitted), "sampled": sample is not None}
    return store.committed(recipe, writer)


@stage("assign")
def assign(context: Context, embeddings: ArtifactRef, fit: Fit) -> ArtifactRef:
    """Return the labels of new documents in a fit, with their places and distances, computed on a miss."""
    store = context.store
    inputs = {"embeddings": embeddings.key, "cells": fit.cells, "layout": fit.layout}
    inputs |= {"given": fit.without_edits()[0].key, "clusters": fit.clusters} if fit.clusters else {}
    recipe = recipes.assign(inputs)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        sample = sample_of(store, _ref("neighbors", fit.neighbors))
        vectors, index = _ref("embeddings", fit.embeddings), _ref("cells", fit.cells)
        fitted = Fitted(vectors, sample, index, "assign", recipes.VERSIONS["assign"])
        parts = look_up(store, embeddings, fitted, context.runtime)
        clustering, layout = fitted_results(store, fit, sample)
        told = [voted(*found, clustering, layout) for found in read_lookups(store, parts)]
        *votes, places = (np.concatenate(each) for each in zip(*told, strict=True))
        assigned = Clustering(*votes)
        if fit.clusters:
            assigned = with_given_topics(store, fit, embeddings, assigned)
        labels = assigned.labels
        writer.save_array("labels", labels)
        writer.save_array("probabilities", assigned.probabilities)
        writer.save_array("outlier_scores", assigned.outlier_scores)
        writer.save_array("reassigned", np.zeros(len(labels), bool))
        writer.save_array("reduced", places)
        centroids = store.array(_ref("topics", fit.topics), "centroids")
        writer.save_array(
            "distances", own_distances(store.array(embeddings, "embeddings"), labels, centroids)
        )
        writer.rows = len(labels)
        writer.meta = {"outlier_share": float((labels < 0).mean())}
    discard_all(store, parts)
    return store.committed(recipe, writer)


def fitted_results(
    store: ArtifactStore, fit: Fit, sample: ArtifactRef | None
) -> tuple[Clustering, NDArray[np.float32]]:
    """Return the clustering (n_fitted,) and the places (n_fitted, 2) of the fitted documents."""
    rows = slice(None) if sample is None else store.array(sample, "rows")
    names = ("labels", "probabilities", "outlier_scores")
    whole = Clustering(*(np.asarray(store.array(_ref("labels", fit.labels), name)) for name in names))
    if fit.clusters:
        whole = votes_of_clusters(store, fit, whole)
    fitted = Clustering(*(getattr(whole, name)[rows] for name in names))
    return fitted, np.asarray(store.array(_ref("reduced", fit.layout), "reduced"))[rows]


def voted(
    nearest: NDArray[np.int32],
    distances: NDArray[np.float32],
    clustering: Clustering,
    layout: NDArray[np.float32],
) -> tuple[NDArray[Any], ...]:
    """Return labels, probabilities, outlier scores (m,) and places (m, 2) by the vote of the nearest (m, k)."""
    voters = FittedSample(np.empty(0, np.int64), nearest, neighbor_weights(distances))
    found = voters.vote(clustering)
    return found.labels, found.probabilities, found.outlier_scores, voters.means(layout)


def _ref(kind: str, key: str) -> ArtifactRef:
    return ArtifactRef(kind, key, kind)
