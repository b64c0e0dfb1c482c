"""Code search: exact products of int8 codes by VNNI, and the nearest of some items to each of some rows.

A search compares products as soon as those of twelve rows and 32 items are there, while they are in the first cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.integers.sums import LANES, PANEL_BYTES, ROWS, sum_bytes
from topicflow.tasks.core.registers.lists import compare_block
from topicflow.tasks.core.registers.registers import address, load, store, transpose

CodeArray = NDArray[np.int8]
IndexArray = NDArray[np.int32]

BLOCK = 2 * LANES
"""Items whose products are computed together."""

STEP = 64
"""Codes that are packed together; vectors have a multiple of that many dimensions."""

GROUP = 4
"""Codes that an instruction multiplies and adds to one sum."""

MOST_ITEMS = 512
"""Items packed at a time: with 384 dimensions they take a tenth of the second cache."""

MIDDLE = 128
"""What is added to the codes of rows, which the instruction takes as unsigned."""


def keep_nearest_by_vnni(
    codes: CodeArray, rows: NDArray[np.int64], items: CodeArray, first: int, best: IndexArray, ids: IndexArray
) -> None:
    """Insert the products of rows and items into the best of each row; see `integer_products.keep_nearest`."""
    codes, items = np.ascontiguousarray(codes), np.ascontiguousarray(items)  # the kernel reads by address
    _keep_nearest(codes, rows, items, _tail(items), first, best, ids, _room(items))


def by_vnni(codes: CodeArray, others: CodeArray) -> IndexArray:
    """Return the exact products (m, w) int32 of codes (m, dim) and (w, dim) int8, on one thread."""
    codes, others = _filled(codes), _filled(others)
    products = np.empty((len(codes), len(others)), np.int32)
    _multiply(codes, others, _tail(others), products, _room(others))
    return products


def _filled(codes: CodeArray) -> CodeArray:
    """Return codes (n, dim) in rows, with zeros up to a multiple of `STEP` dimensions."""
    n, dim = codes.shape
    if dim % STEP == 0:
        return np.ascontiguousarray(codes)
    filled = np.zeros((n, -(-dim // STEP) * STEP), np.int8)
    filled[:, :dim] = codes
    return filled


def _tail(items: CodeArray) -> CodeArray:
    """Return the last items that fill no panel, with zeros behind them."""
    n_last = len(items) % LANES
    tail = np.zeros((LANES, items.shape[1]), np.int8)
    tail[:n_last] = items[len(items) - n_last :]
    return tail


def _room(items: CodeArray) -> NDArray[np.uint8]:
    """Return room for the panels of `MOST_ITEMS`."""
    return np.empty((min(MOST_ITEMS, len(items)) + 2 * BLOCK) * items.shape[1] + STEP, np.uint8)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _pack(items: CodeArray, tail: CodeArray, begin: int, end: int, panels: int, starts: IndexArray) -> None:
    """Write items as panels of sixteen, and from where their sums start: minus `MIDDLE` times the sum of the codes."""
    dim = items.shape[1]
    for at in range(begin, end, LANES):
        source = address(items) + at * dim if at + LANES <= len(items) else address(tail)
        for part in range(0, dim, STEP):
            transpose(source + part, dim, panels + (at - begin) * dim + part // GROUP * PANEL_BYTES)
    for at in range(begin, end):
        summed = 0
        for part in range(dim):
            summed += items[at, part]
        starts[at - begin] = -MIDDLE * summed


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _gather(
    codes: CodeArray, rows: NDArray[np.int64], begin: int, end: int, block: NDArray[np.uint8]
) -> None:
    """Write the codes of rows, `MIDDLE` added."""
    for place in range(end - begin):
        row = rows[begin + place]
        for part in range(codes.shape[1]):
            block[place, part] = np.uint8(codes[row, part]) ^ np.uint8(MIDDLE)


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
) -> None:
    """Do the work of `keep_nearest_by_vnni`; `tail` is what `_tail` returns, `room` what `_room` does."""
    dim, n_items, last = items.shape[1], len(items), best.shape[1] - 1
    panels = (address(room) + STEP - 1) // STEP * STEP
    starts = np.zeros(MOST_ITEMS + BLOCK, np.int32)
    block = np.zeros((ROWS, dim), np.uint8)
    sums, bars = np.empty((ROWS, BLOCK), np.int32), np.empty(ROWS, np.int32)
    for begin in range(0, n_items, MOST_ITEMS):
        end = min(n_items, begin + MOST_ITEMS)
        _pack(items, tail, begin, end, panels, starts)
        for at in range(0, len(rows), ROWS):
            stop = min(len(rows), at + ROWS)
            _gather(codes, rows, at, stop, block)
            for place in range(stop - at):
                bars[place] = best[rows[at + place], last]
            for column in range(begin, end, BLOCK):
                right, start = panels + (column - begin) * dim, address(starts) + 4 * (column - begin)
                sum_bytes(address(block), dim, right, LANES * dim, dim // GROUP, start, address(sums))
                n_there = min(BLOCK, end - column)
                compare_block(sums, bars, rows, at, stop, n_there, first + column, best, ids)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _multiply(
    codes: CodeArray, items: CodeArray, tail: CodeArray, products: IndexArray, room: NDArray[np.uint8]
) -> None:
    """Write the products (m, w) of codes (m, dim) and items (w, dim); `dim` is a multiple of `STEP`."""
    dim, n_items, rows = items.shape[1], len(items), np.arange(len(codes))
    panels = (address(room) + STEP - 1) // STEP * STEP
    starts = np.zeros(MOST_ITEMS + BLOCK, np.int32)
    block, sums = np.zeros((ROWS, dim), np.uint8), np.empty((ROWS, BLOCK), np.int32)
    for begin in range(0, n_items, MOST_ITEMS):
        end = min(n_items, begin + MOST_ITEMS)
        _pack(items, tail, begin, end, panels, starts)
        for at in range(0, len(codes), ROWS):
            stop = min(len(codes), at + ROWS)
            _gather(codes, rows, at, stop, block)
            for column in range(begin, end, BLOCK):
                right, start = panels + (column - begin) * dim, address(starts) + 4 * (column - begin)
                sum_bytes(address(block), dim, right, LANES * dim, dim // GROUP, start, address(sums))
                n_columns = min(BLOCK, end - column)
                for place in range(stop - at):
                    target = address(products) + 4 * ((at + place) * n_items + column)
                    if n_columns == BLOCK:
                        store(target, load(address(sums) + 4 * BLOCK * place))
                        store(target + 64, load(address(sums) + 4 * BLOCK * place + 64))
                    else:
                        for number in range(n_columns):
                            products[at + place, column + number] = sums[place, number]
