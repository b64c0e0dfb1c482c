"""Cells: unit vectors as int8 codes, sorted into cells around seeded centroids, and a search of the cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers
from topicflow.tasks.core.vectors.integer_products import keep_nearest

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int32]
CodeArray = NDArray[np.int8]

BLOCK_ROWS = 8192
"""Rows searched at a time: enough to fill each product, and 100,000 rows are 12 blocks for the threads."""

ROUNDS = 4
"""Rounds of k-means. The cells must be compact; they need not converge."""

SAMPLE_PER_CELL = 24
"""Items for each cell in the sample of k-means."""

LARGEST = 8
"""A cell with more than this many times the mean size is cut into pieces, so that no product grows with n^2."""

NONE = np.iinfo(np.int32).min


@dataclass(frozen=True)
class Cells:
    """Items sorted by cell: centroids (n_cells, dim) int8, offsets (n_cells + 1,), order and codes in cell order."""

    centroids: CodeArray
    offsets: NDArray[np.int64]
    order: IndexArray
    codes: CodeArray


def code_scale(vectors: FloatArray, seed: int) -> float:
    """Return the int8 steps of one unit: all but 1 in 10,000 components of a sample fit into 127 steps."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:4096])
    largest = float(np.quantile(np.abs(vectors[rows]), 0.9999))
    return 127.0 / max(largest, 1e-6)


def encode(vectors: FloatArray, scale: float) -> CodeArray:
    """Return vectors (n, dim) as int8 codes, in rows whatever the order of the vectors in memory.

    Notes
    -----
    For 384 dimensions the error of a similarity is about .0008, and the fifteenth and sixteenth neighbour of an
    arXiv title differ by .003. Candidates are therefore ranked again in float32.
    """
    steps: FloatArray = np.rint(vectors * np.float32(scale))
    np.clip(steps, -127, 127, out=steps)
    return steps.astype(np.int8, order="C")


def nearest_cells(codes: CodeArray, centroids: CodeArray, n_probe: int, run: Workers) -> IndexArray:
    """Return the `n_probe` nearest centroids (n, n_probe) of each code, nearest first."""
    near = np.empty((len(codes), n_probe), np.int32)

    def block(start: int, stop: int) -> None:
        best = np.full((stop - start, n_probe), NONE, np.int32)
        keep_nearest(codes[start:stop], np.arange(stop - start), centroids, 0, best, near[start:stop])

    run(block, len(codes), max(256, min(BLOCK_ROWS, 2**17 // len(centroids))))
    return near


def centroids_of(codes: CodeArray, n_cells: int, seed: int, run: Workers) -> CodeArray:
    """Return up to `n_cells` centroids (n_cells, dim) by spherical k-means on a sample; near centroids are adjacent."""
    from topicflow.tasks.core.vectors.knn_kernels import add_to_cells

    rng = np.random.default_rng(seed)
    sample = codes[rng.permutation(len(codes))[: SAMPLE_PER_CELL * n_cells]]
    centroids = sample[:n_cells]
    for _ in range(ROUNDS):
        cell = nearest_cells(sample, centroids, 1, run)[:, 0]
        sums = np.zeros(centroids.shape, np.int64)
        add_to_cells(sample, cell, sums)
        empty = np.bincount(cell, minlength=n_cells) == 0
        sums[empty] = centroids[empty]
        units = sums / np.maximum(1e-9, np.linalg.norm(sums, axis=1, keepdims=True))
        centroids = np.rint(units * (127.0 / np.abs(units).max(initial=1e-9))).astype(np.int8)
    centroids = np.unique(
        centroids, axis=0
    )  # many equal items give equal centroids: all but one would be empty cells
    if len(centroids) > 64:  # adjacent rows then probe the same cells: larger products, better caching
        groups = centroids_of(centroids, round(len(centroids) ** 0.5), seed, run)
        group = nearest_cells(centroids, groups, 1, run)[:, 0]
        centroids = np.ascontiguousarray(centroids[np.argsort(group, kind="stable")])
    return centroids


def fill_cells(
    codes: CodeArray, centroids: CodeArray, near: IndexArray, largest: int
) -> tuple[Cells, IndexArray]:
    """Return the items sorted by nearest cell, and the cells that each of them, in that order, probes.

    Parameters
    ----------
    codes : ndarray of shape (n, dim), int8
        The items.
    centroids : ndarray of shape (n_cells, dim), int8
        The result of `centroids_of`.
    near : ndarray of shape (n, n_probe), int32
        Nearest cells of each item.
    largest : int
        Maximum number of items in a cell. A larger cell is cut into pieces with the same centroid, and items that would
        probe it probe one of its pieces.
    """
    n_cells = len(centroids)
    order = np.argsort(near[:, 0], kind="stable").astype(np.int32)
    near = near[order]
    sizes = np.bincount(near[:, 0], minlength=n_cells)
    pieces = np.maximum(1, -(-sizes // largest))
    first = np.concatenate([[0], np.cumsum(pieces)])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    piece_of_cell = np.repeat(np.arange(n_cells), pieces)
    nth = np.arange(first[-1]) - first[piece_of_cell]
    offsets = np.append(
        starts[piece_of_cell] + nth * sizes[piece_of_cell] // pieces[piece_of_cell], len(codes)
    )
    probes = first[near] + np.arange(len(near))[:, None] % pieces[near]
    probes[:, 0] = np.searchsorted(offsets, np.arange(len(near)), side="right") - 1  # the item's own piece
    cells = Cells(centroids[piece_of_cell], offsets, order, codes[order])
    return cells, probes.astype(np.int32)


def search_cells(
    codes: CodeArray, probes: IndexArray, cells: Cells, best: IndexArray, ids: IndexArray
) -> None:
    """Write the best products and positions (m, kept), in cell order, of codes (m, dim) in the cells that they probe.

    Notes
    -----
    All codes that probe a cell are multiplied with it in one product.
    """
    turns = probes + np.int32(len(cells.centroids))
    turns[:, 0] = probes[:, 0]  # nearest cells first: they raise the threshold for the others
    by_turn = np.argsort(turns, axis=None, kind="stable")
    rows = (by_turn // probes.shape[1]).astype(np.int64)
    cell = probes.ravel()[by_turn]
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    stops = np.append(starts[1:], len(cell))
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        first, last = cells.offsets[cell[start]], cells.offsets[cell[start] + 1]
        if first == last:
            continue
        keep_nearest(codes, rows[start:stop], cells.codes[first:last], int(first), best, ids)
