"""Neighbors: embeddings (n_docs, dim) -> indices (n_fitted, k) int32 and cosine distances (n_fitted, k) float32.

Copies of one vector are one point, because copies would fill each other's lists. `rows` are the first document of each
point, `counts` the number of documents with its vector, and `point` (n_docs,) the point of each document. The vectors
alone decide the order of the points, so that all later stages give the same result for rows in another order. Above
`fit_limit` the first points in this order are the sample, and each document's nearest in it are stored too; with a few
other documents the sample is nearly the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.blocks import gathered, threads
from topicflow.tasks.core.vectors.descent import descent_neighbors
from topicflow.tasks.core.vectors.equals import EqualRows, equal_rows, row_hashes
from topicflow.tasks.core.vectors.knn import exact_neighbors, pynndescent_neighbors, recall
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.devices import resolve_device
from topicflow.tasks.execution.memo import remembered
from topicflow.tasks.execution.parts import discard_all
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import DETAILS
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter, digest
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.fitted_sample import N_NEAREST, share_of_copies
from topicflow.tasks.topics.nearest_fitted import Fitted, look_up, read_lookups, save_cells

EXACT_UP_TO = {"cpu": 10_000, "mps": 50_000, "cuda": 2_000_000}
"""Maximum number of documents for which all pairs are compared: on two CPU cores 10,000 x 384 take less than a second;
above it, descent is several times faster."""

RECALL_SAMPLE = 500
"""Rows on which recall is measured: its standard error is below .004 at recall .95 and k = 15."""


DESCENT_SEED = 0
"""Seed of approximate neighbours. It is not the run's, because a graph should not depend on what it does not draw."""


@dataclass(frozen=True)
class NeighborGraph:
    """Indices (n, k) int32, each row itself first; cosine distances (n, k) float32; method; recall."""

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    method: str
    recall: float


def find_neighbors(
    embeddings: NDArray[np.float32],
    config: NeighborsConfig,
    seed: int,
    runtime: RuntimeConfig,
    equal: EqualRows | None = None,
) -> NeighborGraph:
    """Return the k-nearest-neighbour graph with its recall against exact search on a sample.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim), float32
        Unit vectors.
    config : NeighborsConfig
        `n_neighbors` is lowered to n if there are fewer documents.
    seed : int
        Seed of the descent and of the sample.
    runtime : RuntimeConfig
        Device and threads.
    equal : EqualRows, optional
        The groups of equal vectors, if the caller has them.
    """
    k = min(config.n_neighbors, len(embeddings))
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    return remembered(
        lambda: ("neighbors", digest(vectors.tobytes()), k, config.method, seed, runtime.device),
        lambda: _neighbors_of(vectors, k, config.method, seed, runtime, equal),
    )


def _neighbors_of(
    vectors: NDArray[np.float32],
    k: int,
    method: str,
    seed: int,
    runtime: RuntimeConfig,
    equal: EqualRows | None,
) -> NeighborGraph:
    """Return the graph of the k nearest neighbours by a method."""
    n, device, n_threads = len(vectors), resolve_device(runtime.device), runtime.n_threads
    equal = distinct_points(vectors, n_threads) if equal is None else equal
    if method == "auto" or n <= k:  # descent needs more rows than neighbours
        method = "exact" if n <= max(EXACT_UP_TO[device], k) else "descent"
    if method == "exact":
        exact = exact_neighbors(vectors, k, None, device, n_threads, equal)
        return NeighborGraph(*exact, method="exact", recall=1.0)
    if method == "descent":
        indices, distances = descent_neighbors(vectors, k, seed, n_threads, equal)
    else:
        indices, distances = pynndescent_neighbors(vectors, k, seed, n_threads)
    sample = np.random.default_rng(seed).choice(n, size=min(RECALL_SAMPLE, n), replace=False)
    exact = exact_neighbors(vectors, k, sample, device, n_threads, equal)
    return NeighborGraph(indices, distances, method, recall(indices[sample], exact[0]))


