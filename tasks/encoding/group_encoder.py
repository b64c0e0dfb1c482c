"""Group encoder: a folder of a plain BERT -> unit vectors of texts by our own kernels, which take groups of texts.

Texts lie one after the other, without padding; a text's vector does not depend on the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import n_cores, threads
from topicflow.tasks.encoding.bert import Weights
from topicflow.tasks.encoding.bert_encoder import COMPARED, BertEncoder
from topicflow.tasks.encoding.encoder_cache import kept
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder
from topicflow.tasks.encoding.model_files.bert_shape import Shape
from topicflow.tasks.encoding.tokens.tokenizer import TokenIds, ahead
from topicflow.tasks.errors import ConfigError, StageError
from topicflow.tasks.store.artifact_store import ArtifactWriter, Recipe

BLOCK_TEXTS = 4_096
"""Texts tokenised at a time, while the threads work on those before them."""

MANY_CHARACTERS = 2_000_000
"""Characters after which the table of words is made: 32,000 titles, or 800 long texts, whose ends are cut anyway."""

COMPARISON = 1
"""Increase when models must be compared again."""


class GroupEncoder(BertEncoder):
    """A plain BERT whose texts are embedded in groups; the parameters are those of `BertEncoder`.

    Attributes
    ----------
    arithmetic, instructions : str
        What is said in messages: the numbers of the products, and what the processor must have.
    group_tokens : int
        Tokens that a thread computes at a time: fewer read the weights more often, more leave the second cache. A
        longer text is a group.
    """

    arithmetic: ClassVar[str]
    instructions: ClassVar[str]
    group_tokens: ClassVar[int]
    chunk_texts: int | None = 8_192
    _n_characters = 0

    @staticmethod
    def may_run() -> bool:
        """Return whether this process may use the instructions."""
        raise NotImplementedError

    def _kernel(self) -> tuple[Callable[[int, int], Any], Callable[..., None]]:
        """Return what makes room for a group, by its tokens and its longest text, and what embeds one.

        The second takes the ids of a group's texts, their ends, the room, the pooling and the vectors to write.
        """
        raise NotImplementedError

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) float32 and token lengths (n_texts,) int32, before truncation.

        Raises
        ------
        StageError
            If this process may not use the instructions.
        ConfigError
            If the tokenizer gives numbers or lengths for which the weights have no place.
        DataError
            If the model gives a vector that is not finite.

        Notes
        -----
        A text's vector does not depend on the other texts, nor on the number of threads.
        tests/benchmarks/embedding.py compares it with sentence-transformers.
        """
        if not self.may_run():  # the system would end the process
            needed = f"a processor with {self.instructions}"
            msg = f"embed: {self._name} was loaded for {needed}, which this process may not use"
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
        from topicflow.tasks.core.registers.rows import FIRST, LAST, MEAN

        groups, longest = list(groups_of(ids.ends, self.group_tokens)), int(ids.lengths.max())
        self._check_ids(ids, longest)
        room, embed_group = self._kernel()
        sizes = [int(ids.ends[end - 1] - (ids.ends[begin - 1] if begin else 0)) for begin, end in groups]
        n_threads = min(self._n_threads or n_cores(), len(groups))
        rooms: SimpleQueue[Any] = SimpleQueue()
        for _ in range(n_threads):
            rooms.put(room(max(sizes), longest))
        pooling = {"cls": FIRST, "lasttoken": LAST}.get(self._pooling.mode, MEAN)

        def run(number: int, _: int) -> None:
            begin, end = groups[number]
            first = int(ids.ends[begin - 1]) if begin else 0
            own, ends = ids.flat[first : ids.ends[end - 1]], ids.ends[begin:end] - first
            free = rooms.get()
            try:
                embed_group(own, ends, free, pooling, vectors[begin:end])
            finally:
                rooms.put(free)

        with threads(n_threads) as work:
            work(run, len(groups), 1)

    def _check_ids(self, ids: TokenIds, longest: int) -> None:
        """Raise ConfigError if the tokenizer gives what the weights do not have: the kernels check nothing."""
        words, places = (
            len(self._weights[f"embeddings.{name}_embeddings.weight"]) for name in ("word", "position")
        )
        if (most := ids.flat.max(initial=0)) >= words or longest > places:
            msg = (
                f"embed: the tokenizer of {self._name} gives numbers up to {most} and texts of "
                f"{longest} tokens, but its weights are for {words} numbers and {places} places"
            )
            raise ConfigError(msg)


def groups_of(ends: NDArray[np.int64], n_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield the first text of each group of `n_tokens` and the one after its last; `ends` (n_texts,) are of tokens."""
    begin = 0
    while begin < len(ends):
        first = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, first + n_tokens, side="right")))
        yield begin, end
        begin = end


def model_parts(weights: Weights, shape: Shape, products: Callable[..., Any]) -> dict[str, Any]:
    """Return the weights as both kernels take them: tables, normalizations, and what `products` makes of matrices.

    `products` takes the names of a layer's matrices, which are put one below the other, and returns a dict.
    """
    check_shapes(weights, shape)

    def norm(name: str) -> NDArray[np.float32]:
        both = (stacked(weights, shape, [name], kind) for kind in ("weight", "bias"))
        return np.stack(list(both), axis=1)

    tables = {
        name: weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "token_type", "position")
    }
    return {
        "words": np.ascontiguousarray(tables["word"]),
        "places": tables["position"] + tables["token_type"][0],
        "norm": np.stack([weights[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")]),
        **products("qkv", *(f"attention.self.{part}" for part in ("query", "key", "value"))),
        **products("output", "attention.output.dense"),
        "output_norm": norm("attention.output.LayerNorm"),
        **products("intermediate", "intermediate.dense"),
        **products("narrow", "output.dense"),
        "narrow_norm": norm("output.LayerNorm"),
        "n_heads": shape.n_heads,
        "epsilon": np.float32(shape.epsilon),
    }


def stacked(weights: Weights, shape: Shape, parts: Sequence[str], kind: str) -> NDArray[np.float32]:
    """Return the weights or biases of all layers, (n_layers, n_out, n_in) or (n_layers, n_out)."""
    layers = (f"encoder.layer.{number}" for number in range(shape.n_layers))
    return np.stack(
        [np.concatenate([weights[f"{layer}.{part}.{kind}"] for part in parts]) for layer in layers]
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
    encoder: GroupEncoder, load_exact: Callable[[], SentenceTransformersEncoder], cache: Path | None = None
) -> float:
    """Return the lowest cosine of a vector of `COMPARED` to float32; computed once on each machine.

    Parameters
    ----------
    encoder : GroupEncoder
        The encoder.
    load_exact : callable
        Loads the same model in float32.
    cache : Path or None
        Folder of the answers; default `encoder_cache()`.
    """
    versions = {
        name: package_version(name) for name in ("torch", "sentence-transformers", "transformers", "numba")
    }
    recipe = Recipe("embed", "groups", COMPARISON, identity={"encoder": encoder.key, **versions})

    def make(writer: ArtifactWriter) -> None:
        found, exact = encoder.encode(COMPARED)[0], load_exact().encode(COMPARED)[0]
        least = float((found * exact).sum(axis=1).min())
        writer.path("cosine.json").write_text(json.dumps({"least": least}), encoding="utf-8")

    return float(json.loads((kept(recipe, make, cache) / "cosine.json").read_bytes())["least"])
