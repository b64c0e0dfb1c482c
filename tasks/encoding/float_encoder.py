"""Float encoder: a sentence-transformers model -> unit vectors of texts, on a CPU or a GPU.

The transformer gets batches of texts of one length: there is no padding and no mask, and on a CPU a text's vector does
not depend on the other texts of the batch. The next texts are tokenised while the device works on the current ones.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.model_files.pooling import Pooling
from topicflow.tasks.encoding.tokens.tokenizer import TextTokens, ahead
from topicflow.tasks.errors import DataError, StageError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

BATCH_TOKENS = {"cpu": 4_096, "mps": 16_384, "cuda": 131_072}
"""Tokens in a batch; halved when the device runs out of memory. On a CPU larger batches only miss the cache."""

LEAST_TOKENS = 256
"""A batch of fewer tokens is filled up to this many: matrix products of about twenty rows round differently."""

ALONE_TOKENS = 1_024
"""A batch of fewer tokens is computed on one thread of a CPU: on two, a product of few rows splits its sums over the
threads and rounds differently (up to 200 rows in a MiniLM, 400 in a BERT of 768 dimensions, 600 in one of 1,024)."""

BLOCK_TEXTS = {"cpu": 8_192, "mps": 8_192, "cuda": 32_768}
"""Texts tokenised at a time, while the device works on the previous ones. A GPU waits for its host, which starts
a batch for each length in a block of texts."""

PROBES = ("a", "Spin waves in two-dimensional antiferromagnets", "Best pizza in town, would come again")
"""Texts for which our own loop must give the vectors of the model's `encode`; otherwise the model's is used."""

LEAST_COSINE = 0.9999
"""Minimum cosine between the two for the probes: batches in half precision give .99999, another pooling gives .9."""


@dataclass(frozen=True)
class TokenBlock:
    """Token ids of some texts one after the other, longest text first: a batch of one length is a slice.

    Attributes
    ----------
    ids : torch.Tensor of shape (n_ids,), int64
        Ids of all texts; in pinned memory for a GPU.
    rows : ndarray of shape (n_texts,), intp
        The number of each text.
    lengths : ndarray of shape (n_texts,), int64
        Number of ids of each text, descending.
    n_tokens : ndarray of shape (n_texts,), int32
        Lengths before truncation, in the order of the texts.
    """

    ids: torch.Tensor
    rows: NDArray[np.intp]
    lengths: NDArray[np.int64]
    n_tokens: NDArray[np.int32]


def token_block(tokens: TextTokens, texts: Sequence[str], *, pinned: bool = False) -> TokenBlock:
    """Return the token ids of texts, longest first."""
    import torch

    ids, n_tokens = tokens(texts)
    lengths = ids.lengths
    rows = np.argsort(-lengths, kind="stable")
    held = torch.from_numpy(ids.ordered(rows).flat.astype(np.int64))
    return TokenBlock(held.pin_memory() if pinned else held, rows, lengths[rows], n_tokens)


def any_shape() -> AbstractContextManager[None]:
    """Return a context in which attention uses kernels for batches of any shape.

    The kernels of cuDNN, which torch prefers on Hopper, are planned again for each number and length of texts, that
    takes about 50 ms; nearly all of our batches have different shapes.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    context: AbstractContextManager[None] = sdpa_kernel(kernels)
    return context


