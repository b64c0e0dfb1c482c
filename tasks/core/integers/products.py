"""Products: rows of levels times weights in levels, scaled back to float32, and what follows each product.

A row of float32 is written as levels, whole numbers, with the length of a step and the value of level zero: 0 for
int16, the row's smallest value for bytes, which are unsigned. Weights have steps for each column and for each part of
at most `WORD_PART` inputs, chosen so that no sum can leave 32 bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.integers.sums import (
    LANES,
    PANEL_BYTES,
    ROWS,
    SUM_BYTES,
    float_at,
    load_sums,
    store_bytes,
    store_float,
    store_words,
    sum_bytes,
    sum_words,
)
from topicflow.tasks.core.registers.functions import gelu
from topicflow.tasks.core.registers.registers import (
    add,
    address,
    aligned,
    largest,
    load,
    maximum,
    minimum,
    multiply,
    multiply_add,
    spread,
    store,
    subtract,
    total,
)

FloatArray = NDArray[np.float32]
LevelArray = NDArray[np.int16] | NDArray[np.int8]

BLOCK = 2 * LANES
"""Columns of a block of products."""

WORD_PART, BYTE_PART = 384, 16_384
"""Maximum number of inputs whose products are added as integers; sums of several such parts are added in float32."""

WORD_STEPS, BYTE_STEPS = 8191, 255
"""Steps from zero to a row's largest value in int16, and from its smallest to its largest value in a byte."""

AS_ROWS, GELU, ADDED = 0, 1, 2
"""What becomes of products: rows of float32; GELU of them; or added to rows of float32."""

SMALLEST = np.float32(1e-30)
"""Shortest step: a row of zeros is divided by it."""


