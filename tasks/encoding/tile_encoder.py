"""Tile encoder: a folder of a plain BERT -> unit vectors of texts in bfloat16, on processors with AMX.

Products have factors of bfloat16 and sums of float32; all else is float32. The mean cosine to float32 is .99999.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version as package_version
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import n_cores, threads
from topicflow.tasks.core.vectors.processor import has_tiles
from topicflow.tasks.encoding.bert import Weights
from topicflow.tasks.encoding.bert_encoder import COMPARED, BertEncoder
from topicflow.tasks.encoding.encoder_cache import kept
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder
from topicflow.tasks.encoding.model_files.bert_shape import Shape
from topicflow.tasks.encoding.tokenizer import TokenIds, ahead
from topicflow.tasks.errors import ConfigError, StageError
from topicflow.tasks.store.artifact_store import ArtifactWriter, Recipe

if TYPE_CHECKING:
    from topicflow.tasks.core.tiles.bert_tiles import Model

GROUP_TOKENS = 384
"""Tokens that a thread computes at a time: fewer read the weights more often, more leave the second cache. A longer
text is a group."""

BLOCK_TEXTS = 4_096
"""Texts tokenised at a time, while the threads work on those before them."""

MANY_CHARACTERS = 2_000_000
"""Characters after which the table of words is made: 32,000 titles, or 800 long texts, whose ends are cut anyway."""

COMPARISON = 1
"""Increase when models must be compared again."""

LEAST_COSINE = 0.9995
"""A model is refused if a vector of `COMPARED` has a lower cosine to float32."""


class TileEncoder(BertEncoder):
    """A plain BERT in bfloat16 on a processor with AMX; the parameters are those of `BertEncoder`."""

    chunk_texts: int | None = 8_192
    _n_characters = 0

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) float32 and token lengths (n_texts,) int32, before truncation.

        Raises
        ------
        DataError
            If the model gives a vector that is not finite.

        Notes
        -----
        A text's vector does not depend on the other texts, nor on the number of threads.
        tests/benchmarks/embedding.py compares it with sentence-transformers.
        """
        if not has_tiles():  # without permission the system ends the process
            msg = f"embed: {self._name} was loaded for a processor with AMX, which this process may not use"
            raise StageError(msg)
        assert self._tokens is not None
        self._n_characters += sum(map(len, texts))
        if self._n_characters >= MANY_CHARACTERS:
            self._tokens.use_table()
        vectors = np.empty((len(texts), self._shape.dim), np.float32)
        n_tokens = np.empty(len(texts), np.int32)
        starts = range(0, len(texts), BLOCK_TEXTS)
        blocks = [texts[start : start + BLOCK_TEXTS] for start in starts]
        for start, (ids, lengths) in zip(starts, ahead(self._tokens, blocks), strict=True):
            part = slice(start, start + len(ids))
            n_tokens[part] = lengths
            self._embed(ids, vectors[part])
        self._check(texts, vectors)
        return self._unit(vectors), n_tokens

    def _embed(self, ids: TokenIds, vectors: NDArray[np.float32]) -> None:
        """Write the vectors (n_texts, dim) of token ids, groups of texts on several threads."""
        from topicflow.tasks.core.tiles.bert_tiles import FIRST, LAST, MEAN, embed_group, room

        groups, model = list(groups_of(ids.ends)), self._model
        longest = int(ids.lengths.max())
        if ids.flat.max(initial=0) >= len(model.words) or longest > len(model.places):
            msg = (
                f"embed: the tokenizer of {self._name} gives numbers up to {ids.flat.max(initial=0)} and texts of "
                f"{longest} tokens, but its weights are for {len(model.words)} numbers and {len(model.places)} places"
            )
            raise ConfigError(msg)
        sizes = [int(ids.ends[end - 1] - (ids.ends[begin - 1] if begin else 0)) for begin, end in groups]
        n_threads = min(self._n_threads or n_cores(), len(groups))
        rooms: SimpleQueue[object] = SimpleQueue()
        for _ in range(n_threads):
            rooms.put(room(model, max(sizes), longest))
        pooling = {"cls": FIRST, "lasttoken": LAST}.get(self._pooling.mode, MEAN)

        def run(number: int, _: int) -> None:
            begin, end = groups[number]
            first = int(ids.ends[begin - 1]) if begin else 0
            own, ends = ids.flat[first : ids.ends[end - 1]], ids.ends[begin:end] - first
            free = rooms.get()
            try:
                embed_group(own, ends, model, free, pooling, vectors[begin:end])
            finally:
                rooms.put(free)

        with threads(n_threads) as work:
            work(run, len(groups), 1)

    @cached_property
    def _model(self) -> Model:
        return tile_model(self._weights, self._shape)


