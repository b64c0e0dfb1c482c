"""Products: tokens in tiles times packed weights, and what follows each product, in one pass.

While tiles multiply one block of 32 rows and 32 columns, registers finish the block before it: bias, GELU, rounding.
Both kinds of instructions run side by side; with GELU, one after the other takes a quarter longer
(tests/benchmarks/README.md).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.functions import gelu
from topicflow.tasks.core.registers.registers import add, aligned, load, store, store_halves
from topicflow.tasks.core.tiles.tiles import ROWS, TILE, WIDTH, add_four_products, clear_sums, store_four_sums

HalfArray = NDArray[np.uint16]
"""bfloat16 by their bits."""

BLOCK = 32
"""Rows and columns of a block of products: two tiles by two."""

BLOCK_BYTES = 4 * BLOCK * BLOCK

DEPTH = 12
"""Tiles of the left side that are multiplied in one pass where products are added to what is there: the weights of a
block's columns then stay in the first cache."""

AS_ROWS, GELU, ADDED = 0, 1, 2
"""What becomes of products: rows of bfloat16; GELU of them, as tiles; or added to rows of float32."""


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _finish(kind: int, source: int, out: int, row: int, column: int, n_out: int, bias: int) -> None:
    """Finish a row of a block: 32 sums at `source`, of a row and of the columns from `column` on."""
    left = add(load(source), load(bias + 4 * column))
    right = add(load(source + 64), load(bias + 4 * column + 64))
    if kind == AS_ROWS:
        place = out + 2 * (row * n_out + column)
        store_halves(place, left)
        store_halves(place + 32, right)
    elif kind == GELU:
        tile = (row // ROWS) * (n_out // WIDTH) + column // WIDTH
        place = out + tile * TILE + (row % ROWS) * 64
        store_halves(place, gelu(left))
        store_halves(place + 32, gelu(right))
    else:
        place = out + 4 * (row * n_out + column)
        store(place, add(load(place), left))
        store(place + 64, add(load(place + 64), right))


@njit(nogil=True)  # type: ignore[untyped-decorator]
def multiply_tiles(
    kind: int,
    left: int,
    weights: int,
    bias: int,
    out: int,
    scratch: int,
    n_rows: int,
    depth: int,
    first: int,
    last: int,
    n_out: int,
) -> None:
    """Multiply the tiles from `first` to `last` of each row of tiles by their weights, and finish the products.

    Parameters
    ----------
    kind : int
        `AS_ROWS`, `GELU` or `ADDED`.
    left, weights, bias, out : int
        Addresses: n_rows / 16 rows of `depth` tiles; what `packed` returns; n_out float32; the result.
    scratch : int
        Address of two blocks of float32.
    n_rows, n_out : int
        Rows and columns of the product, multiples of `BLOCK`.
    """
    n_blocks = n_rows // BLOCK
    n_steps = n_blocks * (n_out // BLOCK)
    length = last - first
    for step in range(n_steps + 1):
        done, columns, begin = 0, (step - 1) // n_blocks * BLOCK, (step - 1) % n_blocks * BLOCK
        before = scratch + (step + 1) % 2 * BLOCK_BYTES
        if step < n_steps:
            row = left + (step % n_blocks * 2 * depth + first) * TILE
            column = weights + (step // n_blocks * depth + first) * 2 * TILE
            clear_sums()
            for at in range(length):
                add_four_products(row + at * TILE, row + (depth + at) * TILE, column + 2 * at * TILE)
                if step > 0:
                    while done * length < (at + 1) * BLOCK:
                        _finish(kind, before + 128 * done, out, begin + done, columns, n_out, bias)
                        done += 1
            store_four_sums(scratch + step % 2 * BLOCK_BYTES)
        else:
            while done < BLOCK:
                _finish(kind, before + 128 * done, out, begin + done, columns, n_out, bias)
                done += 1


@njit(nogil=True)  # type: ignore[untyped-decorator]
def add_products(
    left: int,
    weights: int,
    bias: int,
    zeros: int,
    out: int,
    scratch: int,
    n_rows: int,
    depth: int,
    n_out: int,
) -> None:
    """Add the products of tiles and weights, and the bias, to rows of float32, `DEPTH` tiles at a time."""
    for first in range(0, depth, DEPTH):
        added = bias if first == 0 else zeros
        last = min(depth, first + DEPTH)
        multiply_tiles(ADDED, left, weights, added, out, scratch, n_rows, depth, first, last, n_out)


def halves(values: NDArray[np.float32]) -> HalfArray:
    """Return values as bfloat16, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def packed(weights: NDArray[np.float32]) -> HalfArray:
    """Return weights (n_out, n_in) as right tiles (n_out / 32, n_in / 32, 2, 512); both are multiples of 32."""
    n_out, n_in = weights.shape
    parts = halves(weights).reshape(n_out // BLOCK, 2, ROWS, n_in // WIDTH, WIDTH // 2, 2)
    tiles = aligned((n_out // BLOCK, n_in // WIDTH, 2, TILE // 2), np.uint16)
    tiles[...] = parts.transpose(0, 3, 1, 4, 2, 5).reshape(tiles.shape)
    return tiles
