"""Vocabulary: texts -> numbers of their words and phrases for each document; numbers -> the words.

Two ways: the compiled scanner, for the project's own words and for two patterns, and a regular expression's matches for
any other pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.words.cutting import Cut, Rule, ranges_of, whole_words
from topicflow.tasks.core.words.inflections import BaseForm, Forms, Inflections

Numbered = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Word numbers of documents, one after the other, and each document's range of them (n_docs + 1,)."""

Analyzer = Callable[[str], list[str]]

_T = TypeVar("_T", bound=np.generic)


class Vocabulary(Protocol):
    """Numbers words and phrases; the order of the numbers has no meaning."""

    def cut(self, texts: Sequence[str]) -> Any:  # noqa: ANN401  (the argument of `number` of the same class)
        """Return tokenized texts; several threads may call this at once."""

    def number(self, cut: Any) -> Numbered:  # noqa: ANN401
        """Return the numbers of the words and phrases; new ones get the next numbers. Only one thread at a time."""

    @property
    def n_numbers(self) -> int:
        """Upper bound (exclusive) of all numbers so far."""

    def words(self, numbers: NDArray[np.int64]) -> pl.Series:
        """Return the words and phrases with these numbers."""

    @property
    def forms(self) -> Forms | None:
        """The forms of each base form in the texts so far; None if words are not joined."""


class AnalyzedWords:
    """Words from scikit-learn's analyzer.

    Notes
    -----
    Python code, 7 µs for a title, on one core whatever the number of threads.
    """

    def __init__(self, analyze: Analyzer) -> None:
        self._analyze = analyze
        self._numbers: dict[str, int] = {}

    def cut(self, texts: Sequence[str]) -> list[list[str]]:
        """Return each text's words."""
        return [self._analyze(text) for text in texts]

    def number(self, cut: list[list[str]]) -> Numbered:
        """Return the words' numbers."""
        numbers = self._numbers
        found = [numbers.setdefault(word, len(numbers)) for words in cut for word in words]
        return np.array(found, np.int64), ranges_of([len(words) for words in cut])

    @property
    def n_numbers(self) -> int:
        """Distinct words so far."""
        return len(self._numbers)

    def words(self, numbers: NDArray[np.int64]) -> pl.Series:
        """Return the words with these numbers."""
        return pl.Series("word", list(self._numbers), dtype=pl.String).gather(numbers)

    @property
    def forms(self) -> None:
        """None: words of a pattern are not joined."""
        return


