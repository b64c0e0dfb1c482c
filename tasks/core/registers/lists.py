"""Lists: the best products of a row and their items, descending, changed in place."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.registers import first_bit

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
