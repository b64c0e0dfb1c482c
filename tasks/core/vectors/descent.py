"""Descent: unit vectors (n, dim) -> about the k nearest of each row, by cells and by neighbours of neighbours."""

from __future__ import annotations

import numpy as np

from topicflow.tasks.core.vectors.blocks import Workers
from topicflow.tasks.core.vectors.cells import (
    BLOCK_ROWS,
    LARGEST,
    NONE,
    Cells,
    FloatArray,
    IndexArray,
    centroids_of,
    code_scale,
    encode,
    fill_cells,
    nearest_cells,
    search_cells,
)
from topicflow.tasks.core.vectors.equals import EqualRows, equal_rows, rank
from topicflow.tasks.core.vectors.integer_products import code_workers

CELL_ROWS = 256
"""Rows in a cell, up to a million rows."""

MOST_CELLS = 4096
"""Above a million rows the cells grow instead, so that finding a row's cell stays cheap."""

LEAST_PROBES, PROBES, PROBES_POWER = 10, 2.2, 0.3
"""Nearest cells that each row is compared with: `PROBES` times the number of cells to `PROBES_POWER`, and no fewer than
`LEAST_PROBES`. With a fixed number recall falls as rows become more: by .017 from 60,000 to 250,000 titles."""

WIDTH = 22
"""Neighbours, and rows that have a row as neighbour, whose neighbours are compared."""

MAX_ROUNDS = 4
STILL = 0.08
"""Rounds end when fewer than this share of the lists' entries are new."""


def descent_neighbors(
    vectors: FloatArray, k: int, seed: int, n_threads: int | None = None, equal: EqualRows | None = None
) -> tuple[IndexArray, FloatArray]:
    """Return about the `k` nearest rows of each row, itself first.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit vectors; may be memory-mapped.
    k : int
        Neighbours of each row, including the row itself; at most n.
    seed : int
        Seed of the cells.
    n_threads : int, optional
        Threads; default all cores. The result does not depend on their number.
    equal : EqualRows, optional
        The result of `equal_rows(vectors)`, if the caller has it.

    Returns
    -------
    indices : ndarray of shape (n, k), int32
    distances : ndarray of shape (n, k), float32
        Cosine distances, ascending, ties by index; equal rows are at exactly 0.

    Notes
    -----
    Equal rows count as one item. Each item is compared with its `n_probe` nearest cells by int8 products and keeps half
    as many again as requested. Then each round compares it with the neighbours of its neighbours, and of the rows that
    have it as neighbour, in the lists of the previous round, while that finds new ones; items in cells that it was
    compared with are not compared again. The kept items are ranked in float32.
    About O(n^1.3) time at a given size of cells, plus O(n^2) with a small constant up to a million rows for finding the
    cells; dim + 18 k + 4 (`WIDTH` + `n_probe` + 1) bytes for each row in addition to the vectors.

    References
    ----------
    Dong, Moses, Li: Efficient k-nearest neighbor graph construction for generic similarity measures (WWW 2011);
    Jégou, Douze, Schmid: Product quantization for nearest neighbor search (TPAMI 2011), section IV for the cells.
    """
    with code_workers(vectors.shape[1], n_threads) as run:
        equal = equal_rows(vectors, run) if equal is None else equal
        candidates, order = _candidates(vectors, equal, k + k // 2, seed, run)
        visit = np.argsort(np.argsort(order)[equal.group], kind="stable")
        return rank(vectors, vectors, candidates, equal.group, equal, k, run, np.arange(len(vectors)), visit)


def n_probe(n_cells: int) -> int:
    """Return with how many of its nearest cells a row is compared."""
    wanted: int = round(PROBES * float(n_cells) ** PROBES_POWER)
    return min(n_cells, max(LEAST_PROBES, wanted))


def _candidates(
    vectors: FloatArray, equal: EqualRows, n_kept: int, seed: int, run: Workers
) -> tuple[IndexArray, IndexArray]:
    """Return the candidate groups (n_groups, n_kept) of each group, -1 = none, and the groups in cell order."""
    scale = code_scale(vectors, seed)
    codes = np.concatenate(
        run(lambda a, b: encode(vectors[equal.first_rows(a, b)], scale), equal.n_groups, BLOCK_ROWS)
    )
    n_cells = min(MOST_CELLS, max(1, len(codes) // CELL_ROWS))
    centroids = centroids_of(codes, n_cells, seed, run)
    near = nearest_cells(codes, centroids, n_probe(len(centroids)), run)
    cells, probes = fill_cells(codes, centroids, near, LARGEST * max(CELL_ROWS, len(codes) // n_cells))
    del codes, near
    best = np.full((len(probes), n_kept), NONE, np.int32)
    ids = np.full((len(probes), n_kept), -1, np.int32)

    def search(start: int, stop: int) -> None:
        search_cells(cells.codes[start:stop], probes[start:stop], cells, best[start:stop], ids[start:stop])

    run(search, len(probes), BLOCK_ROWS)
    ids = _descended(cells, probes, best, ids, run)
    candidates = np.empty_like(ids)
    candidates[cells.order] = np.where(ids >= 0, cells.order[ids], -1)
    return candidates, cells.order


def _descended(
    cells: Cells, probes: IndexArray, best: IndexArray, ids: IndexArray, run: Workers
) -> IndexArray:
    """Return the lists (n, kept) after rounds of comparing with the neighbours of neighbours."""
    from topicflow.tasks.core.vectors.knn_kernels import descend, reverse_lists

    n, n_kept = ids.shape
    n_cells = len(cells.centroids)  # the last ones may be empty
    cell = np.repeat(np.arange(n_cells, dtype=np.int32), np.diff(cells.offsets))
    width = min(n_kept, WIDTH)
    fresh = np.ones(ids.shape, np.bool_)
    for _ in range(MAX_ROUNDS):
        reverse, counts = np.empty((n, width), np.int32), np.zeros(n, np.int32)
        reverse_lists(ids, width, reverse, counts)
        old_ids, old_fresh = ids, fresh
        ids, fresh = old_ids.copy(), np.zeros_like(old_fresh)

        def block(
            start: int,
            stop: int,
            old: tuple[IndexArray, object] = (old_ids, old_fresh),
            named: tuple[IndexArray, IndexArray] = (reverse, counts),
            new: tuple[IndexArray, object] = (ids, fresh),
        ) -> int:
            return int(
                descend(cells.codes, start, stop, cell, n_cells, probes, *old, *named, width, best, *new)
            )

        if sum(run(block, n, BLOCK_ROWS)) < STILL * ids.size:
            break
    return ids
