"""Outliers: an index -> its documents farthest from all others, each with its nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.descent import descent_neighbors
from topicflow.tasks.core.vectors.distinct import Distinct, Spread
from topicflow.tasks.core.vectors.knn import exact_neighbors
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.search.arguments import whole_number
from topicflow.tasks.search.index import Hit, SearchIndex
from topicflow.tasks.search.index_checks import check_range, load_array
from topicflow.tasks.store.artifact_store import Recipe

EXACT_UP_TO = 10_000
"""Up to this many documents all pairs are compared, as for the neighbours of a topic model."""

SHOWN = 3
"""Number of neighbours shown for an outlier."""


@dataclass(frozen=True)
class Outlier:
    """A document, its mean cosine distance to its nearest distinct neighbours, and the nearest of them."""

    hit: Hit
    neighbors: list[Hit]


def find_outliers(
    index: SearchIndex, n: int = 10, n_neighbors: int = 10, where: str | None = None
) -> list[Outlier]:
    """Return the `n` documents whose `n_neighbors` nearest neighbours are farthest, farthest first.

    Parameters
    ----------
    index : SearchIndex
        The index.
    n : int
        Maximum number of outliers.
    n_neighbors : int
        Number of neighbours whose mean cosine distance is the score; with more neighbours, larger groups of unusual
        documents are found.
    where : str, optional
        A condition on the listed documents; distances are to all documents.

    Raises
    ------
    ConfigError
        If `n` or `n_neighbors` is less than 1, or `where` cannot be parsed.

    Notes
    -----
    The neighbours of all documents are computed once per index and kept in its store: exactly up to 10,000 documents,
    by descent beyond; this takes 76 s for a million on two cores. Copies of a document are none of its neighbours, and
    copies of one neighbour count once: documents beside a copy are searched for again.

    References
    ----------
    Angiulli, Pizzuti: Fast outlier detection in high dimensional spaces (PKDD 2002).
    """
    n, n_neighbors = (
        whole_number("k", n, 1, "outliers"),
        whole_number("neighbors", n_neighbors, 1, "outliers"),
    )
    kept = index.filtered(where)
    rows, scores, neighbors, distances = neighbor_distances(index, n_neighbors)
    listed = np.arange(len(rows)) if kept is None else np.flatnonzero(kept[rows])
    order = listed[np.lexsort((rows[listed], -scores[listed]))][:n]
    found = []
    for place in order.tolist():
        near = neighbors[place, :SHOWN].astype(np.int64)
        similar = 1.0 - distances[place, :SHOWN].astype(np.float64)
        (hit,) = index.hits(rows[place : place + 1], scores[place : place + 1].astype(np.float64), None)
        found.append(Outlier(hit, index.hits(near, similar, None)))
    return found


def neighbor_distances(
    index: SearchIndex, n_neighbors: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return rows, scores (n,), neighbours' rows (-1 for none) and distances (n, k), from the store or computed."""
    rows = index.rows
    k = min(n_neighbors + 1, len(rows))
    if k < 2:
        none = np.zeros((len(rows), 0), np.float32)
        return rows, np.zeros(len(rows), np.float32), none.astype(np.int64), none
    recipe = Recipe(
        "outliers", "outliers", 2, config={"n_neighbors": k - 1}, inputs={"index": index.files.ref.key}
    )
    store = index.store
    while (ref := store.find(recipe)) is not None:
        try:
            shape = (len(rows), k - 1)
            neighbors = load_array(store.path(ref, "neighbors.npy"), "int64", shape)
            check_range(store.path(ref, "neighbors.npy"), neighbors, -1, index.files.ref.rows)
            distances = load_array(store.path(ref, "distances.npy"), "float32", shape)
            scores = load_array(store.path(ref, "scores.npy"), "float32", (len(rows),))
        except DamagedError:
            store.discard(ref.kind, ref.key)
        else:
            return rows, np.asarray(scores), neighbors, distances
    with store.writing(recipe) as writer:
        scores, neighbors, distances = _computed(index, rows, k)
        writer.save_array("neighbors", neighbors)
        writer.save_array("distances", distances)
        writer.save_array("scores", scores)
        writer.rows = len(rows)
    return rows, scores, neighbors, distances


def _computed(
    index: SearchIndex, rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return scores (n,), and rows and distances (n, k - 1) of the distinct neighbours of documents."""
    vectors = index.vectors.gather(rows)
    if len(rows) <= EXACT_UP_TO:
        indices, found = exact_neighbors(vectors, k)
    else:
        indices, found = descent_neighbors(vectors, k, seed=0)
    neighbors, distances = rows[indices[:, 1:]], found[:, 1:].copy()
    copy = Spread.of(index.vectors, rows).copy
    is_copied = distances[:, 0] <= 1.0 - copy
    again = np.flatnonzero(is_copied | is_copied[indices].any(axis=1))
    scores = distances.mean(axis=1)
    if len(again):
        distinct = Distinct.of(index, rows, copy).neighbors(vectors[again], k - 1)
        neighbors[again], scores[again] = distinct.rows, distinct.distances
        distances[again] = np.where(distinct.rows >= 0, 1.0 - distinct.similarities, 1.0)
    return scores, neighbors, distances
