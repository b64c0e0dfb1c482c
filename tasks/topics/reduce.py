"""Reduce: neighbour graph and embeddings (n_docs, dim) -> reduced (n_docs, n_components) float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.reduce import (
    DiffusionReduce,
    NoReduce,
    ParallelUmapReduce,
    PcaReduce,
    UmapReduce,
)
from topicflow.tasks.core.layout.components import principal_components
from topicflow.tasks.core.layout.diffusion import diffuse, directions
from topicflow.tasks.core.layout.fuzzy import fuzzy_graph
from topicflow.tasks.core.layout.parallel_layout import EXTENT, parallel_layout
from topicflow.tasks.core.layout.seeded_layout import umap_layout
from topicflow.tasks.core.vectors.blocks import gathered
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.devices import resolve_device
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import DETAILS
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.store.resources import compiled_threads
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.fitted_sample import read_sample, unit_or_zero
from topicflow.tasks.topics.neighbors import distinct_points

AnyReduce = DiffusionReduce | ParallelUmapReduce | UmapReduce | PcaReduce | NoReduce

ROUNDING = 1e-6
"""Share of the components' extent below which averages differ by rounding alone."""

LEAST_EXTENT = 1e-30
"""Width of a component below which it counts as zero: unit vectors differ by at least 1e-8."""

CUDA_FROM = 50_000
"""Minimum number of points for a CUDA device: loading its kernel takes 1 s, and 100,000 points on two cores 3 s."""


def layout_engine(config: ParallelUmapReduce | UmapReduce, n_points: int, device: str) -> str:
    """Return the engine for this many points: `umap-learn`, `cuda` if the device supports it, or `numba` on the CPU."""
    if isinstance(config, UmapReduce):
        return "umap-learn"
    if device != "cuda" or n_points < CUDA_FROM:
        return "numba"
    from topicflow.tasks.core.layout.cuda_layout import what_is_missing

    if (missing := what_is_missing()) is None:
        return "cuda"
    DETAILS.warning(
        "the CPU computes the layout, because numba finds no CUDA here (%s); pip install 'topicflow[gpu]'",
        missing,
    )
    return "numba"


def reduce_graph(
    indices: NDArray[np.int32],
    distances: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    config: ParallelUmapReduce | UmapReduce,
    seed: int,
    n_threads: int | None = None,
    engine: str = "numba",
) -> NDArray[np.float32]:
    """Return UMAP's layout (n_docs, n_components) float32 of the neighbour graph.

    Parameters
    ----------
    indices, distances : ndarray of shape (n_docs, k)
        The graph, each row itself first.
    embeddings : ndarray of shape (n_docs, dim), float32
        Unit vectors.
    config : ParallelUmapReduce or UmapReduce
        Dimensions, minimum distance, passes and start; its type decides the implementation.
    seed : int
        Seed of the layout.
    n_threads : int, optional
        Threads of the graph and of our own layout; default all cores.
    engine : str
        The engine of our own layout, from `layout_engine`.

    Notes
    -----
    One or two documents have no layout; they are at the origin, as are documents that are all equal.
    """
    if len(indices) < 3 or _all_equal(embeddings):  # nothing to lay out
        return np.zeros((len(indices), config.n_components), np.float32)
    graph = fuzzy_graph(indices, distances, n_threads)
    if isinstance(config, UmapReduce):
        return umap_layout(
            graph,
            np.asarray(embeddings),
            config.n_components,
            config.min_dist,
            config.n_epochs,
            config.init,
            seed,
        )
    begin = start_positions(embeddings, config.n_components, config.init, seed, n_threads)
    if engine == "cuda":
        from topicflow.tasks.core.layout.cuda_layout import cuda_layout

        return cuda_layout(graph, begin, config.min_dist, config.n_epochs, seed)
    return parallel_layout(graph, begin, config.min_dist, config.n_epochs, seed, n_threads)


