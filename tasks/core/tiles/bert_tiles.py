"""Bert in tiles: token ids of texts -> vectors, with products in bfloat16 and sums in float32.

Texts lie one after the other, without padding. All but attention takes each token alone, and attention each text: a
text's vector is the same, bit for bit, in any group of texts and on any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.registers import (
    address,
    aligned,
    load,
    multiply,
    multiply_add,
    store,
    store_halves,
    subtract,
)
from topicflow.tasks.core.registers.rows import MEAN, embed_tokens, mean_and_scale, pool
from topicflow.tasks.core.tiles.attention import attend
from topicflow.tasks.core.tiles.products import (
    AS_ROWS,
    BLOCK,
    GELU,
    HalfArray,
    add_products,
    multiply_tiles,
    packed,
)
from topicflow.tasks.core.tiles.tiles import ROWS, SHAPES, TILE, WIDTH, end_tiles, start_tiles

FloatArray = NDArray[np.float32]


class Model(NamedTuple):
    """The weights of a BERT: float32, products as `packed` gives them; stacked over the layers.

    Attributes
    ----------
    words, places : ndarray of shape (n, dim)
        Vectors of token ids, and of places with the first token type added.
    norm : ndarray of shape (2, dim)
        Weights and biases of the first normalization; those of the layers have the shape (n_layers, 2, dim).
    qkv, output, intermediate, narrow : ndarray of shape (n_layers, n_out / 32, n_in / 32, 2, 512), bfloat16
        Weights for queries, keys and values; for attention's output; of the wide layer and the one after it.
    """

    words: FloatArray
    places: FloatArray
    norm: FloatArray
    qkv: HalfArray
    qkv_bias: FloatArray
    output: HalfArray
    output_bias: FloatArray
    output_norm: FloatArray
    intermediate: HalfArray
    intermediate_bias: FloatArray
    narrow: HalfArray
    narrow_bias: FloatArray
    narrow_norm: FloatArray
    n_heads: int
    epsilon: np.float32


class Room(NamedTuple):
    """What a thread writes while it computes a group of texts."""

    hidden: FloatArray
    states: HalfArray
    mixed: HalfArray
    qkv: HalfArray
    wide: HalfArray
    keys: HalfArray
    values: HalfArray
    scores: FloatArray
    shares: HalfArray
    scratch: FloatArray
    zeros: FloatArray
    shapes: NDArray[np.uint8]


def room(model: Model, n_tokens: int, longest: int) -> Room:
    """Return room for groups of at most `n_tokens` tokens, with texts of at most `longest`."""
    dim, wide = model.words.shape[1], model.intermediate_bias.shape[1]
    n_rows = -(-max(1, n_tokens) // BLOCK) * BLOCK
    head, keys = dim // model.n_heads, -(-max(1, longest) // WIDTH) * WIDTH
    return Room(
        hidden=aligned((n_rows, dim), np.float32),
        states=aligned((n_rows, dim), np.uint16),
        mixed=aligned((n_rows, dim), np.uint16),
        qkv=aligned((n_rows + BLOCK, 3 * dim), np.uint16),  # tiles of the last text read further rows
        wide=aligned((n_rows, wide), np.uint16),
        keys=aligned((keys, head), np.uint16),
        values=aligned((keys, head), np.uint16),
        scores=aligned(
            (ROWS, keys + ROWS), np.float32
        ),  # rows whose distance is no power of two share no cache lines
        shares=aligned((ROWS, keys), np.uint16),
        scratch=aligned((2, BLOCK, BLOCK), np.float32),
        zeros=aligned((max(dim, BLOCK),), np.float32),
        shapes=SHAPES.copy(),
    )


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _normalize(hidden: FloatArray, n_rows: int, norm: FloatArray, epsilon: np.float32, states: int) -> None:
    """Normalize rows of float32 in place, and write them as tiles of bfloat16."""
    dim = hidden.shape[1]
    weight, bias = address(norm), address(norm) + 4 * dim
    for number in range(n_rows):
        row = address(hidden) + 4 * number * dim
        mean, scale = mean_and_scale(row, dim, epsilon)
        for tile in range(dim // WIDTH):
            place = states + (number // ROWS * (dim // WIDTH) + tile) * TILE + number % ROWS * 64
            for part in range(2):
                at = 128 * tile + 64 * part
                centred = multiply(subtract(load(row + at), mean), scale)
                found = multiply_add(centred, load(weight + at), load(bias + at))
                store(row + at, found)
                store_halves(place + 32 * part, found)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def embed_group(
    ids: NDArray[np.int32],
    ends: NDArray[np.int64],
    model: Model,
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
    pooling : int
        `MEAN`, `FIRST` or `LAST`.
    vectors : ndarray of shape (n_texts, dim), float32, in rows
        Where the vectors are written.
    """
    dim, wide = model.words.shape[1], model.intermediate_bias.shape[1]
    n_rows = max(BLOCK, (ends[-1] + BLOCK - 1) // BLOCK * BLOCK)
    hidden, depth = room.hidden, dim // WIDTH
    states, mixed, scratch = address(room.states), address(room.mixed), address(room.scratch)
    keys, values, shares = address(room.keys), address(room.values), address(room.shares)
    zeros, broad, row_at = address(room.zeros), address(room.wide), address(hidden)
    start_tiles(address(room.shapes))
    embed_tokens(ids, ends, model.words, model.places, hidden)
    _normalize(hidden, n_rows, model.norm, model.epsilon, states)
    for layer in range(model.qkv.shape[0]):
        weights, bias = address(model.qkv[layer]), address(model.qkv_bias[layer])
        multiply_tiles(
            AS_ROWS, states, weights, bias, address(room.qkv), scratch, n_rows, depth, 0, depth, 3 * dim
        )
        attend(room.qkv, ends, model.n_heads, mixed, keys, values, room.scores, shares, scratch, zeros)
        weights, bias = address(model.output[layer]), address(model.output_bias[layer])
        add_products(mixed, weights, bias, zeros, row_at, scratch, n_rows, depth, dim)
        _normalize(hidden, n_rows, model.output_norm[layer], model.epsilon, states)
        weights, bias = address(model.intermediate[layer]), address(model.intermediate_bias[layer])
        multiply_tiles(GELU, states, weights, bias, broad, scratch, n_rows, depth, 0, depth, wide)
        weights, bias = address(model.narrow[layer]), address(model.narrow_bias[layer])
        add_products(broad, weights, bias, zeros, row_at, scratch, n_rows, wide // WIDTH, dim)
        _normalize(hidden, n_rows, model.narrow_norm[layer], model.epsilon, states)
    end_tiles()
    pool(hidden, ends, pooling, vectors)


def compile_kernel() -> None:
    """Compile `embed_group`, on a model of one layer and 32 dimensions."""

    def zeros(*shape: int) -> FloatArray:
        return np.zeros(shape, np.float32)

    square, bias, norm = packed(zeros(32, 32))[None], zeros(1, 32), zeros(1, 2, 32)
    model = Model(
        words=zeros(1, 32), places=zeros(1, 32), norm=norm[0], qkv=packed(zeros(96, 32))[None], qkv_bias=zeros(1, 96),
        output=square, output_bias=bias, output_norm=norm, intermediate=square, intermediate_bias=bias,
        narrow=square, narrow_bias=bias, narrow_norm=norm, n_heads=1, epsilon=np.float32(1e-12),
    )  # fmt: skip
    embed_group(np.zeros(1, np.int32), np.ones(1, np.int64), model, room(model, 1, 1), MEAN, zeros(1, 32))
