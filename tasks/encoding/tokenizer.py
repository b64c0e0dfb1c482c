"""Tokenizer: texts -> token ids, lengths, and batches of one length, which need no padding.

A text's vector must not depend on the other texts of its batch. Padding and masks change which numbers are added in
which order; a batch of texts of one length has neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

TokenIds = list[list[int]]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class TextTokens:
    """A fast tokenizer (of the `tokenizers` library) with the prompt and the longest input of an encoder.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
        The tokenizer; its truncation and padding are set here, call by call.
    prefix : str
        Prompt put before each text.
    max_tokens : int or None
        Longest input, including marks such as [CLS]; None for no limit.
    marks : bool
        Put marks such as [CLS] around each text, as transformers need them.
    """

    backend: Any
    prefix: str
    max_tokens: int | None
    marks: bool = True

    def __call__(self, texts: Sequence[str]) -> tuple[TokenIds, NDArray[np.int32]]:
        """Return the token ids of each text, cut at `max_tokens`, and the lengths (n_texts,) before cutting.

        Notes
        -----
        Each text is tokenised once, 20,000 titles per second and core; only texts that are too long are tokenised
        again, with the tokenizer's own truncation.
        """
        self.backend.no_padding()
        self.backend.no_truncation()
        prompted = [self.prefix + text for text in texts] if self.prefix else list(texts)
        ids: TokenIds = [
            one.ids for one in self.backend.encode_batch_fast(prompted, add_special_tokens=self.marks)
        ]
        n_tokens = np.fromiter(map(len, ids), np.int32, len(ids))
        too_long = np.flatnonzero(n_tokens > self.max_tokens) if self.max_tokens else ()
        if len(too_long):
            self.backend.enable_truncation(max_length=self.max_tokens)
            cut = self.backend.encode_batch_fast(
                [prompted[i] for i in too_long], add_special_tokens=self.marks
            )
            self.backend.no_truncation()
            for i, one in zip(too_long, cut, strict=True):
                ids[i] = one.ids
        return ids, n_tokens


@dataclass
class LengthBatches:
    """The rows of texts in batches of one length, longest first: memory runs out in the first batch or never.

    Parameters
    ----------
    lengths : ndarray of shape (n_texts,), int
        Length of each text in tokens.
    budget : int
        Maximum number of tokens in a batch; may be lowered between two batches.
    """

    lengths: NDArray[np.integer]
    budget: int

    def __iter__(self) -> Iterator[NDArray[np.intp]]:
        """Yield the rows of each batch."""
        order = np.argsort(-self.lengths, kind="stable")
        ordered = -self.lengths[order]
        start = 0
        while start < len(order):
            length = -int(ordered[start])
            end = int(np.searchsorted(ordered, -length, side="right"))
            size = max(1, self.budget // max(1, length))
            yield order[start : min(end, start + size)]
            start = min(end, start + size)


def token_matrix(ids: TokenIds, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the ids (n_rows, length) int64 of rows of one length."""
    return np.array([ids[row] for row in rows], dtype=np.int64)


def ahead(function: Callable[[_In], _Out], items: Sequence[_In]) -> Iterator[_Out]:
    """Yield `function` of each item in order; a thread computes the next result while the caller uses this one.

    Notes
    -----
    A fast tokenizer works outside Python's lock, so both run at the same time; one result is computed in advance.
    """
    if len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(1, "ahead") as pool:
        waiting = pool.submit(function, items[0])
        for item in items[1:]:
            ready = waiting.result()
            waiting = pool.submit(function, item)
            yield ready
        yield waiting.result()
