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
