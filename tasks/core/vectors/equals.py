"""Equals: rows with the same bits are one item of a search; candidates are then ranked in float32, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers, gathered, give_back

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]

BLOCK_ROWS = 8192

FEW_BYTES = 2**28
"""Vectors of rows with a shared hash that are copied from a mapped file before they are compared."""


@dataclass(frozen=True)
class EqualRows:
    """Groups of equal rows: group (n,) of each row, offsets (n_groups + 1,) into members (n,), sorted in a group.

    Groups are numbered by their first row.
    """

    group: IndexArray
    offsets: NDArray[np.int64]
    members: IndexArray

    @classmethod
    def all_distinct(cls, n: int) -> EqualRows:
        """Return the groups of `n` rows of which no two are equal."""
        rows = np.arange(n, dtype=np.int32)
        return cls(rows, np.arange(n + 1), rows)

    @property
    def n_groups(self) -> int:
        """Number of distinct rows."""
        return len(self.offsets) - 1

    @property
    def firsts(self) -> IndexArray:
        """First row (n_groups,) of each group, ascending."""
        return self.first_rows(0, self.n_groups)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of rows (n_groups,) in each group."""
        return np.diff(self.offsets)

    def first_rows(self, start: int, stop: int) -> IndexArray:
        """Return the first row of each group from `start` up to `stop`."""
        return self.members[self.offsets[start:stop]]


def equal_rows(vectors: FloatArray, run: Workers, hashes: NDArray[np.uint64] | None = None) -> EqualRows:
    """Return the groups of rows (n, dim) with the same bits; O(n dim) time, 30 bytes for each row.

    `hashes` (n,) are the result of `row_hashes`, computed here if None.
    """
    hashes = row_hashes(vectors, run) if hashes is None else hashes
    order = np.argsort(hashes, kind="stable")
    as_next = hashes[order[:-1]] == hashes[order[1:]]
    shared = np.append(as_next, False) | np.append(False, as_next) if len(order) else np.empty(0, bool)
    first = np.arange(len(vectors), dtype=np.int32)
    if shared.any():  # rows with a unique hash are not read again, which matters for files larger than memory
        _find_first(vectors, order[shared], hashes, first)
    firsts = np.flatnonzero(first == np.arange(len(first)))
    group = np.searchsorted(firsts, first).astype(np.int32)
    members = np.argsort(group, kind="stable").astype(np.int32)
    offsets = np.searchsorted(group[members], np.arange(len(firsts) + 1)).astype(np.int64)
    return EqualRows(group, offsets, members)


def _find_first(
    vectors: FloatArray, rows: NDArray[np.int64], hashes: NDArray[np.uint64], first: IndexArray
) -> None:
    """Write to `first` (n,) the lowest row with the same bits as each of the rows, which are sorted by their hash.

    Rows of a mapped file lie anywhere in it, and reading 6,000 of ten million there mapped 2.2 GB: few are copied.
    """
    from topicflow.tasks.core.vectors.knn_kernels import first_equal

    n_bytes = len(rows) * vectors.shape[1] * vectors.itemsize
    if not isinstance(vectors, np.memmap) or n_bytes > FEW_BYTES:
        first_equal(np.asarray(vectors).view(np.uint32), rows, hashes, first)
        give_back(vectors)
        return
    found = np.arange(len(rows), dtype=np.int32)
    first_equal(gathered(vectors, rows).view(np.uint32), np.arange(len(rows)), hashes[rows], found)
    first[rows] = rows[found]


def row_hashes(vectors: FloatArray, run: Workers) -> NDArray[np.uint64]:
    """Return a hash (n,) of the bits of each row (n, dim)."""
    from topicflow.tasks.core.vectors.knn_kernels import hash_rows

    words = np.asarray(vectors).view(np.uint32)
    hashes = np.empty(len(vectors), np.uint64)

    def block(start: int, stop: int) -> None:
        hash_rows(words[start:stop], hashes[start:stop])
        give_back(vectors[start:stop])

    run(block, len(vectors), BLOCK_ROWS)
    return hashes


def rank(
    vectors: FloatArray,
    queries: FloatArray,
    candidates: IndexArray,
    slot: NDArray[np.integer],
    equal: EqualRows,
    k: int,
    run: Workers,
    own: NDArray[np.int64] | None = None,
    visit: NDArray[np.int64] | None = None,
) -> tuple[IndexArray, FloatArray]:
    """Return the `k` nearest candidates of each query (m, k), distances ascending, ties by index.

    Parameters
    ----------
    vectors, queries : ndarray of shape (n, dim) and (m, dim), float32
        Unit vectors.
    candidates : ndarray of shape (n_lists, kept), int32
        Groups of equal rows; -1 = none. A list has at least k rows, including those equal to the query.
    slot : ndarray of shape (m,), integer
        The list of each query.
    equal : EqualRows
        Equal rows of `vectors`.
    k : int
    run : Workers
    own : ndarray of shape (m,), int64, optional
        The row of `vectors` that each query is. It comes first, then the rows equal to it.
    visit : ndarray of shape (m,), int64, optional
        Order of the work: successive queries with the same candidates find them in the CPU's cache.

    Returns
    -------
    indices : ndarray of shape (m, k), int32
    distances : ndarray of shape (m, k), float32
        Half the squared difference, which for unit vectors is the cosine distance; exactly 0 for equal rows.
    """
    from topicflow.tasks.core.vectors.knn_kernels import rank_candidates

    indices = np.empty((len(queries), k), np.int32)
    distances = np.empty((len(queries), k), np.float32)
    visit = np.arange(len(queries)) if visit is None else visit
    itself = np.full(len(queries), -1) if own is None else own

    def block(start: int, stop: int) -> None:
        visited = visit[start:stop]
        asked = candidates[slot[visited]]
        if own is not None:
            group = equal.group[own[visited]][:, None]
            asked = np.concatenate([group, np.where(asked == group, -1, asked)], axis=1)
        rank_candidates(
            vectors, queries, visited, itself, asked, equal.offsets, equal.members, indices, distances
        )

    run(block, len(queries), BLOCK_ROWS)
    return indices, distances
