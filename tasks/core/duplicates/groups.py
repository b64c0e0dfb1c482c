"""Groups: pairs of similar documents and an order of preference -> the document that is kept for each document.

Equal documents count as one: `first` gives the first equal document of each, and pairs are pairs of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.duplicates.pairs import Pairs, union

RowArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Groups:
    """The document that is kept for each of n documents; a kept document is kept for itself.

    Attributes
    ----------
    kept : ndarray of shape (n,), int32
    similarity : ndarray of shape (n,), float32
        Similarity to the kept document: 1 for itself and its equals, NaN if only other documents link the two.
    """

    kept: RowArray
    similarity: FloatArray

    @property
    def is_kept(self) -> NDArray[np.bool_]:
        """Which documents are kept."""
        kept: NDArray[np.bool_] = self.kept == np.arange(len(self.kept))
        return kept


def group_documents(first: RowArray, pairs: Pairs, order: RowArray, *, star: bool) -> Groups:
    """Return the document that is kept for each document.

    Parameters
    ----------
    first : ndarray of shape (n,), int32
        The first document equal to each one; itself if there is no earlier one.
    pairs : Pairs
        Duplicates among these first documents.
    order : ndarray of shape (n,), int32
        All documents in order of preference for keeping.
    star : bool
        Groups around the kept document; otherwise all documents that are linked by pairs, however long the chain.

    Notes
    -----
    Equal documents count as the one that comes first in `order`. O(n log n + n_pairs).
    """
    best, ranked = in_order(first, order)
    kept, similarity = (_stars if star else _components)(len(first), pairs, ranked)
    own = kept[first]
    return Groups(best[own], np.where(own == first, np.float32(1.0), similarity[first]))


def in_order(first: RowArray, order: RowArray) -> tuple[RowArray, RowArray]:
    """Return the preferred one (n,) of the equals of each first document, and the first documents in that order."""
    n = len(first)
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    best = np.empty(n, np.int32)
    best[first[order[::-1]]] = order[::-1]  # of equal documents the first in order is written last
    distinct = np.flatnonzero(first == np.arange(n)).astype(np.int32)
    return best, distinct[np.argsort(place[best[distinct]], kind="stable")]


def neighbour_lists(n: int, pairs: Pairs) -> tuple[NDArray[np.int64], RowArray, FloatArray]:
    """Return offsets (n + 1,), partners, similarities; those of row i are from offset i up to offset i + 1."""
    rows = np.concatenate([pairs.rows[:, 0], pairs.rows[:, 1]])
    partners = np.concatenate([pairs.rows[:, 1], pairs.rows[:, 0]])
    by_row = np.argsort(rows, kind="stable")
    offsets = np.searchsorted(rows[by_row], np.arange(n + 1)).astype(np.int64)
    similarities = np.concatenate([pairs.similarities, pairs.similarities])[by_row]
    return offsets, partners[by_row], similarities


def merged_firsts(*firsts: RowArray) -> RowArray:
    """Return the first document (n,) equal to each one by any of several relations, directly or through others."""
    if len(firsts) == 1:
        return firsts[0]
    n = len(firsts[0])
    links = [np.stack([first, np.arange(n, dtype=np.int32)], axis=1) for first in firsts]
    component = _component_of(n, np.concatenate(links))
    heads = np.full(int(component.max(initial=-1)) + 1, n, np.int32)
    np.minimum.at(heads, component, np.arange(n, dtype=np.int32))
    merged: RowArray = heads[component]
    return merged


def among(first: RowArray, pairs: Pairs) -> Pairs:
    """Return the pairs between the first documents that equal theirs, each pair once."""
    rows = np.sort(first[pairs.rows], axis=1)
    distinct = rows[:, 0] != rows[:, 1]
    return union([Pairs(rows[distinct], pairs.similarities[distinct])])


def centrality(first: RowArray, pairs: Pairs) -> NDArray[np.float64]:
    """Return the centrality of each document (n,): the sum of its similarities to duplicates and equal documents."""
    n = len(first)
    sizes = np.bincount(first, minlength=n)
    sums = np.maximum(sizes - 1.0, 0.0)
    for side in (0, 1):
        partners = sizes[pairs.rows[:, 1 - side]]
        sums += np.bincount(pairs.rows[:, side], pairs.similarities * partners, minlength=n)
    central: NDArray[np.float64] = sums[first]
    return central


def first_of_digests(digests: NDArray[np.uint64]) -> RowArray:
    """Return the first row (n,) with the same digest, for digests (n, 2)."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), np.int32)
    first[order] = order[is_new][
        np.cumsum(is_new) - 1
    ]  # lexsort is stable: the first of equals has the lowest row
    return first


def _stars(n: int, pairs: Pairs, ranked: RowArray) -> tuple[RowArray, FloatArray]:
    from topicflow.tasks.core.duplicates.group_kernels import stars

    offsets, partners, similarities = neighbour_lists(n, pairs)
    kept, similarity = np.full(n, -1, np.int32), np.ones(n, np.float32)
    stars(offsets, partners, similarities, ranked, kept, similarity)
    return kept, similarity


def _components(n: int, pairs: Pairs, ranked: RowArray) -> tuple[RowArray, FloatArray]:
    component = _component_of(n, pairs.rows)
    best = np.full(int(component.max(initial=-1)) + 1, -1, np.int32)
    best[component[ranked[::-1]]] = ranked[::-1]  # the first in order is written last
    kept = best[component]
    similarity = np.full(n, np.nan, np.float32)
    similarity[kept == np.arange(n)] = 1.0
    for side in (0, 1):
        to_kept = kept[pairs.rows[:, side]] == pairs.rows[:, 1 - side]
        similarity[pairs.rows[to_kept, side]] = pairs.similarities[to_kept]
    return kept, similarity


def _component_of(n: int, links: RowArray) -> RowArray:
    """Return the number (n,) of each row's component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(n, n))
    component: RowArray = connected_components(graph, directed=False)[1]
    return component
