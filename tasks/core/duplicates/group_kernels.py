"""Kernels of grouping; a module of its own because numba compiles what is decorated."""

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
    """Write to `kept` (n,), -1 before, who is kept for each of `order`, and to `similarity` (n,) how like it is.

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