def diffused(
    indices: NDArray[np.int32],
    distances: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    config: DiffusionReduce,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Return the directions (n_docs, dim) float32 of documents averaged with their neighbours; dim is at most 512.

    Parameters
    ----------
    indices, distances : ndarray of shape (n_docs, k)
        The graph, each row itself first.
    embeddings : ndarray of shape (n_docs, dim), float32
        Unit vectors.
    config : DiffusionReduce
        Number of components and steps.
    n_threads : int, optional
        Threads; default all cores.

    Notes
    -----
    Directions from the mean are compared, as with embeddings: distances between averages depend on how many neighbours
    agree, and would make the middle of the corpus one dense topic. A few documents that are all neighbours of each
    other, at equal distances, have one average; then their own components are compared.
    """
    n_components = min(config.n_components, *embeddings.shape)
    if len(indices) < 3 or _all_equal(embeddings):  # no document differs from its neighbours
        return np.ascontiguousarray(embeddings[:, :n_components])
    components = principal_components(embeddings, n_components, n_threads)
    graph = fuzzy_graph(indices, distances, n_threads)
    averaged = diffuse(graph, components, config.steps, n_threads)
    if _extent(averaged) <= ROUNDING * _extent(components):
        averaged = components  # all have the same neighbours, and only rounding is left
    return directions(averaged)


def _extent(vectors: NDArray[np.float32]) -> float:
    """Return the largest distance of a vector (n, dim) from their mean."""
    return float(np.linalg.norm(vectors - vectors.mean(axis=0), axis=1).max())


def start_positions(
    embeddings: NDArray[np.float32], n_components: int, init: str, seed: int, n_threads: int | None = None
) -> NDArray[np.float32]:
    """Return the start of a layout, (n_docs, n_components) float32, with extent EXTENT in each dimension.

    Principal components, with noise of a millionth of the extent, because points that coincide are never pushed apart;
    random if `init` is "random" or there are fewer rows or columns than dimensions.
    """
    rng = np.random.default_rng(seed)
    if init == "random" or min(embeddings.shape) < n_components:
        return rng.uniform(0.0, EXTENT, (len(embeddings), n_components)).astype(np.float32)
    components = principal_components(embeddings, n_components, n_threads)
    components -= components.min(axis=0)
    extents = components.max(axis=0)
    flat = extents < LEAST_EXTENT
    components *= np.where(flat, 0.0, EXTENT / np.where(flat, 1.0, extents)).astype(np.float32)
    noise = rng.normal(scale=1e-6 * EXTENT, size=components.shape)
    return (components + noise).astype(np.float32)


def two_places(n_components: int) -> NDArray[np.float32]:
    """Return a layout (2, n_components) float32 for two vectors that many documents share: one EXTENT apart."""
    places = np.zeros((2, n_components), np.float32)
    places[1, 0] = EXTENT
    return places


def components_of_points(
    vectors: NDArray[np.float32], n_components: int, n_threads: int | None
) -> NDArray[np.float32]:
    """Return the principal components (n, n_components) float32 of the distinct vectors; copies are equal."""
    points = distinct_points(vectors, n_threads)
    if points.n_groups == len(vectors):
        return principal_components(vectors, n_components, n_threads)
    found = principal_components(vectors, n_components, n_threads, points.firsts.astype(np.int64))
    return np.ascontiguousarray(found[points.firsts][points.group])


def _all_equal(vectors: NDArray[np.float32]) -> bool:
    """Return whether all rows are the same; stops at the first 4,096 rows with a difference."""
    parts = (vectors[start : start + 4096] for start in range(0, len(vectors), 4096))
    return all(bool((part == vectors[0]).all()) for part in parts)


@stage("reduce")
def reduce(
    context: Context,
    embeddings: ArtifactRef,
    neighbors: ArtifactRef,
    config: AnyReduce,
) -> ArtifactRef:
    """Return the reduced vectors' artifact, computing it on a miss.

    By `diffusion` it has only the fitted documents' vectors if these are a sample; see `reduced_points`.
    """
    store, runtime = context.store, context.runtime
    recipe = recipes.reduce(config, embeddings.key, neighbors.key, context.seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer, compiled_threads(runtime.n_threads):
        vectors = store.array(embeddings, "embeddings")
        laid_out: dict[str, Any] = {}
        if isinstance(config, ParallelUmapReduce | UmapReduce):
            indices, distances = store.array(neighbors, "indices"), store.array(neighbors, "distances")
            sample = read_sample(store, neighbors)
            fitted = vectors if sample is None else gathered(vectors, sample.rows)
            laid_out["engine"] = engine = layout_engine(config, len(fitted), resolve_device(runtime.device))
            DETAILS.info("layout of %s points by %s", f"{len(fitted):,}", engine)
            reduced = reduce_graph(
                indices, distances, fitted, config, context.seed, runtime.n_threads, engine
            )
            if sample is not None:
                reduced = sample.place(reduced if len(fitted) != 2 else two_places(config.n_components))
        elif isinstance(config, DiffusionReduce):
            graph = store.array(neighbors, "indices"), store.array(neighbors, "distances")
            sample = read_sample(store, neighbors)
            fitted = vectors if sample is None else gathered(vectors, sample.rows)
            reduced = diffused(*graph, fitted, config, runtime.n_threads)
            if store.meta(neighbors)["sampled"]:
                laid_out["fitted"] = True
            elif sample is not None:
                reduced = unit_or_zero(sample.place(reduced))
        elif isinstance(config, PcaReduce):
            reduced = components_of_points(vectors, config.n_components, runtime.n_threads)
        else:
            reduced = np.asarray(vectors)
        writer.save_array("reduced", reduced)
        writer.rows = embeddings.rows
        writer.meta = {"method": config.method, "n_components": reduced.shape[1], **laid_out}
    return store.committed(recipe, writer)


draw = reduce.named("map")
"""The layout of the report's map."""
