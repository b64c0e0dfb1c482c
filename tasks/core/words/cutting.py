r"""Cutting: texts -> the positions of their words. Everything that needs words asks here.

`WordRule` is the project's own definition of a word (`tasks.core.words.letters`). `PatternRule` is a regular expression
that a user has set, of those that the compiled scanner reproduces exactly.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.words.segmenters import Overlaps


class Cut(NamedTuple):
    """Texts that are cut into words.

    Attributes
    ----------
    text : ndarray
        UTF-8 in which the words lie, uint8.
    starts, ends : ndarray
        Begin and end of the words in it, (n_words,) int64.
    hashes : ndarray
        Hash of each word, (n_words,) uint64.
    ranges : ndarray
        Words of each text, (n_texts + 1,) int64.
    """

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    ranges: NDArray[np.int64]

    def words(self) -> list[str]:
        """Return the words of all texts, one after the other."""
        spelled = self.text.tobytes()
        bounds = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [spelled[start:end].decode() for start, end in bounds]


class Rule(Protocol):
    """What a word is."""

    def cut(self, texts: Sequence[str]) -> Cut:
        """Return the texts cut into words; several threads may call this at once."""

    def cut_terms(self, terms: Sequence[str]) -> Cut:
        """Return terms cut into words; a word of a script without spaces stays whole."""


def whole_words(rule: Rule, terms: Sequence[str]) -> list[str]:
    """Return the terms that are one word as the rule spells it."""
    cut = rule.cut_terms(terms)
    words, bounds = cut.words(), cut.ranges.tolist()
    return [
        term for term, at, end in zip(terms, bounds[:-1], bounds[1:], strict=True) if words[at:end] == [term]
    ]


@dataclass(frozen=True)
class WordRule:
    """The words of every script: runs of letters, digits and marks.

    Attributes
    ----------
    hyphens : bool
        Whether x-ray is one word or two.
    shortest : int
        Letters of the shortest word; a Chinese or Korean letter counts as two.
    lowercase : bool
        Whether words are written in lower case.
    overlaps : str
        What follows the words of scripts without spaces, by `segmenters.with_spaces`.
    """

    hyphens: bool
    shortest: int
    lowercase: bool = True
    overlaps: Overlaps = "none"

    def cut(self, texts: Sequence[str]) -> Cut:
        """Return the texts cut into words, in composed form."""
        return self._cut(texts, self.overlaps)

    def cut_terms(self, terms: Sequence[str]) -> Cut:
        """Return terms cut into words; a word of a script without spaces stays whole."""
        return self._cut(terms, None)

    def _cut(self, texts: Sequence[str], overlaps: Overlaps | None) -> Cut:
        from topicflow.tasks.core.words.letters import character_kinds, spellings
        from topicflow.tasks.core.words.word_kernels import scan_words

        text, bounds = _prepared(texts, overlaps)
        tables = character_kinds(hyphens=self.hyphens), spellings(lowercase=self.lowercase)
        return Cut(*scan_words(text, bounds, *tables, self.shortest))


KEYWORDS = WordRule(hyphens=True, shortest=2)
"""Words that are counted for topics."""

COMPARED = WordRule(hyphens=False, shortest=1)
"""Words of near-duplicates: single letters count, and x-ray is two words."""

INDEXED = WordRule(hyphens=False, shortest=1, overlaps="letters")
"""Words of the texts of an index: those of near-duplicates, and parts of runs that a query can have as words."""

ASKED = WordRule(hyphens=False, shortest=1, overlaps="pairs")
"""Words of a query of an index."""

_HYPHENATED, _PLAIN = r"\b\w[\w-]*\w\b", r"\b\w\w+\b"

SCANNED = {_HYPHENATED: True, f"(?u){_HYPHENATED}": True, _PLAIN: False, f"(?u){_PLAIN}": False}
"""Patterns that the scanner supports, and whether hyphens inside a word belong to it."""


@dataclass(frozen=True)
class PatternRule:
    """The matches of a pattern.

    Attributes
    ----------
    pattern : str
        One of `SCANNED`.
    lowercase : bool
        Whether texts are converted to lower case first, as in Python.
    """

    pattern: str
    lowercase: bool = True

    def cut(self, texts: Sequence[str]) -> Cut:
        """Return the texts cut into words."""
        from topicflow.tasks.core.words.tokens import scan

        text, bounds = _joined([(text.lower() if self.lowercase else text).encode() for text in texts])
        return Cut(text, *scan(text, bounds, character_classes(hyphens=SCANNED[self.pattern])))

    def cut_terms(self, terms: Sequence[str]) -> Cut:
        """Return terms cut into words."""
        return self.cut(terms)


def rule_of(pattern: str | None, *, lowercase: bool) -> Rule:
    """Return the rule for a pattern of `SCANNED`, and for none the project's own definition."""
    if pattern is None:
        return WordRule(KEYWORDS.hyphens, KEYWORDS.shortest, lowercase)
    return PatternRule(pattern, lowercase)


@functools.cache
def character_classes(*, hyphens: bool) -> NDArray[np.uint8]:
    r"""Return each code point's class for patterns, (0x110000,) uint8, from Python's own `\w`.

    Rust's `\w`, which polars uses, differs from Python's in about 12,900 code points (3.11): it matches combining marks
    and does not match digits like ².
    """
    from topicflow.tasks.core.words import tokens

    classes = np.zeros(sys.maxunicode + 1, np.uint8)
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    for run in re.finditer(r"\w+", everything):
        classes[run.start() : run.end()] = tokens.WORD
    if hyphens:
        classes[ord("-")] = tokens.HYPHEN
    return classes


def _prepared(texts: Sequence[str], overlaps: Overlaps | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the UTF-8 of texts in composed form, and the bounds of each; None for `overlaps` cuts no runs."""
    from topicflow.tasks.core.words.letters import special_points
    from topicflow.tasks.core.words.segmenters import with_spaces
    from topicflow.tasks.core.words.word_kernels import find_special

    parts = [text.encode() for text in texts]
    text, bounds = _joined(parts)
    if text.max(initial=0) < 0x80:
        return text, bounds
    special = find_special(text, bounds, *special_points())
    rows = np.flatnonzero(special & 1 if overlaps is None else special).tolist()
    if not rows:
        return text, bounds
    lengths = np.diff(bounds)
    for row in rows:
        changed = unicodedata.normalize("NFC", texts[row]) if special[row] & 1 else texts[row]
        if overlaps is not None and special[row] & 2:
            changed = with_spaces(changed, overlaps)
        parts[row] = changed.encode()
        lengths[row] = len(parts[row])
    return np.frombuffer(b"".join(parts), np.uint8), ranges_of(lengths)


def _joined(parts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of all parts, and the bounds (n + 1,) of each."""
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    return np.frombuffer(b"".join(parts), np.uint8), ranges_of(lengths)


def ranges_of(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bounds (n + 1,) of n consecutive ranges."""
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(np.asarray(lengths, np.int64), out=bounds[1:])
    return bounds
