"""Crowds: rows that have more similar rows than pairs are stored of -> the pairs that a greedy pass needs besides.

A search stores at most `max_partners` pairs of a row. A pair is missing only if both of its rows have that many: they
are in a crowd. What a greedy pass keeps is right without most of these pairs: a row of a crowd is compared only with
the rows that are kept, not with every partner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.duplicates.groups import in_order, neighbour_lists
from topicflow.tasks.core.duplicates.pairs import Pairs, no_pairs, union

RowArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]

Compare = Callable[[int, RowArray], FloatArray]
"""A row and other rows (m,) -> the similarities (m,) of the row to each."""


@dataclass(frozen=True)
class Crowd:
    """Rows of crowds in one method's pairs.

    Attributes
    ----------
    rows : ndarray of shape (m,), int32
        The rows, ascending.
    compare : Compare
        The method's exact similarity.
    threshold : float
        Minimum similarity of duplicates.
    """

    rows: RowArray
    compare: Compare
    threshold: float

    @classmethod
    def of(cls, pairs: Pairs, max_partners: int, compare: Compare, threshold: float) -> Crowd:
        """Return the crowds in pairs of which at most `max_partners` of a row are stored."""
        counts = np.bincount(pairs.rows.ravel(), minlength=1)
        return cls(np.flatnonzero(counts >= max_partners).astype(np.int32), compare, threshold)

    def similar(self, row: int, others: RowArray) -> Pairs:
        """Return the pairs of a row with others that are similar enough."""
        similarities = self.compare(row, others)
        close = similarities >= np.float32(self.threshold)
        rows = np.sort(np.stack([np.full(int(close.sum()), row, np.int32), others[close]], axis=1), axis=1)
        return Pairs(rows, similarities[close])


def missing_pairs(
    first: RowArray, pairs: Pairs, order: RowArray, n_base: int, crowds: Sequence[Crowd]
) -> list[Pairs]:
    """Return for each of the crowds the pairs that are missing for the result of a greedy pass over all pairs.

    Parameters
    ----------
    first : ndarray of shape (n_base + n,), int32
        The first row that each one equals.
    pairs : Pairs
        Duplicates among the firsts, as they are stored.
    order : ndarray of shape (n,), int32
        Rows, counted without the first `n_base`, in order of preference for keeping.
    n_base : int
        Rows that others are only compared with.
    crowds : sequence of Crowd
        One for each method.

    Notes
    -----
    O(m n_kept) comparisons for m rows in crowds, of which n_kept are kept; each kept one is compared only with those
    that no earlier one is similar to. Besides the pairs it needs 12 bytes for each row.
    """
    found: list[list[Pairs]] = [[no_pairs()] for _ in crowds]
    taken = (
        first < n_base
    )  # rows with a duplicate in the base corpus; then also kept rows and their duplicates
    across = (pairs.rows[:, 0] < n_base) & (pairs.rows[:, 1] >= n_base)
    taken[pairs.rows[across, 1]] = True
    for crowd, parts in zip(crowds, found, strict=True):
        still = crowd.rows[~taken[first[crowd.rows]]]
        base = crowd.rows[crowd.rows < n_base] if len(still) else crowd.rows[:0]
        parts += [crowd.similar(row, still) for row in base.tolist()]
    for parts in found:
        taken[first[np.concatenate([part.rows[:, 1] for part in parts])]] = True
    _walk(first, pairs, order, n_base, crowds, taken, found)
    return [union(parts) for parts in found]


def _walk(
    first: RowArray,
    pairs: Pairs,
    order: RowArray,
    n_base: int,
    crowds: Sequence[Crowd],
    taken: NDArray[np.bool_],
    found: list[list[Pairs]],
) -> None:
    """Add to `found` the pairs of each kept row of a crowd with the rows that no earlier kept row is similar to."""
    from topicflow.tasks.core.duplicates.group_kernels import next_in_crowd

    offsets, partners, _ = neighbour_lists(len(first), pairs)
    own = np.arange(len(first) - n_base)
    heads = np.where(first[n_base:] < n_base, own, first[n_base:] - n_base).astype(np.int32)
    ranked = in_order(heads, order)[1] + np.int32(n_base)
    crowded = np.zeros(len(first), bool)
    for crowd in crowds:
        crowded[first[crowd.rows]] = True
    rows = [crowd.rows for crowd in crowds]
    at = 0
    while (at := next_in_crowd(offsets, partners, ranked, at, crowded, taken)) <= len(ranked):
        kept = ranked[at - 1]
        for number, crowd in enumerate(crowds):
            mine = rows[number][first[rows[number]] == kept]
            for row in mine.tolist():
                rows[number] = rows[number][~taken[first[rows[number]]]]
                found[number].append(crowd.similar(row, rows[number]))
                taken[first[found[number][-1].rows]] = True
