"""Search: fitted vectors (n, dim) and new ones (m, dim) -> nearest fitted ones: indices and distances (m, k), by cells.

If the neighbours of the fitted vectors are known, a query searches a few cells and continues along the neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers, here
from topicflow.tasks.core.vectors.cells import (
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
from topicflow.tasks.core.vectors.equals import EqualRows, equal_rows, row_hashes
from topicflow.tasks.core.vectors.integer_products import code_workers

CELL_ROWS = 256
"""Mean number of distinct fitted rows in a cell."""

N_PROBE = 20
"""Nearest cells that a query is compared with if the index has no links."""

N_PROBE_LINKED = 8
"""The same if the index has links: following them finds rows in other cells."""

N_STEPS = 8
"""Nearest fitted rows found so far whose links a query follows."""

SORTED_ROWS = 2**17
"""Queries sorted by nearest cell at a time: 50 MB of codes; adjacent queries read the same memory."""


@dataclass(frozen=True)
class CellIndex:
    """Fitted vectors in cells; consists only of arrays, so that it can be stored as an artifact.

    Attributes
    ----------
    scale : ndarray of shape (), float64
        int8 steps of one unit.
    centroids : ndarray of shape (n_cells, dim), int8
    cell_offsets : ndarray of shape (n_cells + 1,), int64
        Start of each cell in `order` and `codes`.
    order : ndarray of shape (n_groups,), int32
        Groups of equal rows by cell.
    codes : ndarray of shape (n_groups, dim), int8
    group : ndarray of shape (n,), int32
        Group of each fitted row.
    group_offsets : ndarray of shape (n_groups + 1,), int64
        Start of each group in `members`.
    members : ndarray of shape (n,), int32
        Fitted rows by group.
    hashes : ndarray of shape (n_groups,), uint64
        Ascending hashes of the groups' bits; a query always finds equal vectors by its hash.
    hashed_group : ndarray of shape (n_groups,), int32
        Group of each hash.
    links : ndarray of shape (n_groups, n_links), int32
        Positions in `order` of the neighbours of each position; n_links is 0 without a neighbour graph.
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
    links: IndexArray


def cell_index(
    fitted: FloatArray, seed: int, n_threads: int | None = None, neighbors: IndexArray | None = None
) -> CellIndex:
    """Return the cells of fitted unit vectors (n, dim), with links along their `neighbors` (n, k) if not None.

    O(n^2 / `CELL_ROWS`) int8 products, dim + 16 + 4 k bytes for each row.
    """
    with code_workers(fitted.shape[1], n_threads) as run:
        hashes = row_hashes(fitted, run)
        equal = equal_rows(fitted, run, hashes)
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
        hashes = hashes[equal.first_rows(0, equal.n_groups)]
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
        _links(equal, cells.order, neighbors),
    )


def _links(equal: EqualRows, order: IndexArray, neighbors: IndexArray | None) -> IndexArray:
    """Return the positions in `order` (n_groups, k) of the neighbours of the group at each position."""
    if neighbors is None:
        return np.empty((len(order), 0), np.int32)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    linked: IndexArray = place[equal.group[neighbors[equal.first_rows(0, equal.n_groups)]]]
    return linked[order]


def search_neighbors(
    fitted: FloatArray,
    queries: FloatArray,
    k: int,
    seed: int = 0,
    n_threads: int | None = None,
    n_probe: int | None = None,
    index: CellIndex | None = None,
) -> tuple[IndexArray, FloatArray]:
    """Return about the `k` nearest fitted vectors of each query.

    Parameters
    ----------
    fitted : ndarray of shape (n, dim), float32
        Unit vectors.
    queries : ndarray of shape (m, dim), float32
        Unit vectors; may be memory-mapped.
    k : int
        Neighbours of each query; at most n.
    seed : int
        Seed of the cells.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.
    n_probe : int, optional
        Nearest cells that each query is compared with; default `N_PROBE`, or `N_PROBE_LINKED` with links.
    index : CellIndex, optional
        The result of `cell_index(fitted, seed)`; computed here if None.

    Returns
    -------
    indices : ndarray of shape (m, k), int32
        Fitted rows.
    distances : ndarray of shape (m, k), float32
        Cosine distances, ascending, ties by index. A query that equals a fitted vector finds that one first, at
        distance 0.

    Notes
    -----
    O(m (`n_probe` `CELL_ROWS` + `N_STEPS` n_links) dim) int8 products. Memory in addition to the vectors and the
    result: the codes of `SORTED_ROWS` queries, and the products of `BLOCK_ROWS` queries for each thread. A query whose
    cells have too few rows is compared with all.

    References
    ----------
    Jégou, Douze, Schmid: Product quantization for nearest neighbor search (TPAMI 2011), section IV. Following a graph
    from the rows found in cells: Iwasaki, Miyazaki: Optimization of indexing based on k-nearest neighbor graph (2018).
    """
    index = cell_index(fitted, seed, n_threads) if index is None else index
    if n_probe is None:
        n_probe = N_PROBE_LINKED if index.links.size else N_PROBE
    indices = np.empty((len(queries), k), np.int32)
    distances = np.empty((len(queries), k), np.float32)
    with code_workers(fitted.shape[1], n_threads) as run:
        for start in range(0, len(queries), SORTED_ROWS):
            some = slice(start, start + SORTED_ROWS)
            _search_sorted(fitted, queries[some], index, n_probe, indices[some], distances[some], run)
    return indices, distances


