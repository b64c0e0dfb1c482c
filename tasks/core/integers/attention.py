"""Attention: rows of queries, keys and values of each text -> what each token takes from its text, in int16.

A text's queries, keys and values have one step for each head, so that a text's result does not depend on other texts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.integers.products import SMALLEST, WORD_STEPS
from topicflow.tasks.core.integers.sums import LANES, ROWS, absolute, load_sums, store_words, sum_words
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
    store,
    total,
    transpose,
)

FloatArray = NDArray[np.float32]
WordArray = NDArray[np.int16]

WIDTH = 2 * LANES
"""Keys of a block of scores, and dimensions of a block of the result."""

SHARE_STEPS = 32767
"""Steps of one: the shares of a text of 1,024 tokens, times values of as many steps, fit 32 bits."""

AFTER = WIDTH
"""Rows that must be there after those of the last text: blocks read further."""

_LOG2_E = np.float32(1.4426950408889634)
_LOW, _ZERO = np.float32(-1e30), np.float32(0.0)


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _write_levels(source: int, target: int, n_rows: int, dim: int, head: int, n_steps: np.float32) -> Any:  # noqa: ANN401
    """Write one head's columns of a text's rows as levels; return the length of a step."""
    most, odd = spread(_ZERO), spread(_ZERO)
    for row in range(n_rows):
        for at in range(source + 12 * dim * row, source + 12 * dim * row + 4 * head, 64):
            found = load(at)
            most, odd = maximum(absolute(found), most), multiply_add(found, spread(_ZERO), odd)
    top = largest(most) + total(odd)
    scale = spread(n_steps / max(top, SMALLEST))
    for row in range(n_rows):
        begin, place = source + 12 * dim * row, target + 6 * dim * row
        for at in range(0, 4 * head, 64):
            store_words(place + at // 2, multiply(load(begin + at), scale))
    return top / n_steps


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _pack(rows: int, n_keys: int, dim: int, head: int, keys: int, values: int, zeros: int) -> None:
    """Write a head's keys and values as panels: of sixteen keys for scores, of sixteen dimensions for the result.

    Values of tokens behind the end of a text are zeros.
    """
    stride = 6 * dim
    for begin in range(0, n_keys, LANES):
        for part in range(head // WIDTH):
            place = keys + (begin // LANES * (head // WIDTH) + part) * 64 * LANES
            transpose(rows + begin * stride + 2 * dim + 64 * part, stride, place)
    n_pairs = (n_keys + 1) // 2
    for panel in range(head // LANES):
        source = rows + 4 * dim + 2 * LANES * panel
        target = values + panel * n_pairs * 64
        for pair in range(n_pairs):
            one = source + 2 * pair * stride
            pair_rows(one, one + stride if 2 * pair + 1 < n_keys else zeros, target + 64 * pair)


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _shares(scores: int, shares: int, n_keys: int, factor: np.float32) -> None:
    """Write a row's 2^(factor (score - largest)) / their sum, in steps of 1 / `SHARE_STEPS`; scores are used up."""
    last = (n_keys - 1) // LANES
    n_last = n_keys - last * LANES
    most = first_lanes(load(scores + last * 64), n_last, spread(_LOW))
    for part in range(last):
        most = maximum(most, load(scores + part * 64))
    scale, shift = spread(factor), spread(-factor * largest(most))
    summed = spread(_ZERO)
    for part in range(last):
        share = exp2(multiply_add(load(scores + part * 64), scale, shift))
        summed = add(summed, share)
        store(scores + part * 64, share)
    share = exp2(multiply_add(load(scores + last * 64), scale, shift))
    share = first_lanes(share, n_last, spread(_ZERO))
    store(scores + last * 64, share)
    scale = spread(np.float32(SHARE_STEPS) / total(add(summed, share)))
    for part in range(last + 1):
        store_words(shares + part * 32, multiply(load(scores + part * 64), scale))


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def attend(
    qkv: FloatArray,
    levels: WordArray,
    ends: NDArray[np.int64],
    n_heads: int,
    mixed: FloatArray,
    keys: int,
    values: int,
    scores: FloatArray,
    shares: WordArray,
    scratch: int,
    zeros: int,
) -> None:
    """Write what each token takes from the tokens of its text.

    Parameters
    ----------
    qkv : ndarray of shape (n_rows, 3 dim), float32
        Queries, keys and values of the tokens of texts, one text after the other.
    levels : ndarray of shape (n_rows + AFTER, 3 dim), int16
        Room for the same as levels.
    ends : ndarray of shape (n_texts,), int64
        End of each text's tokens, at most 1,024 after the one before.
    n_heads : int
        Heads of dim / n_heads dimensions, a multiple of 32.
    mixed : ndarray of shape (n_rows, dim), float32
        The result.
    keys, values, scores, shares, scratch
        Room for one head of the longest text: addresses of panels, rows of scores and of shares, and a block of sums.
    zeros : int
        Address of 32 zeros of 32 bits.
    """
    dim = mixed.shape[1]
    head = dim // n_heads
    n_steps = np.float32(min(WORD_STEPS, math.floor(math.sqrt((2.0**31 - 1) / head))))
    score_at, score_stride = address(scores), 4 * scores.shape[1]
    share_at, share_stride = address(shares), 2 * shares.shape[1]
    panel = head // WIDTH * 64 * LANES
    begin = 0
    for end in ends:
        n_keys = end - begin
        n_pairs = (n_keys + 1) // 2
        for number in range(n_heads):
            source = address(qkv) + 12 * dim * begin + 4 * number * head
            rows = address(levels) + 6 * dim * begin + 2 * number * head
            query = _write_levels(source, rows, n_keys, dim, head, n_steps)
            key = _write_levels(source + 4 * dim, rows + 2 * dim, n_keys, dim, head, n_steps)
            value = _write_levels(
                source + 8 * dim, rows + 4 * dim, n_keys, dim, head, np.float32(SHARE_STEPS)
            )
            factor = _LOG2_E / np.float32(math.sqrt(head)) * query * key
            step = spread(
                (value + _ZERO * factor) / np.float32(SHARE_STEPS)
            )  # NaN if a query or a key is not finite
            _pack(rows, n_keys, dim, head, keys, values, zeros)
            for at in range(0, n_keys, ROWS):
                n_rows = min(ROWS, n_keys - at)
                for column in range(0, n_keys, WIDTH):
                    place = keys + column // LANES * panel
                    sum_words(rows + 6 * dim * at, 6 * dim, place, panel, head // 2, zeros, scratch)
                    for row in range(n_rows):
                        target = score_at + score_stride * row + 4 * column
                        store(target, load_sums(scratch + 128 * row))
                        store(target + 64, load_sums(scratch + 128 * row + 64))
                for row in range(n_rows):
                    _shares(score_at + score_stride * row, share_at + share_stride * row, n_keys, factor)
                for part in range(0, head, WIDTH):
                    place = values + part // LANES * n_pairs * 64
                    sum_words(share_at, share_stride, place, n_pairs * 64, n_pairs, zeros, scratch)
                    for row in range(n_rows):
                        target = address(mixed) + 4 * (dim * (begin + at + row) + number * head + part)
                        store(target, multiply(load_sums(scratch + 128 * row), step))
                        store(target + 64, multiply(load_sums(scratch + 128 * row + 64), step))
        begin = end
