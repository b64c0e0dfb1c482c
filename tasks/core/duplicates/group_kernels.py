"""Kernels of grouping, in their own module because numba compiles decorated functions at import."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def stars(
    offsets: NDArray[np.int64],
    partners: NDArray[np.int32],
    similarities: NDArray[np.float32],
    order: NDArray[np.int32],
    kept: NDArray[np.int32],
    similarity: NDArray[np.float32],
) -> None:
    """Write the row that is kept for each row of `order` to `kept` (n,), -1 before, and the similarity to `similarity`.

    The partners of row i are `partners[offsets[i]:offsets[i + 1]]`.
    """
    for row in order:
        if kept[row] >= 0:
            continue
        kept[row] = row
        for at in range(offsets[row], offsets[row + 1]):
            if kept[partners[at]] < 0:
                kept[partners[at]] = row
                similarity[partners[at]] = similarities[at]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def next_in_crowd(
    offsets: NDArray[np.int64],
    partners: NDArray[np.int32],
    order: NDArray[np.int32],
    at: int,
    crowded: NDArray[np.bool_],
    taken: NDArray[np.bool_],
) -> int:
    """Walk as `stars` does, from place `at` of `order` up to the next kept row that is crowded; mark rows as taken.

    Returns
    -------
    int
        The place after that row; `len(order) + 1` if there is none.
    """
    for place in range(at, len(order)):
        row = order[place]
        if taken[row]:
            continue
        taken[row] = True
        for other in range(offsets[row], offsets[row + 1]):
            taken[partners[other]] = True
        if crowded[row]:
            return place + 1
    return len(order) + 1