def _search_sorted(
    fitted: FloatArray,
    queries: FloatArray,
    index: CellIndex,
    n_probe: int,
    indices: IndexArray,
    distances: FloatArray,
    run: Workers,
) -> None:
    """Write the nearest fitted vectors (m, k) of the queries, in the order of the queries' nearest cells."""
    from topicflow.tasks.core.vectors.knn_kernels import rank_candidates

    k, sizes = indices.shape[1], np.diff(index.group_offsets)
    every, none = np.arange(len(sizes), dtype=np.int32), np.full(len(queries), -1)
    codes = np.empty(queries.shape, np.int8)
    probes = np.empty((len(queries), min(n_probe, len(index.centroids))), np.int32)
    same = np.empty(len(queries), np.int32)

    def find_cells(start: int, stop: int) -> None:
        asked = queries[start:stop]
        codes[start:stop] = encode(asked, float(index.scale))
        probes[start:stop] = nearest_cells(codes[start:stop], index.centroids, probes.shape[1], here)
        same[start:stop] = _same_bits(asked, index)

    def find_rows(start: int, stop: int) -> None:
        rows = order[start:stop]
        found = _candidates(codes[rows], probes[rows], index, k + max(4, k // 2))
        own = same[rows, None]
        candidates = np.concatenate([own, np.where(found == own, -1, found)], axis=1)
        few = np.where(candidates >= 0, sizes[candidates], 0).sum(axis=1) < k
        rank_rows(rows[~few], candidates[~few])
        for row in rows[few]:
            rank_rows(row[None], every[None])

    def rank_rows(asked: NDArray[np.int64], among: IndexArray) -> None:
        rank_candidates(
            fitted, queries, asked, none, among, index.group_offsets, index.members, indices, distances
        )

    run(find_cells, len(queries), BLOCK_ROWS)
    order = np.argsort(probes[:, 0], kind="stable")
    run(find_rows, len(queries), BLOCK_ROWS)


def _same_bits(queries: FloatArray, index: CellIndex) -> IndexArray:
    """Return the group (m,) of the fitted rows with the same bits as each query; -1 = none."""
    hashes = row_hashes(queries, here)
    at = np.minimum(np.searchsorted(index.hashes, hashes), len(index.hashes) - 1)
    found: IndexArray = np.where(index.hashes[at] == hashes, index.hashed_group[at], np.int32(-1))
    return found


def _candidates(codes: CodeArray, probes: IndexArray, index: CellIndex, n_kept: int) -> IndexArray:
    """Return the groups (m, n_kept) that are nearest by code; -1 = none."""
    from topicflow.tasks.core.vectors.knn_kernels import walk

    cells = Cells(index.centroids, index.cell_offsets, index.order, index.codes)
    best = np.full((len(codes), n_kept), NONE, np.int32)
    ids = np.full((len(codes), n_kept), -1, np.int32)
    search_cells(codes, probes, cells, best, ids)
    if index.links.size:
        cell_of = np.repeat(np.arange(len(index.centroids), dtype=np.int32), np.diff(index.cell_offsets))
        walk(codes, index.codes, index.links, cell_of, probes, N_STEPS, best, ids)
    return np.where(ids >= 0, cells.order[ids], -1)