@stage("neighbors")
def neighbors(context: Context, embeddings: ArtifactRef, config: NeighborsConfig) -> ArtifactRef:
    """Return the neighbour graph's artifact, computing it on a miss; above `fit_limit` the graph of a sample."""
    store, runtime = context.store, context.runtime
    recipe = recipes.neighbors(config, embeddings.key)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        vectors = store.array(embeddings, "embeddings")
        rows, counts, point = ordered_points(vectors, runtime.n_threads)
        sampled, beside = len(rows) > config.fit_limit, []
        if sampled:
            fitted = _fitted_sample(store, embeddings, rows, counts, config, runtime)
            graph = _read_graph(store, fitted)
            beside = [fitted, *_look_up_all(store, embeddings, fitted, runtime, writer)]
        else:
            writer.save_array("rows", rows)
            writer.save_array("counts", counts)
            writer.save_array("point", point)
            graph = find_neighbors(
                gathered(vectors, rows), config, DESCENT_SEED, runtime, EqualRows.all_distinct(len(rows))
            )
        DETAILS.info("neighbours of %s vectors by %s", f"{len(graph.indices):,}", graph.method)
        _save_graph(writer, graph)
        writer.rows = embeddings.rows
        writer.meta |= {"sampled": sampled, "ordered": True}
        if len(rows) < len(vectors):
            writer.meta |= {"copies": share_of_copies(counts)}
    discard_all(store, beside)
    return store.committed(recipe, writer)


def distinct_points(vectors: NDArray[np.float32], n_threads: int | None) -> EqualRows:
    """Return the groups of equal vectors (n, dim): each is one point for graph, layout and clusters."""
    with threads(n_threads) as run:
        return equal_rows(np.require(vectors, np.float32, "C"), run)


def ordered_points(
    vectors: NDArray[np.float32], n_threads: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return the points, groups of equal vectors, in the order of the hashes of their vectors.

    Parameters
    ----------
    vectors : ndarray of shape (n_docs, dim), float32
    n_threads : int, optional

    Returns
    -------
    rows : ndarray of shape (n_points,), int64
        First document of each point.
    counts : ndarray of shape (n_points,), int32
        Documents with its vector.
    point : ndarray of shape (n_docs,), int32
        Point of each document.
    """
    vectors = np.require(vectors, np.float32, "C")  # a mapped array still knows its file
    with threads(n_threads) as run:
        hashes = row_hashes(vectors, run)
        points = equal_rows(vectors, run, hashes)
    firsts = points.firsts.astype(np.int64)
    order = np.argsort(hashes[firsts], kind="stable")
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return firsts[order], points.counts[order].astype(np.int32), number[points.group]


def _save_graph(writer: ArtifactWriter, graph: NeighborGraph) -> None:
    writer.save_array("indices", graph.indices)
    writer.save_array("distances", graph.distances)
    n_fitted, k = graph.indices.shape
    writer.meta = {"method": graph.method, "recall": graph.recall, "n_neighbors": k, "n_fitted": n_fitted}


def _read_graph(store: ArtifactStore, ref: ArtifactRef) -> NeighborGraph:
    meta = store.meta(ref)
    return NeighborGraph(
        store.array(ref, "indices"), store.array(ref, "distances"), meta["method"], meta["recall"]
    )


def _look_up_all(
    store: ArtifactStore,
    embeddings: ArtifactRef,
    fitted: ArtifactRef,
    runtime: RuntimeConfig,
    writer: ArtifactWriter,
) -> list[ArtifactRef]:
    """Write a sample's rows and every document's nearest ones in it; return the parts' artifacts."""
    asked = Fitted(fitted, None, fitted, "neighbors", recipes.VERSIONS["neighbors"])
    parts = look_up(store, embeddings, asked, runtime)
    writer.save_array("rows", store.array(fitted, "rows"))
    writer.save_array("counts", store.array(fitted, "counts"))
    shape = (embeddings.rows, min(N_NEAREST, fitted.rows))
    with (
        writer.appended_array("nearest", shape, "int32") as append_nearest,
        writer.appended_array("nearest_distances", shape, "float32") as append_distances,
    ):
        for nearest, distances in read_lookups(store, parts):
            append_nearest(nearest)
            append_distances(distances)
    return parts


def _fitted_sample(
    store: ArtifactStore,
    embeddings: ArtifactRef,
    rows: NDArray[np.int64],
    counts: NDArray[np.int32],
    config: NeighborsConfig,
    runtime: RuntimeConfig,
) -> ArtifactRef:
    """Return the artifact of a sample's rows, embeddings, graph and cells, which is deleted at the end of the stage."""
    recipe = replace(recipes.neighbors(config, embeddings.key), kind="fitted-samples")
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        rows = rows[: config.fit_limit]
        vectors = gathered(store.array(embeddings, "embeddings"), rows)
        writer.save_array("rows", rows)
        writer.save_array("counts", counts[: config.fit_limit])
        # each part maps this file and need not gather the rows again
        writer.save_array("embeddings", vectors)
        graph = find_neighbors(vectors, config, DESCENT_SEED, runtime, EqualRows.all_distinct(len(rows)))
        _save_graph(writer, graph)
        save_cells(writer, vectors, graph.indices, DESCENT_SEED, runtime.n_threads)
        writer.rows = len(rows)
    return store.committed(recipe, writer)
