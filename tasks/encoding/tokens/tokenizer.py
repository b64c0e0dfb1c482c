"""Tokenizer: texts -> token ids, lengths, and batches of one length, which need no padding.

A text's vector must not depend on the other texts of its batch. Padding and masks change which numbers are added in
which order; a batch of texts of one length has neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import bound, threads
from topicflow.tasks.encoding.tokens.word_pieces import BLOCK_TEXTS, WordPieces, word_pieces

_In = TypeVar("_In")
_Out = TypeVar("_Out")


MANY_TEXTS = 32_768
"""Texts from which on a new table of words takes less time than the tokenizer (tests/benchmarks/README.md)."""


@dataclass(frozen=True)
class TokenIds:
    """Token ids of texts, one text after the other.

    Attributes
    ----------
    flat : ndarray of shape (n_ids,), int32
        All ids.
    ends : ndarray of shape (n_texts,), int64
        End of each text's ids in `flat`.
    """

    flat: NDArray[np.int32]
    ends: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of ids of each text (n_texts,)."""
        return np.diff(self.ends, prepend=0)

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.ends)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the ids of each text."""
        flat = self.flat.tolist()
        for begin, end in pairwise([0, *self.ends.tolist()]):
            yield flat[begin:end]

    def ordered(self, rows: NDArray[np.intp]) -> TokenIds:
        """Return the ids of the texts `rows`, in their order."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        shifts = np.repeat(self.ends[rows] - ends, lengths)
        return TokenIds(self.flat[np.arange(len(shifts)) + shifts], ends)


def of_lists(ids: Sequence[Sequence[int]]) -> TokenIds:
    """Return the token ids of texts from a list for each of them."""
    flat = np.fromiter(chain.from_iterable(ids), np.int32)
    return TokenIds(flat, np.cumsum(np.fromiter(map(len, ids), np.int64, len(ids))))


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
        again, with the tokenizer's own truncation. Many texts of a BERT model are read by its table of words: the same
        ids in a twentieth of the time (tests/benchmarks/tokenizing.py).
        """
        self.backend.no_padding()
        self.backend.no_truncation()
        prompted = [self.prefix + text for text in texts] if self.prefix else list(texts)
        pays = len(prompted) >= MANY_TEXTS or "_words" in vars(self)  # a table that is there is always faster
        if pays and self._words is not None and self._around is not None:
            return self._by_words(prompted, *self._around)
        ids: list[list[int]] = [
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
        return of_lists(ids), n_tokens

    def use_table(self) -> None:
        """Make the table of words now, for an encoder that gets many texts a few thousand at a time."""
        _ = self._words

    @cached_property
    def _words(self) -> WordPieces | None:
        """The table of words; None for a tokenizer that cannot have one."""
        return word_pieces(self.backend)

    @cached_property
    def _around(self) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """The marks before and after each text; None if the tokenizer does not put its marks around a text."""
        if not self.marks:
            return np.empty(0, np.int32), np.empty(0, np.int32)
        plain, found = (self.backend.encode("a", add_special_tokens=marks).ids for marks in (False, True))
        empty = self.backend.encode("", add_special_tokens=True).ids
        for n_first in range(len(empty) + 1):
            first, last = empty[:n_first], empty[n_first:]
            if (
                plain
                and found == first + plain + last
                and (not self.max_tokens or len(empty) < self.max_tokens)
            ):
                return np.array(first, np.int32), np.array(last, np.int32)
        return None

    def _by_words(
        self, texts: Sequence[str], first: NDArray[np.int32], last: NDArray[np.int32]
    ) -> tuple[TokenIds, NDArray[np.int32]]:
        """Return the same by the table of words."""
        from topicflow.tasks.core.words.piece_kernels import marked

        assert self._words is not None
        ids, begins, counts = self._words(texts)
        n_marks = len(first) + len(last)
        kept = np.minimum(counts, self.max_tokens - n_marks) if self.max_tokens else counts
        ends = np.cumsum(kept + n_marks)
        flat = np.empty(ends[-1], np.int32)
        with threads() as run:
            run(bound(marked, ids, begins, kept, first, last, ends, flat), len(texts), BLOCK_TEXTS)
        return TokenIds(flat, ends), (counts + n_marks).astype(np.int32)


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
    return ids.ordered(rows).flat.reshape(len(rows), -1).astype(np.int64)


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
