"""Kernel of the residual head: every row's sums in one order, so that they do not depend on other rows.

Functions import this module when they run, because importing numba takes half a second.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

ROWS = 8
"""Rows whose sums are made together: each row of the matrix is read once for all of them."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_products(rows: FloatArray, matrix: FloatArray, sums: FloatArray) -> None:
    """Add to each row of `sums` (n, dim) the row of `rows` (n, width) times `matrix` (width, dim).

    A sum adds its products one after another, rounding each: the same bits on every processor.
    """
    n, width = rows.shape
    dim = matrix.shape[1]
    for start in range(0, n, ROWS):
        for t in range(width):
            for i in range(start, min(n, start + ROWS)):
                factor = rows[i, t]
                for j in range(dim):
                    sums[i, j] += factor * matrix[t, j]
