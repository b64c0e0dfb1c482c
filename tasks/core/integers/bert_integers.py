"""Bert in integers: token ids of texts -> vectors, with products of int16 or of bytes by VNNI, and all else in float32.

Texts lie one after the other, without padding. All but attention takes each token alone, and attention each text: a
text's vector is the same, bit for bit, in any group of texts and on any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.integers.attention import AFTER, WIDTH, attend
from topicflow.tasks.core.integers.products import (
    ADDED,
    AS_ROWS,
    GELU,
    Weights,
    all_levels,
    multiply_levels,
    packed,
)
from topicflow.tasks.core.integers.sums import LANES, ROWS, SUM_BYTES
from topicflow.tasks.core.registers.registers import (
    address,
    aligned,
    load,
    multiply,
    multiply_add,
    store,
    subtract,
)
from topicflow.tasks.core.registers.rows import MEAN, embed_tokens, mean_and_scale, pool

FloatArray = NDArray[np.float32]


class Model(NamedTuple):
    """The weights of a BERT: float32, products in integers; stacked over the layers.

    Attributes
    ----------
    words, places : ndarray of shape (n, dim)
        Vectors of token ids, and of places with the first token type added.
    norm : ndarray of shape (2, dim)
        Weights and biases of the first normalization; those of the layers have the shape (n_layers, 2, dim).
    qkv, output, intermediate, narrow : Weights
        Products for queries, keys and values; for attention's output; of the wide layer and the one after it.
    """

    words: FloatArray
    places: FloatArray
    norm: FloatArray
    qkv: Weights
    output: Weights
    output_norm: FloatArray
    intermediate: Weights
    narrow: Weights
    narrow_norm: FloatArray
    n_heads: int
    epsilon: np.float32


class Room(NamedTuple):
    """What a thread writes while it computes a group of texts."""

    hidden: FloatArray
    levels: NDArray[np.int16]
    scales: FloatArray
    qkv: FloatArray
    qkv_levels: NDArray[np.int16]
    mixed: FloatArray
    wide: FloatArray
    keys: NDArray[np.int16]
    values: NDArray[np.int16]
    scores: FloatArray
    shares: NDArray[np.int16]
    scratch: NDArray[np.uint8]
    zeros: NDArray[np.int32]


def room(model: Model, n_tokens: int, longest: int) -> Room:
    """Return room for groups of at most `n_tokens` tokens, with texts of at most `longest`."""
    dim, wide = model.words.shape[1], model.intermediate.bias.shape[1]
    n_rows = -(-max(1, n_tokens) // ROWS) * ROWS
    head, n_keys = dim // model.n_heads, -(-max(1, longest) // WIDTH) * WIDTH
    return Room(
        hidden=aligned((n_rows, dim), np.float32),
        levels=aligned((n_rows, max(dim, wide)), np.int16),
        scales=aligned((n_rows, 2), np.float32),
        qkv=aligned((n_rows, 3 * dim), np.float32),
        qkv_levels=aligned((n_rows + AFTER, 3 * dim), np.int16),
        mixed=aligned((n_rows, dim), np.float32),
        wide=aligned((n_rows, wide), np.float32),
        keys=aligned((n_keys, head), np.int16),
        values=aligned((n_keys, head), np.int16),
        scores=aligned((ROWS, n_keys + LANES), np.float32),  # rows whose distance is no power of two
        shares=aligned((ROWS, n_keys + WIDTH), np.int16),  # share no cache lines
        scratch=aligned((2 * SUM_BYTES,), np.uint8),
        zeros=aligned((WIDTH,), np.int32),
    )


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _normalize(hidden: FloatArray, n_rows: int, norm: FloatArray, epsilon: np.float32) -> None:
    """Normalize rows of float32 in place."""
    dim = hidden.shape[1]
    weight, bias = address(norm), address(norm) + 4 * dim
    for number in range(n_rows):
        row = address(hidden) + 4 * number * dim
        mean, scale = mean_and_scale(row, dim, epsilon)
        for at in range(0, 4 * dim, 64):
            centred = multiply(subtract(load(row + at), mean), scale)
            store(row + at, multiply_add(centred, load(weight + at), load(bias + at)))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def embed_group(
    ids: NDArray[np.int32],
    ends: NDArray[np.int64],
    model: Model,
    in_words: bool,
    room: Room,
    pooling: int,
    vectors: FloatArray,
) -> None:
    """Write the vectors (n_texts, dim) of a group of texts.

    Parameters
    ----------
    ids : ndarray of shape (n_tokens,), int32
        Token ids, one text after the other.
    ends : ndarray of shape (n_texts,), int64
        End of each text's ids.
    model, room : Model, Room
        The weights, and room for these texts.
    in_words : bool
        Whether levels are int16; otherwise bytes.
    pooling : int
        `MEAN`, `FIRST` or `LAST`.
    vectors : ndarray of shape (n_texts, dim), float32, in rows
        Where the vectors are written.
    """
    n_rows = max(ROWS, (ends[-1] + ROWS - 1) // ROWS * ROWS)
    hidden, scales = room.hidden, address(room.scales)
    levels, scratch, zeros = address(room.levels), address(room.scratch), address(room.zeros)
    keys, values = address(room.keys), address(room.values)
    embed_tokens(ids, ends, model.words, model.places, hidden)
    _normalize(hidden, n_rows, model.norm, model.epsilon)
    for layer in range(model.output_norm.shape[0]):
        all_levels(hidden, n_rows, in_words, levels, scales)
        multiply_levels(AS_ROWS, levels, scales, n_rows, model.qkv, layer, in_words, scratch, zeros, room.qkv)
        attend(
            room.qkv, room.qkv_levels, ends, model.n_heads, room.mixed, keys, values, room.scores, room.shares,
            scratch, zeros,
        )  # fmt: skip
        all_levels(room.mixed, n_rows, in_words, levels, scales)
        multiply_levels(ADDED, levels, scales, n_rows, model.output, layer, in_words, scratch, zeros, hidden)
        _normalize(hidden, n_rows, model.output_norm[layer], model.epsilon)
        all_levels(hidden, n_rows, in_words, levels, scales)
        multiply_levels(
            GELU, levels, scales, n_rows, model.intermediate, layer, in_words, scratch, zeros, room.wide
        )
        all_levels(room.wide, n_rows, in_words, levels, scales)
        multiply_levels(ADDED, levels, scales, n_rows, model.narrow, layer, in_words, scratch, zeros, hidden)
        _normalize(hidden, n_rows, model.narrow_norm[layer], model.epsilon)
    pool(hidden, ends, pooling, vectors)


def compile_kernel(*, in_words: bool) -> None:
    """Compile `embed_group`, on a model of one layer and 32 dimensions."""

    def zeros(*shape: int) -> FloatArray:
        return np.zeros(shape, np.float32)

    square, norm = packed(zeros(1, 32, 32), zeros(1, 32), in_words=in_words), zeros(1, 2, 32)
    model = Model(
        words=zeros(1, 32), places=zeros(1, 32), norm=norm[0],
        qkv=packed(zeros(1, 96, 32), zeros(1, 96), in_words=in_words), output=square, output_norm=norm,
        intermediate=square, narrow=square, narrow_norm=norm, n_heads=1, epsilon=np.float32(1e-12),
    )  # fmt: skip
    one = np.zeros(1, np.int32), np.ones(1, np.int64)
    embed_group(*one, model, in_words, room(model, 1, 1), MEAN, zeros(1, 32))
