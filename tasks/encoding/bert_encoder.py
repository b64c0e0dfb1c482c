"""Bert encoder: a folder of a plain BERT -> unit vectors of texts on a CPU, without transformers.

The vectors of documents are those of `SentenceTransformersEncoder`, bit for bit. A model of unknown origin is compared
with it once on each machine; the answer is kept with the files that are derived from models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.bert import Bert, BertInNumpy, read_weights
from topicflow.tasks.encoding.encoder_cache import kept
from topicflow.tasks.encoding.float_encoder import (
    ALONE_TOKENS,
    BATCH_TOKENS,
    LEAST_TOKENS,
    PROBES,
    SentenceTransformersEncoder,
    TokenBlock,
    alike,
)
from topicflow.tasks.encoding.model_files.bert_shape import TOKENIZER, Shape
from topicflow.tasks.encoding.model_files.pooling import read_pooling
from topicflow.tasks.encoding.tokens.tokenizer import TextTokens
from topicflow.tasks.store.artifact_store import ArtifactWriter, Recipe

if TYPE_CHECKING:
    import torch

COMPARISON = 2
"""Increase when models must be compared again."""

COMPARED = (*PROBES, "Ünïcode, CAPITALS & 数字 123?!", "word " * 600)
"""Texts for which both encoders must give the same vectors: accents, capitals, other scripts, and one to cut."""


class BertEncoder(SentenceTransformersEncoder):
    """A plain BERT in float32 on a CPU.

    Parameters
    ----------
    folder : Path
        The model's folder.
    shape : Shape
        Its shape, as `bert.read_shape` returns it.
    key, name : str
        The encoder's key, and the model's name for messages.
    prompt : str
        The text that is put before each document.
    dim : int or None
        Number of dimensions that are kept of each vector; all if None.
    max_tokens : int or None
        The longest input by the model's files or the config; the rest of a text is cut.
    n_threads : int or None
        CPU threads; all cores if None.
    """

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        *,
        key: str,
        name: str,
        prompt: str = "",
        dim: int | None = None,
        max_tokens: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        from tokenizers import Tokenizer

        self.key, self.max_tokens, self.dim = key, max_tokens, min(shape.dim, dim or shape.dim)
        self._name, self._device, self.direct = name, "cpu", True
        self._pooling, self._shape, self._n_threads = read_pooling(folder), shape, n_threads
        self._weights = read_weights(folder)
        most = min(max_tokens or shape.most_tokens, shape.most_tokens)
        self._tokens = TextTokens(Tokenizer.from_file(str(folder / TOKENIZER)), prompt, most)
        self._batch_tokens = BATCH_TOKENS["cpu"]

    def encode_queries(
        self, texts: Sequence[str], prompt: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) and lengths (n_texts,) of queries, each alone, without torch."""
        assert self._tokens is not None
        ids, lengths = replace(self._tokens, prefix=prompt or "")(texts)
        vectors = np.zeros((len(texts), self._shape.dim), np.float32)
        bert = BertInNumpy(self._weights, self._shape)
        for row, each in enumerate(ids):
            if each:  # an empty text and a tokenizer without marks
                hidden = bert(each)
                ends = {"cls": hidden[0], "lasttoken": hidden[-1]}
                vectors[row] = ends[self._pooling.mode] if self._pooling.mode in ends else hidden.mean(axis=0)
        return self._unit(vectors), lengths

    @cached_property
    def _bert(self) -> Bert:
        import torch

        if self._n_threads:
            torch.set_num_threads(self._n_threads)
        return Bert(self._weights, self._shape)

    def _run_block(self, block: TokenBlock, pooled: list[torch.Tensor]) -> None:
        """Append the vectors of a block's texts in the block's order; batches of few tokens are computed together."""
        ends, waiting = np.cumsum(block.lengths), list["torch.Tensor"]()

        def run(start: int, end: int, _repeats: int) -> None:
            length = int(block.lengths[start])
            waiting.append(block.ids[ends[start] - length : ends[end - 1]].view(end - start, length))
            if n_tokens(waiting) < ALONE_TOKENS:
                return
            try:
                pooled.extend(self._encode_batches(waiting))
            except RuntimeError:  # `_in_batches` calls again with a smaller batch
                waiting.pop()
                raise
            waiting.clear()

        self._in_batches(block.lengths, run)
        if waiting:
            with alike(n_tokens(waiting), self._device):
                pooled.extend(self._encode_batches(waiting))

    def _encode_batches(self, batches: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the vectors (n, dim) of each batch of ids (n, length); texts of one token fill up too few tokens."""
        import torch

        filler = torch.zeros((max(0, LEAST_TOKENS - n_tokens(batches)), 1), dtype=torch.int64)
        hidden = iter(self._bert([batch for batch in (*batches, filler) if batch.numel()]))
        return [
            self._pooled(next(hidden))
            if batch.numel()
            else torch.zeros((len(batch), self._shape.dim))  # an empty text and a tokenizer without marks
            for batch in batches
        ]


def n_tokens(batches: Sequence[torch.Tensor]) -> int:
    """Return the number of tokens in batches of ids."""
    return sum(batch.numel() for batch in batches)


def is_the_same(
    encoder: BertEncoder,
    load_other: Callable[[], SentenceTransformersEncoder],
    cache: Path | None = None,
) -> bool:
    """Return whether both encoders give the same vectors; they are compared once on each machine.

    Parameters
    ----------
    encoder : BertEncoder
        The encoder.
    load_other : callable
        Loads the same model with sentence-transformers.
    cache : Path or None
        Folder of the answers; default `encoder_cache()`.
    """
    libraries = {name: package_version(name) for name in ("torch", "sentence-transformers", "transformers")}
    recipe = Recipe("embed", "comparison", COMPARISON, identity={"encoder": encoder.key, **libraries})

    def make(writer: ArtifactWriter) -> None:
        ours, theirs = encoder.encode(COMPARED), load_other().encode(COMPARED)
        same = all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
        writer.path("comparison.json").write_text(json.dumps({"same": same}), encoding="utf-8")

    found = json.loads((kept(recipe, make, cache) / "comparison.json").read_bytes())
    return bool(found["same"])
