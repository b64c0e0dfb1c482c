"""Search: the nearest of fitted vectors (n, dim) for new ones (m, dim) -> indices, distances (m, k), cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.core.blocks import here, workers
from tasks.core.cells import (
    BLOCK_ROWS,
    NONE,
    Cells,
    CodeArray,
    FloatArray,
    IndexArray,
    centroids_of,
    code_scale,
    encode,
    fill_cells,
    nearest_cells,
    search_cells,
)
from tasks.core.equals import EqualRows, equal_rows, rank, row_hashes

CELL_ROWS = 256
"""Distinct fitted rows of a cell, in the mean."""

N_PROBE = 20
"""Nearest cells that a query is compared with."""


@dataclass(frozen=True)
class CellIndex:
    """Fitted vectors as cells: arrays alone, so that it can be kept as an artifact.

    Attributes
    ----------
    scale : ndarray of shape (), float64
        int8 steps of one unit.
    centroids : ndarray of shape (n_cells, dim), int8
    cell_offsets : ndarray of shape (n_cells + 1,), int64
        Where each cell begins in `order` and `codes`.
    order : ndarray of shape (n_groups,), int32
        Groups of equal rows by cell.
    codes : ndarray of shape (n_groups, dim), int8
    group : ndarray of shape (n,), int32
        Group of each fitted row.
    group_offsets : ndarray of shape (n_groups + 1,), int64
        Where each group begins in `members`.
    members : ndarray of shape (n,), int32
        Fitted rows by group.
    hashes : ndarray of shape (n_groups,), uint64
        Ascending hashes of the groups' bits: equal vectors are found by them, for certain.
    hashed_group : ndarray of shape (n_groups,), int32
        Group of each hash.
    """

    scale: NDArray[np.float64]
    centroids: CodeArray
    cell_offsets: NDArray[np.int64]
    order: IndexArray
    codes: CodeArray
    group: IndexArray
    group_offsets: NDArray[np.int64]
    members: IndexArray
    hashes: NDArray[np.uint64]
    hashed_group: IndexArray


def cell_index(fitted: FloatArray, seed: int, n_threads: int | None = None) -> CellIndex:
    """Return the cells of fitted unit vectors (n, dim); O(n^2 / `CELL_ROWS`) int8 products, dim + 16 bytes a row."""
    with workers(n_threads) as run:
        equal = equal_rows(fitted, run)
        scale = code_scale(fitted, seed)
        codes = np.concatenate(
            run(
                lambda start, stop: encode(fitted[equal.first_rows(start, stop)], scale),
                equal.n_groups,
                BLOCK_ROWS,
            )
        )
        centroids = centroids_of(codes, max(1, len(codes) // CELL_ROWS), seed, run)
        near = nearest_cells(codes, centroids, 1, run)
        cells, _ = fill_cells(codes, centroids, near, len(codes))
        hashes = row_hashes(fitted, run)[equal.first_rows(0, equal.n_groups)]
        by_hash = np.argsort(hashes, kind="stable")
    return CellIndex(
        np.asarray(scale),
        cells.centroids,
        cells.offsets,
        cells.order,
        cells.codes,
        equal.group,
        equal.offsets,
        equal.members,
        hashes[by_hash],
        by_hash.astype(np.int32),
    )


def search_neighbors(
    fitted: FloatArray,
    queries: FloatArray,
    k: int,
    seed: int = 0,
    n_threads: int | None = None,
    n_probe: int = N_PROBE,
    index: CellIndex | None = None,
) -> tuple[IndexArray, FloatArray]:
    """Return about the `k` nearest fitted vectors of each query.

    Parameters
    ----------
    fitted : ndarray of shape (n, dim), float32
        Unit vectors.
    queries : ndarray of shape (m, dim), float32
        Unit vectors; a memory map will do.
    k : int
        Neighbours of each query; at most n.
    seed : int
        Seed of the cells.
    n_threads : int, optional
        Threads; all cores if None. Their number changes no bit of the result.
    n_probe : int
        Nearest cells that each query is compared with.
    index : CellIndex, optional
        What `cell_index(fitted, seed)` returned; made here if not given.

    Returns
    -------
    indices : ndarray of shape (m, k), int32
        Fitted rows.
    distances : ndarray of shape (m, k), float32
        Cosine distances, ascending, ties by index. A query that equals a fitted vector finds it first, at 0.

    Notes
    -----
    O(m `n_probe` `CELL_ROWS` dim) int8 products; beside the vectors and the result, `BLOCK_ROWS` queries' products
    a thread. A query whose cells hold too few rows is compared with all.

    References
    ----------
    Jégou, Douze, Schmid: Product quantization for nearest neighbor search (TPAMI 2011), section IV.
    """
    index = cell_index(fitted, seed, n_threads) if index is None else index
    equal = EqualRows(index.group, index.group_offsets, index.members)
    indices = np.empty((len(queries), k), np.int32)
    distances = np.empty((len(queries), k), np.float32)

    def block(start: int, stop: int) -> None:
        asked = np.ascontiguousarray(queries[start:stop])
        candidates = _candidates(asked, index, k + max(4, k // 2), n_probe)
        sizes = np.where(candidates >= 0, np.diff(equal.offsets)[candidates], 0)
        few = np.flatnonzero(sizes.sum(axis=1) < k)
        slot = np.arange(len(asked))
        enough = np.delete(slot, few)
        indices[start + enough], distances[start + enough] = rank(
            fitted, asked[enough], candidates, enough, equal, k, here
        )
        every = np.arange(equal.n_groups, dtype=np.int32)[None]
        for row in few.tolist():
            indices[start + row], distances[start + row] = rank(
                fitted, asked[row : row + 1], every, slot[:1], equal, k, here
            )

    with workers(n_threads) as run:
        run(block, len(queries), BLOCK_ROWS)
    return indices, distances


def _candidates(queries: FloatArray, index: CellIndex, n_kept: int, n_probe: int) -> IndexArray:
    """Return the groups (m, n_kept + 1) that are nearest by code, and the one with the same bits; -1 = none."""
    cells = Cells(index.centroids, index.cell_offsets, index.order, index.codes)
    codes = encode(queries, float(index.scale))
    probes = nearest_cells(codes, cells.centroids, min(n_probe, len(cells.centroids)), here)
    best = np.full((len(codes), n_kept), NONE, np.int32)
    ids = np.full((len(codes), n_kept), -1, np.int32)
    search_cells(codes, probes, cells, best, ids)
    found = np.where(ids >= 0, cells.order[ids], -1)
    hashes = row_hashes(queries, here)
    at = np.minimum(np.searchsorted(index.hashes, hashes), len(index.hashes) - 1)
    same = np.where(index.hashes[at] == hashes, index.hashed_group[at], -1)[:, None]
    return np.concatenate([same, np.where(found == same, -1, found)], axis=1)
