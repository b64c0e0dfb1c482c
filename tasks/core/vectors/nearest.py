"""Nearest: queries (m, dim) and vectors in parts -> rows (m, k) int64 and similarities (m, k) float32, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import give_back, n_cores

FloatArray = NDArray[np.float32]
RowArray = NDArray[np.int64]
Found = tuple[RowArray, FloatArray]

LARGE_BYTES = 2**31
"""Size of a mapped part whose pages are given back once they are read: smaller ones stay for the next query."""

BLOCK_ROWS = 8192
"""Vectors that queries are compared with at a time: 12 MiB of 384 dimensions."""


@dataclass(frozen=True)
class Parts:
    """Unit vectors in parts with continuous row numbers; a part is the result of a build or an update."""

    arrays: Sequence[FloatArray]

    @property
    def starts(self) -> list[int]:
        """Row at which each part begins, and the total number."""
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
        """Yield blocks of all vectors or those of ascending `rows`, each with the position of its first one."""
        if rows is not None:
            for start in range(0, len(rows), size):
                yield start, self.gather(rows[start : start + size])
            return
        for array, first in zip(self.arrays, self.starts, strict=False):
            for start in range(0, len(array), size):
                read = array[start : start + size]
                yield first + start, np.asarray(read)
                if array.nbytes > LARGE_BYTES:
                    give_back(read)


def exact_nearest(parts: Parts, queries: FloatArray, k: int, rows: RowArray | None = None) -> Found:
    """Return the `k` most similar of the vectors, or of some `rows` of them, by comparing all.

    Parameters
    ----------
    parts : Parts
        Unit vectors; may be memory-mapped.
    queries : ndarray of shape (m, dim), float32
        Unit vectors.
    k : int
        Number of results.
    rows : ndarray of shape (n,), int64, optional
        Rows that may be found, ascending; default all.

    Returns
    -------
    rows : ndarray of shape (m, k), int64
        Best first, ties by row; -1 if there are fewer than `k`.
    similarities : ndarray of shape (m, k), float32
        Cosines; -inf if there is no row.

    Notes
    -----
    O(m n dim) time; `BLOCK_ROWS` products for each query in addition to the vectors. With a memory bandwidth of 10 GB/s
    a query of 384 dimensions should take .15 µs for each vector (computed, not measured).
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
        Unit vectors; only those of candidates are read.
    queries : ndarray of shape (m, dim), float32
        Unit vectors.
    candidates : ndarray of shape (m, c), int64
        Rows, -1 for none.
    k : int
        Number of results; at most c.
    n_threads : int, optional
        Threads; default all cores.
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