class ScannedWords:
    """Words from the compiled scanner, and phrases of `shortest` to `longest` words.

    Parameters
    ----------
    rule : Rule
        What a word is.
    stop_words : sequence of str
        Words that are left out before phrases are formed; the rule cuts them as it cuts texts.
    shortest, longest : int
        Words in a phrase.
    base_form : BaseForm, optional
        If given, words with the same base form are one word, which `words` returns as that base form.

    Notes
    -----
    A phrase of n words is stored as the number of its first n - 1 words and of its last word: 20 bytes, whatever its
    letters. Its own number contains this pair's number and the phrase's length, so all lengths share one number space.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        stop_words: Sequence[str],
        shortest: int,
        longest: int,
        base_form: BaseForm | None = None,
    ) -> None:
        self._rule = rule
        self._inflections = None if base_form is None else Inflections(base_form)
        self._shortest, self._n_lengths = shortest, longest
        self._words = _WordTable()
        self._phrases = [_PairTable() for _ in range(longest - 1)]
        self._words.number(rule.cut_terms(stop_words))
        self._n_stopped = self._words.size

    def cut(self, texts: Sequence[str]) -> Cut:
        """Return the texts' bytes with the positions of their words."""
        return self._rule.cut(texts)

    def number(self, cut: Cut) -> Numbered:
        """Return the words' and phrases' numbers."""
        from topicflow.tasks.core.words import tokens

        words, bounds = tokens.leave_out(self._words.number(cut), cut.ranges, self._n_stopped)
        if self._inflections is not None:
            words = self._inflections.joined(words, self._words.words(len(self._inflections.bases)))
        if self._n_lengths == 1:
            return words, bounds
        documents = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        phrases = words
        found = [(words * self._n_lengths, documents)] if self._shortest == 1 else []
        for width, table in enumerate(self._phrases, start=1):
            phrases = table.number(tokens.lengthen(phrases, words, bounds, width))
            there = phrases >= 0
            if width + 1 >= self._shortest:
                found.append((phrases[there] * self._n_lengths + width, documents[there]))
        rows = np.concatenate([rows for _, rows in found])
        order = np.argsort(rows, kind="stable")
        numbers = np.concatenate([numbers for numbers, _ in found])[order]
        return numbers, ranges_of(np.bincount(rows, minlength=len(bounds) - 1))

    @property
    def n_numbers(self) -> int:
        """Upper bound (exclusive) of all numbers so far."""
        return self._n_lengths * max(self._words.size, *(table.size for table in self._phrases), 0)

    def words(self, numbers: NDArray[np.int64]) -> pl.Series:
        """Return the words and phrases with these numbers."""
        words = self._words.words() if self._inflections is None else self._inflections.names()
        found = pl.DataFrame({"number": numbers}).with_row_index("row")
        parts = []
        for width in range(self._n_lengths):
            own = found.filter(pl.col("number") % self._n_lengths == width)
            spelled = self._spell((own["number"] // self._n_lengths).to_numpy(), width, words)
            parts.append(own.select("row", word=spelled))
        return pl.concat(parts).sort("row")["word"]

    @property
    def forms(self) -> Forms | None:
        """The forms of each base form in the texts so far; None without base forms."""
        return None if self._inflections is None else self._inflections.forms(self._words.words())

    def _spell(self, numbers: NDArray[np.int64], width: int, words: pl.Series) -> pl.Series:
        """Return the phrases of `width` + 1 words with these numbers in their table."""
        if width == 0:
            return words.gather(numbers)
        pairs = self._phrases[width - 1].known[numbers]
        before = self._spell((pairs >> np.uint64(32)).astype(np.int64), width - 1, words)
        last = words.gather((pairs & np.uint64(0xFFFFFFFF)).astype(np.int64))
        return pl.select(pl.concat_str(before, last, separator=" ")).to_series()


class KnownWords:
    """A fixed set of words that the scanner finds in texts.

    Parameters
    ----------
    words : mapping of str to int
        The number of each word. An entry that is not one word by the rule is never found.
    rule : Rule
        What a word is.
    """

    def __init__(self, words: Mapping[str, int], rule: Rule) -> None:
        self._rule = rule
        found = whole_words(rule, list(words))
        self._table = _WordTable()
        self._table.number(rule.cut_terms(found))
        self._numbers = np.array(
            [*(words[word] for word in found), -1], np.int32
        )  # the last entry is -1 for words that are not found

    def find(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the number of every word of the texts, -1 for unknown ones, and each text's range of them."""
        cut = self._rule.cut(texts)
        return self._numbers[self._table.find(cut)], cut.ranges


class _WordTable:
    """Numbers of words; 24 bytes for each word in addition to its letters."""

    def __init__(self) -> None:
        self.size = 0
        self._letters = np.empty(1 << 16, np.uint8)
        self._bounds = np.zeros(1 << 13, np.int64)
        self._known = np.empty(1 << 13, np.uint64)
        self._slots = np.full(1 << 14, -1, np.int32)

    def number(self, cut: Cut) -> NDArray[np.int64]:
        """Return the numbers of words; new ones get the next numbers."""
        from topicflow.tasks.core.words import tokens

        numbers = np.empty(len(cut.starts), np.int64)
        done = 0
        while done < len(numbers):
            done, self.size = tokens.number_words(
                cut.text, cut.starts, cut.ends, cut.hashes, numbers, done,
                self._letters, self._bounds, self._known, self._slots, self.size,
            )  # fmt: skip
            if done < len(numbers):
                self._grow(int(cut.ends[done] - cut.starts[done]))
        return numbers

    def find(self, cut: Cut) -> NDArray[np.int64]:
        """Return the numbers of words, -1 for words without a number."""
        from topicflow.tasks.core.words import tokens

        found: NDArray[np.int64] = tokens.find_words(
            cut.text, cut.starts, cut.ends, cut.hashes, self._letters, self._bounds, self._known, self._slots
        )
        return found

    def _grow(self, length: int) -> None:
        """Make room for a word of `length` bytes: double the arrays that are full."""
        from topicflow.tasks.core.words import tokens

        if self._bounds[self.size] + length + 1 > len(self._letters):
            self._letters = _longer(self._letters, 2 * len(self._letters) + length)
        if self.size + 1 >= len(self._bounds):
            self._bounds = _longer(self._bounds, 2 * len(self._bounds))
            self._known = _longer(self._known, 2 * len(self._known))
        if 2 * self.size >= len(self._slots):
            self._slots = np.full(2 * len(self._slots), -1, np.int32)
            tokens.fill_slots(self._known, self.size, self._slots)

    def words(self, start: int = 0) -> pl.Series:
        """Return all words from a number on in the order of their numbers."""
        text = self._letters[self._bounds[start] : self._bounds[self.size]].tobytes().decode()
        return pl.Series("word", text.split("\n")[: self.size - start], dtype=pl.String)


class _PairTable:
    """Numbers of pairs of numbers; 16 bytes for each pair."""

    def __init__(self) -> None:
        self.size = 0
        self.known = np.empty(1 << 13, np.uint64)
        self._slots = np.full(1 << 14, -1, np.int32)

    def number(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of pairs; new ones get the next numbers; -1 for -1."""
        from topicflow.tasks.core.words import tokens

        numbers = np.empty(len(pairs), np.int64)
        done = 0
        while done < len(pairs):
            done, self.size = tokens.number_pairs(pairs, numbers, done, self.known, self._slots, self.size)
            if done < len(pairs):
                self.known = _longer(self.known, 2 * len(self.known))
                self._slots = np.full(2 * len(self._slots), -1, np.int32)
                tokens.fill_slots(self.known, self.size, self._slots)
        return numbers


def _longer(array: NDArray[_T], size: int) -> NDArray[_T]:
    """Return an array of `size` that begins with `array`."""
    longer: NDArray[_T] = np.empty(size, array.dtype)
    longer[: len(array)] = array
    return longer