@contextlib.contextmanager
def alike(n_tokens: int, device: str) -> Iterator[None]:
    """Use one thread in the block if that many tokens would otherwise round by their number."""
    import torch

    n_threads = torch.get_num_threads()
    if device != "cpu" or n_tokens >= ALONE_TOKENS or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class SentenceTransformersEncoder:
    """A loaded sentence-transformers model.

    Parameters
    ----------
    model : SentenceTransformer
        The model on its device.
    key, name, device : str
        The encoder's key, the model's name for messages, and `cpu`, `mps` or `cuda`.
    tokens : TextTokens or None
        Its tokenizer, prompt and longest input; None if it has no fast tokenizer for texts.
    pooling : Pooling
        Its pooling.
    dim : int or None
        Number of dimensions that are kept of each vector; all of the model's if None.
    max_tokens : int or None
        Longest input by its files or the config; the rest of a text is cut.
    prompt : str or None
        Prompt of the config instead of the model's own.
    """

    chunk_texts: int | None = None

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        key: str,
        name: str,
        device: str,
        tokens: TextTokens | None,
        pooling: Pooling,
        dim: int | None = None,
        max_tokens: int | None = None,
        prompt: str | None = None,
    ) -> None:
        self.key = key
        self.max_tokens = max_tokens
        self.dim = min(own for own in (model.get_embedding_dimension(), dim) if own)
        self._model, self._name, self._device, self._prompt = model, name, device, prompt
        self._tokens, self._pooling = tokens, pooling
        self._batch_tokens = BATCH_TOKENS[device]
        self.direct = self._runs_alone()

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) float32 and token lengths (n_texts,) int32, before truncation.

        Raises
        ------
        DataError
            If the model gives a vector that is not finite.
        StageError
            If a single text does not fit into the device's memory.

        Notes
        -----
        A batch contains texts of one length, so there is no padding, and a text's vector does not depend on the other
        texts: on a CPU it is the same, bit for bit, in any run, alone or with others, on one thread or two. That takes
        no extra time: 1,024 titles with 39 lengths take 3.4 s, and 3.5 s in mixed batches. Batches of few tokens are
        filled, and computed on one thread (`alike`).
        """
        with any_shape():
            vectors, n_tokens = (self._encode_direct if self.direct else self._encode_by_model)(texts)
        self._check(texts, vectors)
        return self._unit(vectors), n_tokens

    def _check(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Raise DataError if a text's vector is not finite."""
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            msg = (
                f"embed: {self._name} gave a vector that is not finite, for the text {texts[row][:60]!r}; "
                "try embed.precision='float32'"
            )
            raise DataError(msg)

    def encode_queries(
        self, texts: Sequence[str], prompt: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return vectors and lengths of queries from the model's `encode_query`; `prompt` replaces the model's own.

        A model with separate layers for queries uses them. A batch has queries of one length, so that a query's vector
        does not depend on the others: with a tokenizer that fills batches on the left it would, to a cosine of .55.
        """
        prefix = self._model.prompts.get("query", "") if prompt is None else prompt
        tokens = None if self._tokens is None else replace(self._tokens, prefix=prefix)
        encode = getattr(self._model, "encode_query", self._model.encode)
        with any_shape():
            vectors, n_tokens = self._encode_by(encode, texts, tokens, prompt)
        return self._unit(vectors), n_tokens

    def _unit(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors of the model (n, at least dim), cut to the encoder's dimensions and at unit length."""
        kept = vectors[:, : self.dim]
        norms = np.linalg.norm(kept, axis=1, keepdims=True)
        unit: NDArray[np.float32] = kept / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    # --- our own loop ---

    def _runs_alone(self) -> bool:
        """Return whether our own loop over the transformer and its pooling gives the vectors of `encode`."""
        tokenizer = getattr(self._model, "tokenizer", None)
        if (
            self._tokens is None
            or not self._pooling.is_plain
            or getattr(tokenizer, "truncation_side", "right") != "right"
        ):
            return False
        try:
            with any_shape():
                theirs = self._encode_by_model(PROBES)[0]
                ours = self._encode_direct(PROBES)[0][:, : theirs.shape[1]]
        except (
            TypeError,
            ValueError,
            AttributeError,
            IndexError,
        ):  # a transformer that needs other inputs than token ids
            return False
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        return bool(((ours * theirs).sum(axis=1) >= LEAST_COSINE * norms).all())

    def _encode_direct(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return vectors and lengths; the vectors stay on the device until all are computed."""
        import torch

        size = BLOCK_TEXTS[self._device]
        starts = range(0, len(texts), size)
        blocks = [texts[start : start + size] for start in starts]
        tokens: TextTokens = self._tokens  # type: ignore[assignment]  # checked by `_runs_alone`
        pooled: list[torch.Tensor] = []
        rows: list[NDArray[np.intp]] = []
        n_tokens: list[NDArray[np.int32]] = []
        with torch.inference_mode():
            for start, block in zip(
                starts,
                ahead(lambda part: token_block(tokens, part, pinned=self._device == "cuda"), blocks),
                strict=True,
            ):
                self._run_block(block, pooled)
                rows.append(start + block.rows)
                n_tokens.append(block.n_tokens)
            vectors = np.empty((len(texts), self.dim), np.float32)
            if pooled:
                found = torch.cat(pooled).float().cpu().numpy()
                vectors = np.empty(found.shape, np.float32)
                vectors[np.concatenate(rows)] = found
        return vectors, np.concatenate([np.empty(0, np.int32), *n_tokens])

    def _run_block(self, block: TokenBlock, pooled: list[torch.Tensor]) -> None:
        """Append the vectors of a block's texts, on the device and in the block's order."""
        ids = block.ids.to(self._device, non_blocking=True)
        ends = np.cumsum(block.lengths)

        def run(start: int, end: int, repeats: int) -> None:
            length = int(block.lengths[start])
            batch = ids[ends[start] - length : ends[end - 1]].view(end - start, length)
            filled = batch.repeat(repeats, 1) if repeats > 1 else batch
            with alike(filled.numel(), self._device):
                pooled.append(self._encode_ids(filled)[: end - start])

        self._in_batches(block.lengths, run)

    def _encode_ids(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the vectors (n, dim) of ids (n, length) on the device."""
        import torch

        if ids.shape[1] == 0:  # an empty text and a tokenizer without marks
            return torch.zeros((len(ids), self.dim), device=ids.device)
        return self._pooled(self._last_layer(ids))

    def _pooled(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the vectors (n, dim) of a last layer (n, length, dim), rounded as in the model."""
        import torch

        if self._pooling.mode == "cls":
            vectors = hidden[:, 0]
        elif self._pooling.mode == "lasttoken":
            vectors = hidden[:, -1]
        else:
            length = torch.full((), hidden.shape[1], dtype=torch.float32, device=hidden.device)
            vectors = (hidden.sum(1, dtype=torch.float32) / length).to(hidden.dtype)
        return torch.nn.functional.normalize(vectors, dim=-1) if self._pooling.normalizes else vectors

    def _last_layer(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the last layer (n, length, dim) of the transformer for ids (n, length)."""
        found: torch.Tensor = self._model[0].auto_model(input_ids=ids).last_hidden_state
        return found

    # --- the model's own `encode` ---

    def _encode_by_model(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return vectors and lengths of documents from sentence-transformers, which tokenises the texts again."""
        encode = getattr(self._model, "encode_document", self._model.encode)
        return self._encode_by(encode, texts, self._tokens, self._prompt)

    def _encode_by(
        self,
        encode: Callable[..., Any],
        texts: Sequence[str],
        tokens: TextTokens | None,
        prompt: str | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return vectors and lengths from a method of the model; `prompt` replaces its own, `tokens` counts."""
        n_tokens = (
            np.array([len(text.split()) + 2 for text in texts], np.int32)
            if tokens is None
            else tokens(texts)[1]
        )
        lengths = np.clip(n_tokens, 1, self.max_tokens or np.iinfo(np.int32).max)
        order = np.argsort(-lengths, kind="stable")
        vectors = np.empty((len(texts), int(self._model.get_embedding_dimension() or self.dim)), np.float32)
        options: dict[str, Any] = {"prompt": prompt} if prompt is not None else {}

        def run(start: int, end: int, repeats: int) -> None:
            batch = order[start:end]
            with alike(len(batch) * repeats * int(lengths[batch[0]]), self._device):
                found = encode(
                    [texts[i] for i in batch] * repeats,
                    batch_size=len(batch) * repeats,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                    **options,
                )
            vectors[batch] = np.asarray(found, dtype=np.float32)[: len(batch)]

        self._in_batches(lengths[order], run)
        return vectors, n_tokens

    # --- batches ---

    def _in_batches(self, lengths: NDArray[np.integer], run: Callable[[int, int, int], None]) -> None:
        """Call `run` with start, end and repeats of each batch of one length.

        Parameters
        ----------
        lengths : ndarray of shape (n_texts,), int
            Lengths in tokens, descending: memory runs out in the first batch or never.
        run : callable
            Encodes the texts from start to end, each repeated this often.
        """
        falling = -lengths
        start = 0
        while start < len(lengths):
            length = max(1, int(lengths[start]))
            end = int(np.searchsorted(falling, falling[start], side="right"))
            end = min(end, start + max(1, self._batch_tokens // length))
            repeats = math.ceil(min(LEAST_TOKENS, self._batch_tokens) / ((end - start) * length))
            try:
                run(start, end, repeats)
            except RuntimeError as error:  # torch.OutOfMemoryError is one; MPS raises the plain class
                self._halve(error, end - start)
                continue
            start = end

    def _halve(self, error: RuntimeError, batch_size: int) -> None:
        """Halve the token budget if the error is a lack of memory; raise any other error."""
        if "out of memory" not in str(error).lower() and type(error).__name__ != "OutOfMemoryError":
            raise error
        if batch_size == 1:
            msg = (
                f"embed: one text does not fit into the {self._device} memory; set embed.max_seq_length "
                "to a lower value"
            )
            raise StageError(msg) from error
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._batch_tokens = max(1, self._batch_tokens // 2)