class Weights(NamedTuple):
    """The weights of a product, stacked over the layers.

    Attributes
    ----------
    levels : ndarray of shape (n_layers, n_parts, n_out / 16, part / k, 16, k), int16 with k = 2, int8 with k = 4
        Panels of sixteen columns.
    steps : ndarray of shape (n_layers, n_parts, n_out), float32
        Length of a step.
    sums, bias : ndarray of shape (n_layers, n_out), float32
        Sums of the weights as the levels give them, and biases.
    """

    levels: LevelArray
    steps: FloatArray
    sums: FloatArray
    bias: FloatArray


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def write_levels(source: int, dim: int, in_words: bool, target: int, scale: int) -> None:
    """Write a row of `dim` float32 as levels, and to `scale` the length of a step and the value of level zero."""
    zero = spread(np.float32(0.0))
    low = high = load(source)
    odd = zero
    for at in range(source, source + 4 * dim, 128):
        one, other = load(at), load(at + 64)
        low, high = minimum(minimum(one, other), low), maximum(maximum(one, other), high)
        odd = multiply_add(add(one, other), zero, odd)  # NaN if a value is not finite
    least, most = -largest(subtract(zero, low)), largest(high)
    step = (
        (max(-least, most) / np.float32(WORD_STEPS)) if in_words else (most - least) / np.float32(BYTE_STEPS)
    )
    inverse = spread(np.float32(1.0) / max(step, SMALLEST))
    if in_words:
        least = np.float32(0.0)
        for at in range(0, 4 * dim, 64):
            store_words(target + at // 2, multiply(load(source + at), inverse))
    else:
        start = spread(least)
        for at in range(0, 4 * dim, 64):
            store_bytes(target + at // 4, multiply(subtract(load(source + at), start), inverse))
    store_float(scale, step + total(odd))
    store_float(scale + 4, least)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def all_levels(rows: FloatArray, n_rows: int, in_words: bool, levels: int, scales: int) -> None:
    """Write rows of float32 as levels, and the two numbers of each row's scale."""
    dim = rows.shape[1]
    n_bytes = 2 * dim if in_words else dim
    for row in range(n_rows):
        write_levels(address(rows) + 4 * dim * row, dim, in_words, levels + n_bytes * row, scales + 8 * row)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _add_part(sums: int, steps: int, floats: int, is_first: bool) -> None:
    """Write the sums of a block as float32, times the steps of its columns, or add them to what is there."""
    left, right = load(steps), load(steps + 64)
    for at in range(0, 128 * ROWS, 128):
        one, other = multiply(load_sums(sums + at), left), multiply(load_sums(sums + at + 64), right)
        if not is_first:
            one, other = add(load(floats + at), one), add(load(floats + at + 64), other)
        store(floats + at, one)
        store(floats + at + 64, other)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _finish(kind: int, floats: int, scales: int, sums: int, bias: int, place: int, stride: int) -> None:
    """Finish a block: times the step of each row, its lowest value times the weights and the bias added."""
    left, right = load(bias), load(bias + 64)
    left_sums, right_sums = load(sums), load(sums + 64)
    for row in range(ROWS):
        step, low = spread(float_at(scales + 8 * row)), spread(float_at(scales + 8 * row + 4))
        one = multiply_add(load(floats + 128 * row), step, multiply_add(left_sums, low, left))
        other = multiply_add(load(floats + 128 * row + 64), step, multiply_add(right_sums, low, right))
        target = place + stride * row
        if kind == GELU:
            one, other = gelu(one), gelu(other)
        elif kind == ADDED:
            one, other = add(load(target), one), add(load(target + 64), other)
        store(target, one)
        store(target + 64, other)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def multiply_levels(
    kind: int,
    levels: int,
    scales: int,
    n_rows: int,
    weights: Weights,
    layer: int,
    in_words: bool,
    scratch: int,
    zeros: int,
    out: FloatArray,
) -> None:
    """Multiply rows of levels by the weights of a layer, and finish the products.

    Parameters
    ----------
    kind : int
        `AS_ROWS`, `GELU` or `ADDED`.
    levels, scales : int
        Addresses of the rows (n_rows, n_in), int16 or unsigned bytes, and of their scales (n_rows, 2), float32.
    n_rows : int
        A multiple of `ROWS`.
    weights, layer : Weights, int
        The result of `packed`, and which of its layers.
    in_words : bool
        Whether levels are int16.
    scratch, zeros : int
        Addresses of two blocks of 32 bits, and of 32 zeros.
    out : ndarray of shape (n_rows, n_out), float32
        The result.
    """
    n_parts, n_out = weights.steps.shape[1], weights.steps.shape[2]
    n_groups = weights.levels.shape[3]
    panel, part_bytes = n_groups * PANEL_BYTES, 4 * n_groups
    stride, floats = n_parts * part_bytes, scratch + SUM_BYTES
    right, length = address(weights.levels[layer]), address(weights.steps[layer])
    sums, bias = address(weights.sums[layer]), address(weights.bias[layer])
    for column in range(0, n_out, BLOCK):
        for row in range(0, n_rows, ROWS):
            for part in range(n_parts):
                left = levels + stride * row + part * part_bytes
                place = right + (part * n_out + column) // LANES * panel
                if in_words:
                    sum_words(left, stride, place, panel, n_groups, zeros, scratch)
                else:
                    sum_bytes(left, stride, place, panel, n_groups, zeros, scratch)
                _add_part(scratch, length + 4 * (part * n_out + column), floats, part == 0)
            target, first = address(out) + 4 * (row * n_out + column), scales + 8 * row
            _finish(kind, floats, first, sums + 4 * column, bias + 4 * column, target, 4 * n_out)


def packed(weights: FloatArray, bias: FloatArray, *, in_words: bool) -> Weights:
    """Return the weights (n_layers, n_out, n_in) and biases (n_layers, n_out) of products.

    `n_out` and `n_in` are multiples of 32.
    """
    layers = [_packed_layer(layer, in_words) for layer in weights]
    levels, steps, sums = (np.stack(parts) for parts in zip(*layers, strict=True))
    found = aligned(levels.shape, levels.dtype.type)
    found[...] = levels
    return Weights(found, steps, sums, np.ascontiguousarray(bias, np.float32))


def _packed_layer(weights: FloatArray, in_words: bool) -> tuple[LevelArray, FloatArray, FloatArray]:
    """Return the levels, steps and sums of a layer's weights (n_out, n_in)."""
    n_out, n_in = weights.shape
    size = part_size(n_in, WORD_PART if in_words else BYTE_PART)
    parts = np.ascontiguousarray(weights.reshape(n_out, n_in // size, size).transpose(1, 0, 2))
    largest_one = np.abs(parts).max(axis=-1)
    kind: type[np.int16 | np.int8] = np.int16 if in_words else np.int8
    each, most = 4 // np.dtype(kind).itemsize, np.iinfo(kind).max
    steps = largest_one / most
    if in_words:
        room = (2**31 - 1) // WORD_STEPS - size  # a rounded level is at most half a step larger
        steps = np.maximum(steps, np.abs(parts).sum(axis=-1) / room)
    steps = np.maximum(steps, SMALLEST).astype(np.float32)
    with np.errstate(invalid="ignore"):  # their steps are not finite, and so is what is multiplied by them
        levels = np.rint(parts / steps[..., None]).astype(kind)
        sums = (levels.sum(axis=-1, dtype=np.int64) * steps).sum(axis=0, dtype=np.float64).astype(np.float32)
    panels = levels.reshape(n_in // size, n_out // LANES, LANES, size // each, each)
    return np.ascontiguousarray(panels.transpose(0, 1, 3, 2, 4)), steps, sums


def part_size(n_in: int, most: int) -> int:
    """Return how many inputs are added in integers: the largest multiple of 32 up to `most` that divides `n_in`."""
    return max(size for size in range(BLOCK, min(n_in, most) + 1, BLOCK) if n_in % size == 0)
