"""Lists: the best products of a row and their items, descending, changed in place."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.registers import address, first_bit, larger

IndexArray = NDArray[np.int32]


@njit(nogil=True)  # type: ignore[untyped-decorator]
def insert(products: IndexArray, bits: int, first: int, best: IndexArray, ids: IndexArray) -> None:
    """Insert the products whose bits are set into a row's list, descending.

    Equal products stay in their order of arrival.
    """
    last = len(best) - 1
    bar = best[last]
    while bits:
        j = first_bit(bits)
        bits &= bits - 1
        product = products[j]
        if product > bar:
            slot = last
            while slot > 0 and best[slot - 1] < product:
                best[slot] = best[slot - 1]
                ids[slot] = ids[slot - 1]
                slot -= 1
            best[slot] = product
            ids[slot] = first + j
            bar = best[last]


@njit(nogil=True)  # type: ignore[untyped-decorator]
def compare_block(
    sums: IndexArray,
    bars: IndexArray,
    rows: NDArray[np.int64],
    at: int,
    stop: int,
    n_items: int,
    first: int,
    best: IndexArray,
    ids: IndexArray,
) -> None:
    """Insert the products of a block that are above the bars of their rows; the bars rise with the lists.

    Parameters
    ----------
    sums : ndarray of shape (block, 32), int32
        Products of rows and items.
    bars : ndarray of shape (block,), int32
        The last of the best products of each row.
    rows : ndarray of shape (m,), int64
        All rows.
    at, stop : int
        The first of those in the block, and the one after its last.
    n_items : int
        How many of the 32 items there are.
    first : int
        Number of the first of them.
    best, ids : ndarray of shape (n, kept), int32
        The lists of all rows.
    """
    within = (np.int64(1) << n_items) - 1
    for place in range(stop - at):
        bits = larger(address(sums) + 4 * sums.shape[1] * place, bars[place]) & within
        if bits:
            row = rows[at + place]
            insert(sums[place], bits, first, best[row], ids[row])
            bars[place] = best[row, best.shape[1] - 1]
