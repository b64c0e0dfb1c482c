"""Kernels of the index: exact similarities of candidates, compiled once by numba and cached on disk.

Functions import this module when they run, because importing numba takes half a second.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def candidate_products(
    vectors: NDArray[np.float32],
    first: int,
    queries: NDArray[np.float32],
    candidates: NDArray[np.int64],
    products: NDArray[np.float32],
) -> None:
    """Write the products (m, c) of queries (m, dim) with the candidates (m, c) that are in `vectors`.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        One part of the index.
    first : int
        Row of the index at which the part begins.
    queries : ndarray of shape (m, dim), float32
    candidates : ndarray of shape (m, c), int64
        Rows of the index, -1 for none.
    products : ndarray of shape (m, c), float32
        The output; entries for candidates of other parts stay unchanged.
    """
    for i in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            row = candidates[i, j] - first
            if row < 0 or row >= vectors.shape[0]:
                continue
            total = np.float32(0.0)
            for t in range(queries.shape[1]):
                total += vectors[row, t] * queries[i, t]
            products[i, j] = total
