"""Nearest: queries (m, dim) and vectors in parts -> rows (m, k) int64 and similarities (m, k) float32, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import n_cores

FloatArray = NDArray[np.float32]
RowArray = NDArray[np.int64]
Found = tuple[RowArray, FloatArray]

BLOCK_ROWS = 8192
"""Vectors that queries are compared with at a time: 12 MiB of 384 dimensions."""


@dataclass(frozen=True)
class Parts:
    """Unit vectors in parts, numbered through: a part is what one build or one addition brought, often a memory map."""

    arrays: Sequence[FloatArray]

    @property
    def starts(self) -> list[int]:
        """Row at which each part begins, and the number of all."""
        return [0, *np.cumsum([len(array) for array in self.arrays]).tolist()]

    def __len__(self) -> int:
        return sum(len(array) for array in self.arrays)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.arrays[0].shape[1])

    def gather(self, rows: RowArray) -> FloatArray:
        """Return the vectors (n, dim) of rows (n,)."""
        if len(self.arrays) == 1:
            return np.asarray(self.arrays[0][rows])
        out = np.empty((len(rows), self.dim), np.float32)
        starts = self.starts
        for array, start, stop in zip(self.arrays, starts[:-1], starts[1:], strict=True):
            mine = np.flatnonzero((rows >= start) & (rows < stop))
            out[mine] = array[rows[mine] - start]
        return out

    def blocks(self, rows: RowArray | None, size: int = BLOCK_ROWS) -> Iterator[tuple[int, FloatArray]]:
        """Yield blocks of vectors, all or those of ascending `rows`, each with the place of its first among them."""
        if rows is not None:
            for start in range(0, len(rows), size):
                yield start, self.gather(rows[start : start + size])
            return
        for array, first in zip(self.arrays, self.starts, strict=False):
            for start in range(0, len(array), size):
                yield first + start, np.asarray(array[start : start + size])


def exact_nearest(parts: Parts, queries: FloatArray, k: int, rows: RowArray | None = None) -> Found:
    """Return the `k` most similar of the vectors, or of `rows` of them, by comparing all.

    Parameters
    ----------
    parts : Parts
        Unit vectors; memory maps will do.
    queries : ndarray of shape (m, dim), float32
        Unit vectors.
    k : int
        How many.
    rows : ndarray of shape (n,), int64, optional
        Rows that may be found, ascending; all if None.

    Returns
    -------
    rows : ndarray of shape (m, k), int64
        Best first, ties by row; -1 where there are fewer than `k`.
    similarities : ndarray of shape (m, k), float32
        Cosines; -inf where there is no row.

    Notes
    -----
    O(m n dim) time; beside the vectors `BLOCK_ROWS` products a query. At 10 GB a second of memory a query of 384
    dimensions takes .15 µs a vector, reckoned.
    """
    from topicflow.tasks.core.vectors.knn_kernels import keep_best

    best = np.full((len(queries), k), -np.inf, np.float32)
    ids = np.full((len(queries), k), -1, np.int32)
    own = np.arange(len(queries))
    for first, vectors in parts.blocks(rows):
        keep_best(queries @ vectors.T, first, own, best, ids)
    found = ids.astype(np.int64)
    if rows is not None and len(rows):
        found = np.where(found >= 0, rows[np.maximum(found, 0)], -1)
    return found, best


def rank_candidates(
    parts: Parts, queries: FloatArray, candidates: RowArray, k: int, n_threads: int | None = None
) -> Found:
    """Return the `k` best of each query's candidates by float32 products, ties by row.

    Parameters
    ----------
    parts : Parts
        Unit vectors; only the candidates' are read.
    queries : ndarray of shape (m, dim), float32
        Unit vectors.
    candidates : ndarray of shape (m, c), int64
        Rows, -1 for none.
    k : int
        How many; at most c.
    n_threads : int, optional
        Threads; all cores if None.
    """
    from topicflow.tasks.core.vectors.rank_kernels import candidate_products

    products = np.full(candidates.shape, -np.inf, np.float32)

    def block(start: int) -> None:
        stop = start + 64
        for array, first in zip(parts.arrays, parts.starts, strict=False):
            candidate_products(
                np.asarray(array), first, queries[start:stop], candidates[start:stop], products[start:stop]
            )

    if len(queries) <= 64:
        block(0)
    else:
        with ThreadPoolExecutor(n_threads or n_cores()) as pool:
            list(pool.map(block, range(0, len(queries), 64)))
    order = np.lexsort((candidates, -products), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(products, order, 1)
