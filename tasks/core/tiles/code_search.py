"""Code search: the nearest of some items to each of some rows, by exact products of int8 codes in tiles.

Products are compared as soon as 32 by 32 of them are there, while they are in the first cache; they are never written
to memory as a matrix.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.lists import compare_block
from topicflow.tasks.core.registers.registers import address, load, store, transpose
from topicflow.tasks.core.tiles.tiles import (
    ROWS,
    SHAPES,
    TILE,
    add_four_code_products,
    clear_sums,
    end_tiles,
    start_tiles,
    store_four_sums,
)

CodeArray = NDArray[np.int8]
IndexArray = NDArray[np.int32]

CODES = 64
"""Codes in a row of a tile; vectors have a multiple of that many dimensions."""

BLOCK = 2 * ROWS
"""Rows, and items, whose products are computed together."""

PANEL = 512
"""Items packed at a time: with 384 dimensions they take a tenth of the second cache."""


def keep_nearest_in_tiles(
    codes: CodeArray, rows: NDArray[np.int64], items: CodeArray, first: int, best: IndexArray, ids: IndexArray
) -> None:
    """Insert the products of rows and items into the best of each row; see `integer_products.keep_nearest`."""
    codes, items = np.ascontiguousarray(codes), np.ascontiguousarray(items)  # the kernel reads by address
    n_last, dim = len(items) % ROWS, items.shape[1]
    tail = np.zeros((ROWS, dim), np.int8)
    tail[:n_last] = items[len(items) - n_last :]
    room = np.empty((min(PANEL, len(items)) + 2 * BLOCK) * dim + 64, np.uint8)
    _keep_nearest(codes, rows, items, tail, first, best, ids, room, SHAPES)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _pack(items: CodeArray, tail: CodeArray, begin: int, end: int, panel: int) -> None:
    """Write items as right tiles: blocks of 32 items, two tiles for each 64 dimensions."""
    dim = items.shape[1]
    for at in range(begin, end, ROWS):
        source = address(items) + at * dim if at + ROWS <= len(items) else address(tail)
        for part in range(dim // CODES):
            place = ((at - begin) // BLOCK * (dim // CODES) + part) * 2 + (at - begin) // ROWS % 2
            transpose(source + CODES * part, dim, panel + place * TILE)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _gather(codes: CodeArray, rows: NDArray[np.int64], begin: int, end: int, block: int) -> None:
    """Write rows as left tiles: two tiles for each 64 dimensions."""
    for place in range(end - begin):
        source = address(codes) + rows[begin + place] * codes.shape[1]
        for part in range(codes.shape[1] // CODES):
            target = block + part * 2 * TILE + place // ROWS * TILE + place % ROWS * 64
            store(target, load(source + CODES * part))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _keep_nearest(
    codes: CodeArray,
    rows: NDArray[np.int64],
    items: CodeArray,
    tail: CodeArray,
    first: int,
    best: IndexArray,
    ids: IndexArray,
    room: NDArray[np.uint8],
    shapes: NDArray[np.uint8],
) -> None:
    """Do the work of `keep_nearest_in_tiles`; `tail` has the last items, with zeros behind them."""
    dim, n_items, last = items.shape[1], len(items), best.shape[1] - 1
    depth = dim // CODES
    block = (address(room) + 63) // 64 * 64
    panel = block + BLOCK * dim
    sums, bars = np.empty((BLOCK, BLOCK), np.int32), np.empty(BLOCK, np.int32)
    start_tiles(address(shapes))
    for begin in range(0, n_items, PANEL):
        end = min(n_items, begin + PANEL)
        _pack(items, tail, begin, end, panel)
        for at in range(0, len(rows), BLOCK):
            stop = min(len(rows), at + BLOCK)
            _gather(codes, rows, at, stop, block)
            for place in range(stop - at):
                bars[place] = best[rows[at + place], last]
            for column in range(begin, end, BLOCK):
                right = panel + (column - begin) * dim
                clear_sums()
                for part in range(depth):
                    left = block + part * 2 * TILE
                    add_four_code_products(left, left + TILE, right + part * 2 * TILE)
                store_four_sums(address(sums))
                n_there = min(BLOCK, end - column)
                compare_block(sums, bars, rows, at, stop, n_there, first + column, best, ids)
    end_tiles()
