"""Rows: what a BERT does with each token's float32 outside of products: embedding, mean and spread, pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.registers import (
    add,
    address,
    load,
    multiply,
    multiply_add,
    spread,
    store,
    subtract,
    total,
)

FloatArray = NDArray[np.float32]

MEAN, FIRST, LAST = 0, 1, 2
"""Poolings: the mean of a text's tokens, its first token, or its last."""


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def mean_and_scale(row: int, dim: int, epsilon: np.float32) -> Any:  # noqa: ANN401
    """Return the mean of a row, and one divided by its standard deviation, each as a float32 in all lanes."""
    left = right = spread(np.float32(0.0))
    for at in range(row, row + 4 * dim, 128):
        left, right = add(left, load(at)), add(right, load(at + 64))
    mean = spread(total(add(left, right)) / np.float32(dim))
    left = right = spread(np.float32(0.0))
    for at in range(row, row + 4 * dim, 128):
        one, other = subtract(load(at), mean), subtract(load(at + 64), mean)
        left, right = multiply_add(one, one, left), multiply_add(other, other, right)
    variance = total(add(left, right)) / np.float32(dim)
    return mean, spread(np.float32(1.0) / np.sqrt(variance + epsilon))


@njit(nogil=True)  # type: ignore[untyped-decorator]
def embed_tokens(
    ids: NDArray[np.int32], ends: NDArray[np.int64], words: FloatArray, places: FloatArray, hidden: FloatArray
) -> None:
    """Write the sum of each token's vector and its place's."""
    dim, begin = hidden.shape[1], 0
    for end in ends:
        for token in range(begin, end):
            word = address(words) + 4 * dim * np.int64(ids[token])
            place = address(places) + 4 * dim * (token - begin)
            row = address(hidden) + 4 * dim * token
            for at in range(0, 4 * dim, 64):
                store(row + at, add(load(word + at), load(place + at)))
        begin = end


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def pool(hidden: FloatArray, ends: NDArray[np.int64], pooling: int, vectors: FloatArray) -> None:
    """Write one vector of each text; zeros for a text without tokens."""
    dim, begin = hidden.shape[1], 0
    for number, end in enumerate(ends):
        n_tokens = end - begin
        first = end - 1 if pooling == LAST else begin
        last = min(end, first + 1) if pooling != MEAN else end
        scale = spread(np.float32(1.0) / np.float32(max(1, last - first)))
        target = address(vectors) + 4 * dim * number
        for at in range(0, 4 * dim, 64):
            summed = spread(np.float32(0.0))
            if n_tokens > 0:
                for token in range(first, last):
                    summed = add(summed, load(address(hidden) + 4 * dim * token + at))
            store(target + at, multiply(summed, scale))
        begin = end
