"""Word pieces: the token ids of many texts by a table of words, as BERT's tokenizers give them but faster.

BERT's tokenizers read each word alone: white space and punctuation end a word, and letters are lowered and stripped of
accents one by one. So each distinct word is tokenised once, by the tokenizer itself, and looked up after that.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import Workers, threads

MOST_WORDS = 2**20
"""Words in a table. A full table is emptied: 10 million titles have about two million words, most of them only once."""

MOST_BYTES = 12 * MOST_WORDS
"""Bytes of the spellings of all words."""

ROUNDS = 4
"""Rounds of looking up and adding words. Two are enough unless the table is full; texts that still lack a word after
the last round, because they have more words than a table, go to the tokenizer."""

BLOCK_TEXTS = 4096
"""Texts that a thread reads at a time."""


class WordPieces:
    """A table of words in front of a BERT tokenizer.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
        The tokenizer; see `word_pieces`.
    lowers : bool
        Whether it lowers letters.
    marks : sequence of str
        Its own marks, such as [CLS], which it reads inside texts as well.
    """

    def __init__(self, backend: Any, lowers: bool, marks: Sequence[str]) -> None:  # noqa: ANN401
        from topicflow.tasks.core.words.piece_kernels import byte_kinds, lowered_bytes

        self._backend = backend
        spelled = [mark.encode() for mark in marks]
        self._kinds = byte_kinds(spelled)
        self._letters = lowered_bytes() if lowers else np.arange(256, dtype=np.uint8)
        self._marks = np.frombuffer(b"".join(spelled), np.uint8)
        self._mark_ends = np.cumsum([len(mark) for mark in spelled], dtype=np.int64)
        self._slots = np.zeros(2 * MOST_WORDS, np.int32)
        self._hashes = np.empty(MOST_WORDS, np.uint64)
        self._spelled = np.empty(MOST_BYTES, np.uint8)
        self._word_ends = np.empty(MOST_WORDS, np.int64)
        self._pieces, self._piece_ends = np.empty(2 * MOST_WORDS, np.int32), np.empty(MOST_WORDS, np.int64)
        self._sizes, self._is_full = np.zeros(3, np.int64), False
        self._one_at_a_time = threading.Lock()

    def __call__(
        self, texts: Sequence[str]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Return an array of ids, and the begin (n_texts,) and number (n_texts,) of each text's ids in it.

        The ids are those of `encode_batch(texts, add_special_tokens=False)` without truncation.
        """
        from topicflow.tasks.core.words.piece_kernels import MISSING

        series = pl.Series(texts, dtype=pl.String)
        bounds = np.concatenate([[0], np.cumsum(series.str.len_bytes().to_numpy(), dtype=np.int64)])
        text = np.frombuffer("".join(texts).encode(), np.uint8)
        ids, counts = np.empty(len(text), np.int32), np.empty(len(texts), np.int64)
        with self._one_at_a_time, threads() as run:
            lacking: NDArray[np.int64] = np.arange(len(texts))
            for _ in range(ROUNDS):
                self._look_up(run, lacking, text, bounds, ids, counts)
                lacking = lacking[counts[lacking] == MISSING]
                if not len(lacking):
                    break
                self._add_words(lacking, text, bounds, ids, counts)
        others = np.flatnonzero(counts < 0)
        found = self._by_tokenizer([texts[row] for row in others.tolist()])
        begins = bounds[:-1].copy()
        counts[others] = [len(one) for one in found]
        begins[others] = len(ids) + np.cumsum(counts[others]) - counts[others]
        return np.concatenate([ids, np.fromiter(chain.from_iterable(found), np.int32)]), begins, counts

    def _look_up(self, run: Workers, which: NDArray[np.int64], *asked: NDArray[Any]) -> None:
        """Write the ids and counts of the texts `which` that have only known words."""
        run(lambda start, stop: self._kernel(which[start:stop], *asked, adds=False), len(which), BLOCK_TEXTS)

    def _kernel(
        self,
        which: NDArray[np.int64],
        text: NDArray[np.uint8],
        bounds: NDArray[np.int64],
        ids: NDArray[np.int32],
        counts: NDArray[np.int64],
        *,
        adds: bool,
    ) -> bool:
        from topicflow.tasks.core.words.piece_kernels import look_up

        table = (self._slots, self._hashes, self._spelled, self._word_ends, self._pieces, self._piece_ends)
        read = (self._kinds, self._letters, self._marks, self._mark_ends)
        return bool(look_up(which, text, bounds, *read, *table, self._sizes, adds, ids, counts))

    def _add_words(self, which: NDArray[np.int64], *asked: NDArray[Any]) -> None:
        """Add the new words of the texts `which`, as many as the table has room for; a full table is emptied first."""
        from topicflow.tasks.core.words.piece_kernels import N_KNOWN, N_WORDS

        if self._is_full:
            self._slots[:] = 0
            self._sizes[:] = 0
        known = int(self._sizes[N_KNOWN])
        self._is_full = not self._kernel(which, *asked, adds=True)
        n_words = int(self._sizes[N_WORDS])
        ends = np.concatenate([[self._word_ends[known - 1] if known else 0], self._word_ends[known:n_words]])
        spelled = self._spelled[ends[0] : ends[-1]].tobytes()
        at = (ends - ends[0]).tolist()
        found = self._by_tokenizer([spelled[begin:end].decode() for begin, end in pairwise(at)])
        first = int(self._piece_ends[known - 1]) if known else 0
        self._piece_ends[known:n_words] = first + np.cumsum([len(one) for one in found])
        last = first + sum(map(len, found))
        if last > len(self._pieces):
            self._pieces = np.concatenate([self._pieces, np.empty(last, np.int32)])
        self._pieces[first:last] = np.fromiter(chain.from_iterable(found), np.int32)
        self._sizes[N_KNOWN] = n_words

    def _by_tokenizer(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return [one.ids for one in self._backend.encode_batch_fast(texts, add_special_tokens=False)]


def word_pieces(backend: Any) -> WordPieces | None:  # noqa: ANN401
    """Return the table of a tokenizer if it is one of BERT's, whose words do not depend on the words beside them."""
    about = json.loads(backend.to_str())
    parts = {name: about.get(name) or {} for name in ("normalizer", "pre_tokenizer", "model")}
    kinds = {name: part.get("type") for name, part in parts.items()}
    expected = {"normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer", "model": "WordPiece"}
    marks = about["added_tokens"]
    if (
        kinds != expected
        or not parts["normalizer"]["clean_text"]
        or any(mark["normalized"] or not mark["content"] for mark in marks)
    ):
        return None
    return WordPieces(backend, bool(parts["normalizer"]["lowercase"]), [mark["content"] for mark in marks])
