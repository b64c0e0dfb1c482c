"""Attention: the rows of queries, keys and values of each text -> what each token takes from its text, in tiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.functions import exp2
from topicflow.tasks.core.registers.registers import (
    add,
    address,
    first_lanes,
    largest,
    load,
    maximum,
    multiply,
    multiply_add,
    pair_rows,
    spread,
    store_halves,
    total,
    transpose,
)
from topicflow.tasks.core.tiles.products import HalfArray
from topicflow.tasks.core.tiles.tiles import (
    ROWS,
    TILE,
    WIDTH,
    add_one_product,
    add_two_products,
    clear_sums,
    store_one_sum,
    store_two_sums,
)

LOG2_E = np.float32(1.4426950408889634)
_LOW, _ZERO = np.float32(-1e30), np.float32(0.0)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _shares(scores: int, shares: int, n_keys: int, factor: np.float32) -> Any:  # noqa: ANN401
    """Write 2^(factor (score - largest)) of a row's keys as bfloat16 in tiles; return one divided by their sum."""
    last = (n_keys - 1) // ROWS
    n_last = n_keys - last * ROWS
    most = first_lanes(load(scores + last * 64), n_last, spread(_LOW))
    for part in range(last):
        most = maximum(most, load(scores + part * 64))
    scale, shift = spread(factor), spread(-factor * largest(most))
    summed = spread(_ZERO)
    for part in range(last):
        share = exp2(multiply_add(load(scores + part * 64), scale, shift))
        summed = add(summed, share)
        store_halves(shares + part // 2 * TILE + part % 2 * 32, share)
    share = exp2(multiply_add(load(scores + last * 64), scale, shift))
    share = first_lanes(share, n_last, spread(_ZERO))
    store_halves(shares + last // 2 * TILE + last % 2 * 32, share)
    if last % 2 == 0:
        store_halves(shares + last // 2 * TILE + 32, spread(_ZERO))
    return np.float32(1.0) / total(add(summed, share))


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _pack(
    rows: int, stride: int, n_keys: int, dim: int, head: int, keys: int, values: int, zeros: int
) -> None:
    """Write a head's keys as right tiles of scores, and its values as right tiles of the result.

    Values of tokens behind the end of a text are zeros: their shares are zero, and zero times NaN would be NaN.
    """
    for block in range((n_keys + ROWS - 1) // ROWS):
        for part in range(head // WIDTH):
            source = rows + block * ROWS * stride + 2 * (dim + part * WIDTH)
            transpose(source, stride, keys + (block * (head // WIDTH) + part) * TILE)
    for block in range((n_keys + WIDTH - 1) // WIDTH):
        for part in range(head // ROWS):
            source, target = (
                rows + 2 * (2 * dim + part * ROWS),
                values + (block * (head // ROWS) + part) * TILE,
            )
            for pair in range(ROWS):
                one = block * WIDTH + 2 * pair
                pair_rows(
                    source + one * stride if one < n_keys else zeros,
                    source + (one + 1) * stride if one + 1 < n_keys else zeros,
                    target + 64 * pair,
                )


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def attend(
    qkv: HalfArray,
    ends: NDArray[np.int64],
    n_heads: int,
    mixed: int,
    keys: int,
    values: int,
    scores: NDArray[np.float32],
    shares: int,
    scratch: int,
    zeros: int,
) -> None:
    """Write what each token takes from the tokens of its text, as tiles of bfloat16.

    Parameters
    ----------
    qkv : ndarray of shape (more than n_tokens + 32, 3 dim), bfloat16
        Queries, keys and values of the tokens of texts, one text after the other.
    ends : ndarray of shape (n_texts,), int64
        End of each text's tokens.
    n_heads : int
        Heads of dim / n_heads dimensions, a multiple of 32.
    mixed : int
        Address of the result.
    keys, values, scores, shares, scratch : int, ndarray
        Room for one head of the longest text: addresses of tiles, and sixteen rows of scores.
    zeros : int
        Address of sixteen zeros.
    """
    stride = 2 * qkv.shape[1]
    dim = qkv.shape[1] // 3
    head = dim // n_heads
    depth, parts = dim // WIDTH, head // WIDTH
    score_at, score_stride = address(scores), 4 * scores.shape[1]
    factor = LOG2_E / np.float32(math.sqrt(head))
    inverse = np.empty(ROWS, np.float32)
    begin = 0
    for end in ends:
        n_keys = end - begin
        n_blocks, n_wide = (n_keys + ROWS - 1) // ROWS, (n_keys + WIDTH - 1) // WIDTH
        for number in range(n_heads):
            rows = address(qkv) + begin * stride + 2 * number * head
            _pack(rows, stride, n_keys, dim, head, keys, values, zeros)
            for block in range(n_blocks):
                for other in range(n_blocks):
                    clear_sums()
                    for part in range(parts):
                        query = rows + block * ROWS * stride + 2 * part * WIDTH
                        add_one_product(query, stride, keys + (other * parts + part) * TILE)
                    store_one_sum(score_at + 64 * other, score_stride)
                n_rows = min(ROWS, n_keys - block * ROWS)
                for row in range(n_rows):
                    inverse[row] = _shares(score_at + row * score_stride, shares + 64 * row, n_keys, factor)
                for part in range(parts):
                    clear_sums()
                    for wide in range(n_wide):
                        add_two_products(shares + wide * TILE, values + (wide * parts + part) * 2 * TILE)
                    store_two_sums(scratch)
                    for row in range(n_rows):
                        token = begin + block * ROWS + row
                        tile = token // ROWS * depth + number * parts + part
                        place, scale = mixed + tile * TILE + token % ROWS * 64, spread(inverse[row])
                        store_halves(place, multiply(load(scratch + 128 * row), scale))
                        store_halves(place + 32, multiply(load(scratch + 128 * row + 64), scale))
        begin = end
