"""Nearest fitted: vectors (n, dim) -> the nearest fitted ones, (n, k) int32 and cosine distances float32, in parts.

A part is an artifact that this process or a worker makes; each of them reads the fitted vectors from the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.blocks import gathered, give_back
from topicflow.tasks.core.vectors.search import CellIndex, cell_index, search_neighbors
from topicflow.tasks.execution.parts import made_parts
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.fitted_sample import N_NEAREST

PART_ROWS = 2**18
"""Vectors looked up between two commits: about 5 s of work on two cores with 100,000 fitted ones."""

_ARRAYS = tuple(CellIndex.__annotations__)


@dataclass(frozen=True)
class Fitted:
    """The artifacts of the fitted vectors, and the stage that searches them.

    Attributes
    ----------
    embeddings : ArtifactRef
        The embeddings.
    sample : ArtifactRef or None
        The artifact with the fitted `rows`; None if all embeddings are fitted.
    cells : ArtifactRef
        The cells of the fitted vectors.
    stage : str
        The stage that searches them.
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
    """Write the cells of fitted unit vectors (n_fitted, dim), with links to their neighbours (n_fitted, k)."""
    index = cell_index(fitted, seed, n_threads, neighbors)
    for name in _ARRAYS:
        writer.save_array(name, getattr(index, name))


def fitted_vectors(
    store: ArtifactStore, embeddings: ArtifactRef, sample: ArtifactRef | None
) -> NDArray[np.float32]:
    """Return the fitted vectors (n_fitted, dim): all of the embeddings, or the rows of a sample."""
    vectors: NDArray[np.float32] = store.array(embeddings, "embeddings")
    return vectors if sample is None else gathered(vectors, store.array(sample, "rows"))


def look_up(
    store: ArtifactStore, queries: ArtifactRef, fitted: Fitted, runtime: RuntimeConfig
) -> list[ArtifactRef]:
    """Return the parts, in order, with the `nearest` fitted vectors of each query and their `distances`.

    Parameters
    ----------
    store : ArtifactStore
    queries : ArtifactRef
        Embeddings; unit vectors.
    fitted : Fitted
    runtime : RuntimeConfig
        The settings that `workers.started` yields.

    Notes
    -----
    About 70,000 queries per second on two cores with 100,000 fitted vectors (tests/benchmarks/assigning.py).
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
    """Return the artifact of a part's nearest fitted vectors; a part has `n_rows` queries."""
    start = number * n_rows
    rows = (start, start + n_rows)
    recipe = recipes.lookup_part(fitted.stage, fitted.version, queries.key, fitted.cells.key, rows)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        vectors = fitted_vectors(store, fitted.embeddings, fitted.sample)
        arrays = (
            np.array(store.array(fitted.cells, name)) for name in _ARRAYS
        )  # torch needs writable arrays
        asked = store.array(queries, "embeddings")[start : start + n_rows]
        nearest, distances = search_neighbors(
            vectors, asked, min(N_NEAREST, len(vectors)), n_threads=n_threads, index=CellIndex(*arrays)
        )
        writer.save_array("nearest", nearest)
        writer.save_array("distances", distances)
        writer.rows = len(asked)
        give_back(asked)
    return store.committed(recipe, writer)


def read_lookups(
    store: ArtifactStore, parts: Iterable[ArtifactRef]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield the nearest and the distances of each part."""
    for part in parts:
        yield np.asarray(store.array(part, "nearest")), np.asarray(store.array(part, "distances"))