def groups_of(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the first text of each group and the one after its last; `ends` (n_texts,) are the ends of their tokens."""
    begin = 0
    while begin < len(ends):
        first = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, first + GROUP_TOKENS, side="right")))
        yield begin, end
        begin = end


def tile_model(weights: Weights, shape: Shape) -> Model:
    """Return the weights in the form of `bert_tiles`."""
    from topicflow.tasks.core.tiles.bert_tiles import Model
    from topicflow.tasks.core.tiles.products import aligned, packed

    def of_layer(number: int, parts: Sequence[str], kind: str) -> NDArray[np.float32]:
        return np.concatenate([weights[f"encoder.layer.{number}.{part}.{kind}"] for part in parts])

    def stacked(parts: Sequence[str], kind: str) -> NDArray[np.float32]:
        return np.stack([of_layer(number, parts, kind) for number in range(shape.n_layers)])

    def tiles(*parts: str) -> NDArray[np.uint16]:
        layers = [packed(of_layer(number, parts, "weight")) for number in range(shape.n_layers)]
        found = aligned((len(layers), *layers[0].shape), np.uint16)
        np.stack(layers, out=found)
        return found

    def norm(name: str) -> NDArray[np.float32]:
        return np.stack([stacked([name], "weight"), stacked([name], "bias")], axis=1)

    check_shapes(weights, shape)
    asked = [f"attention.self.{part}" for part in ("query", "key", "value")]
    tables = {
        name: weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "token_type", "position")
    }
    return Model(
        words=np.ascontiguousarray(tables["word"]),
        places=tables["position"] + tables["token_type"][0],
        norm=np.stack([weights[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")]),
        qkv=tiles(*asked),
        qkv_bias=stacked(asked, "bias"),
        output=tiles("attention.output.dense"),
        output_bias=stacked(["attention.output.dense"], "bias"),
        output_norm=norm("attention.output.LayerNorm"),
        intermediate=tiles("intermediate.dense"),
        intermediate_bias=stacked(["intermediate.dense"], "bias"),
        narrow=tiles("output.dense"),
        narrow_bias=stacked(["output.dense"], "bias"),
        narrow_norm=norm("output.LayerNorm"),
        n_heads=shape.n_heads,
        epsilon=np.float32(shape.epsilon),
    )


def check_shapes(weights: Weights, shape: Shape) -> None:
    """Raise ConfigError if a weight has another shape than the model's config says: the kernels check nothing."""
    for name, expected in _shapes(shape):
        found = weights[name].shape
        if found[-len(expected) :] != expected:
            msg = f"embed: {name} has the shape {found}, which does not fit the model's config.json"
            raise ConfigError(msg)


def _shapes(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name of each weight and its shape; of the tables of vectors only the dimensions."""
    dim, wide = shape.dim, shape.wide
    square = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    products = {
        **dict.fromkeys(square, (dim, dim)),
        "intermediate.dense": (wide, dim),
        "output.dense": (dim, wide),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{number}" for number in range(shape.n_layers)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for part, (n_out, n_in) in products.items():
            yield f"{layer}.{part}.weight", (n_out, n_in)
            yield f"{layer}.{part}.bias", (n_out,)
    for norm in norms:
        yield f"{norm}.weight", (dim,)
        yield f"{norm}.bias", (dim,)
    for table in ("word", "token_type", "position"):
        yield f"embeddings.{table}_embeddings.weight", (dim,)


def least_cosine(
    encoder: TileEncoder, load_exact: Callable[[], SentenceTransformersEncoder], cache: Path | None = None
) -> float:
    """Return the lowest cosine of a vector of `COMPARED` to float32; computed once on each machine.

    Parameters
    ----------
    encoder : TileEncoder
        The encoder.
    load_exact : callable
        Loads the same model in float32.
    cache : Path or None
        Folder of the answers; default `encoder_cache()`.
    """
    versions = {
        name: package_version(name) for name in ("torch", "sentence-transformers", "transformers", "numba")
    }
    recipe = Recipe("embed", "tiles", COMPARISON, identity={"encoder": encoder.key, **versions})

    def make(writer: ArtifactWriter) -> None:
        found, exact = encoder.encode(COMPARED)[0], load_exact().encode(COMPARED)[0]
        least = float((found * exact).sum(axis=1).min())
        writer.path("cosine.json").write_text(json.dumps({"least": least}), encoding="utf-8")

    return float(json.loads((kept(recipe, make, cache) / "cosine.json").read_bytes())["least"])
