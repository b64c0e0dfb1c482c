"""Assign: new embeddings (n, dim) and a fit -> labels (n,) int32 in the fit's numbers, places (n, 2), distances (n,).

The rule is the fit's own for documents beyond its sample (`tasks.sample`): the vote of the nearest fitted ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.models import RuntimeConfig
from tasks import recipes
from tasks.core.assign import neighbor_weights
from tasks.core.clusters import Clustering
from tasks.core.drifts import distance_histogram, own_distances, topic_counts
from tasks.core.search import CellIndex, cell_index, search_neighbors
from tasks.progress import track
from tasks.sample import N_NEAREST, FittedSample, read_sample
from tasks.states import cached
from tasks.store import ArtifactRef, ArtifactStore
from tasks.topic_state import Fit

CHUNK_ROWS = 65_536
"""New documents looked up at a time."""

_INDEX = tuple(CellIndex.__annotations__)


def place_documents(
    fitted: NDArray[np.float32],
    clustering: Clustering,
    layout: NDArray[np.float32],
    queries: NDArray[np.float32],
    index: CellIndex,
    n_threads: int | None = None,
) -> Iterator[tuple[Clustering, NDArray[np.float32]]]:
    """Yield the clustering and the places (m, 2) of new documents, chunk by chunk.

    Parameters
    ----------
    fitted : ndarray of shape (n_fitted, dim), float32
        Unit vectors of the fit.
    clustering : Clustering
        Labels, probabilities and outlier scores (n_fitted,) of the fit.
    layout : ndarray of shape (n_fitted, 2), float32
        The fit's places on the map.
    queries : ndarray of shape (n, dim), float32
        Unit vectors of the new documents; a memory map will do.
    index : CellIndex
        The fitted vectors' cells.
    n_threads : int, optional
        Threads; all cores if None. Their number changes no bit.

    Notes
    -----
    Some 50,000 documents a second on two cores at 100,000 fitted ones (tests/benchmarks/assigning.py).
    """
    k, nobody = min(N_NEAREST, len(fitted)), np.empty(0, np.int64)
    for start in range(0, len(queries), CHUNK_ROWS):
        part = queries[start : start + CHUNK_ROWS]
        nearest, distances = search_neighbors(fitted, part, k, n_threads=n_threads, index=index)
        voters = FittedSample(nobody, nearest, neighbor_weights(distances))
        found = voters.vote(clustering)
        yield found, voters.means(layout)


@task(name="cells", cache_policy=NO_CACHE, persist_result=False)
def cells(
    store: ArtifactStore,
    embeddings: ArtifactRef,
    neighbors: ArtifactRef,
    labels: ArtifactRef,
    topics: ArtifactRef,
    seed: int,
    runtime: RuntimeConfig,
) -> ArtifactRef:
    """Return the fitted vectors' cells with the sizes and distances of the fit's topics, made on a miss."""
    inputs = {"embeddings": embeddings, "neighbors": neighbors, "labels": labels, "topics": topics}
    recipe = recipes.cells({name: ref.key for name, ref in inputs.items()}, seed)
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        rows, fitted = _fitted(store, embeddings, neighbors)
        index = cell_index(fitted, seed, runtime.n_threads)
        for name in _INDEX:
            writer.save_array(name, getattr(index, name))
        own, centroids = np.asarray(store.array(labels, "labels")), store.array(topics, "centroids")
        distances = own_distances(store.array(embeddings, "embeddings"), own, centroids)
        writer.save_array("topic_counts", topic_counts(own, len(centroids)))
        writer.save_array("histogram", distance_histogram(distances))
        writer.rows = len(fitted)
        writer.meta = {"n_fitted": len(fitted), "sampled": rows is not None}
    return store.committed(recipe, writer)


@task(name="assign", cache_policy=NO_CACHE, persist_result=False)
def assign(store: ArtifactStore, embeddings: ArtifactRef, fit: Fit, runtime: RuntimeConfig) -> ArtifactRef:
    """Return the labels of new documents as the fit has it, with their places and distances, computed on a miss."""
    recipe = recipes.assign({"embeddings": embeddings.key, "cells": fit.cells, "layout": fit.layout})
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        rows, fitted = _fitted(store, _ref("embeddings", fit.embeddings), _ref("neighbors", fit.neighbors))
        names = ("labels", "probabilities", "outlier_scores")
        own = [np.asarray(store.array(_ref("labels", fit.labels), name)) for name in names]
        layout = np.asarray(store.array(_ref("reduced", fit.layout), "reduced"))
        if rows is not None:
            own, layout = [each[rows] for each in own], layout[rows]
        index = CellIndex(
            *(np.array(store.array(_ref("cells", fit.cells), name)) for name in _INDEX)
        )  # torch wants arrays that could be written
        queries = store.array(embeddings, "embeddings")
        parts = []
        with track("assign", len(queries), unit="documents") as progress:
            for part in place_documents(fitted, Clustering(*own), layout, queries, index, runtime.n_threads):
                parts.append(part)
                progress.advance(len(part[1]))
        labels = np.concatenate([found.labels for found, _ in parts])
        writer.save_array("labels", labels)
        writer.save_array("probabilities", np.concatenate([found.probabilities for found, _ in parts]))
        writer.save_array("outlier_scores", np.concatenate([found.outlier_scores for found, _ in parts]))
        writer.save_array("reassigned", np.zeros(len(labels), bool))
        writer.save_array("reduced", np.concatenate([places for _, places in parts]))
        centroids = store.array(_ref("topics", fit.topics), "centroids")
        writer.save_array("distances", own_distances(queries, labels, centroids))
        writer.rows = len(labels)
        writer.meta = {"outlier_share": float((labels < 0).mean())}
    return store.committed(recipe, writer)


def _ref(kind: str, key: str) -> ArtifactRef:
    return ArtifactRef(kind, key, kind)


def _fitted(
    store: ArtifactStore, embeddings: ArtifactRef, neighbors: ArtifactRef
) -> tuple[NDArray[np.int64] | None, NDArray[np.float32]]:
    """Return the fitted rows (None where all are) and their vectors."""
    vectors = store.array(embeddings, "embeddings")
    sample = read_sample(store, neighbors)
    if sample is None:
        return None, vectors
    return sample.rows, np.ascontiguousarray(vectors[sample.rows])
