"""Lookup: vectors (n, dim) -> each one's nearest fitted, (n, k) int32 and cosine distances (n, k) float32, in parts.

A part is an artifact, made here or by a worker; what stands for the fit is read from the store by whoever makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.search import CellIndex, cell_index, search_neighbors
from topicflow.tasks.execution.parts import made_parts
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.fitted_sample import N_NEAREST

PART_ROWS = 2**18
"""Vectors looked up between two commits: some 5 s of work on two cores at 100,000 fitted ones."""

_ARRAYS = tuple(CellIndex.__annotations__)


@dataclass(frozen=True)
class Fitted:
    """Where the fitted vectors are, and which stage looks them up.

    Attributes
    ----------
    embeddings : ArtifactRef
        Their embeddings.
    sample : ArtifactRef or None
        The artifact with their `rows`; None where all embeddings are fitted.
    cells : ArtifactRef
        Their cells.
    stage : str
        The stage that looks them up.
    version : int
        The version of that stage.
    """

    embeddings: ArtifactRef
    sample: ArtifactRef | None
    cells: ArtifactRef
    stage: str
    version: int


def save_cells(
    writer: ArtifactWriter,
    fitted: NDArray[np.float32],
    neighbors: NDArray[np.int32],
    seed: int,
    n_threads: int | None,
) -> None:
    """Write the cells of fitted unit vectors (n_fitted, dim), linked as their neighbours (n_fitted, k) are."""
    index = cell_index(fitted, seed, n_threads, neighbors)
    for name in _ARRAYS:
        writer.save_array(name, getattr(index, name))


def fitted_vectors(
    store: ArtifactStore, embeddings: ArtifactRef, sample: ArtifactRef | None
) -> NDArray[np.float32]:
    """Return the fitted vectors (n_fitted, dim): all of the embeddings, or the rows of a sample."""
    vectors: NDArray[np.float32] = store.array(embeddings, "embeddings")
    return vectors if sample is None else np.ascontiguousarray(vectors[store.array(sample, "rows")])


def look_up(
    store: ArtifactStore, queries: ArtifactRef, fitted: Fitted, runtime: RuntimeConfig
) -> list[ArtifactRef]:
    """Return the parts, in order, that hold the `nearest` fitted vectors of each query and their `distances`.

    Parameters
    ----------
    store : ArtifactStore
    queries : ArtifactRef
        Embeddings of unit vectors.
    fitted : Fitted
    runtime : RuntimeConfig
        As `workers.started` yields it.

    Notes
    -----
    Some 70,000 queries a second on two cores at 100,000 fitted vectors (tests/benchmarks/assigning.py).
    """
    make = partial(look_up_part, store, queries, fitted, runtime.n_threads, PART_ROWS)
    return made_parts(fitted.stage, make, -(-queries.rows // PART_ROWS), runtime)


def look_up_part(
    store: ArtifactStore,
    queries: ArtifactRef,
    fitted: Fitted,
    n_threads: int | None,
    n_rows: int,
    number: int,
) -> ArtifactRef:
    """Return the artifact of a part's nearest fitted vectors; parts have `n_rows` queries."""
    start = number * n_rows
    rows = (start, start + n_rows)
    recipe = recipes.lookup_part(fitted.stage, fitted.version, queries.key, fitted.cells.key, rows)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        vectors = fitted_vectors(store, fitted.embeddings, fitted.sample)
        arrays = (np.array(store.array(fitted.cells, name)) for name in _ARRAYS)  # torch wants them writable
        asked = store.array(queries, "embeddings")[start : start + n_rows]
        nearest, distances = search_neighbors(
            vectors, asked, min(N_NEAREST, len(vectors)), n_threads=n_threads, index=CellIndex(*arrays)
        )
        writer.save_array("nearest", nearest)
        writer.save_array("distances", distances)
        writer.rows = len(asked)
    return store.committed(recipe, writer)


def read_lookups(
    store: ArtifactStore, parts: Iterable[ArtifactRef]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield the nearest and the distances of each part."""
    for part in parts:
        yield np.asarray(store.array(part, "nearest")), np.asarray(store.array(part, "distances"))
