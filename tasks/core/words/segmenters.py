"""Segmenters: texts of scripts without spaces between words -> the same texts with spaces between them.

Chinese, Japanese, Thai, Lao, Khmer and Burmese are found by their letters, so that each run is cut rightly.
The extra `words` installs the segmenters: rjieba for Chinese, SudachiPy for Japanese, ICU for the others and in place
of a missing one. Without any of them the overlapping pairs of a run's letters are its words.
"""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any, Literal

ICU, JIEBA, SUDACHI, SUDACHI_WORDS = "icu4py", "rjieba", "sudachipy", "sudachidict-small"
PACKAGES = (ICU, JIEBA, SUDACHI, SUDACHI_WORDS)

LONGEST_RUN = 1000
"""Letters that are cut at a time; a longer run without any punctuation is data."""

PAIRS_USED = threading.Event()
"""Set when pairs of letters were used as words. A stage says so and clears it; nothing is logged here."""

Segmenter = Callable[[Sequence[str]], list[str]]
"""Runs of letters of scripts without spaces -> each run with spaces between its words."""

Overlaps = Literal["none", "pairs", "letters"]
"""What follows the words of a run: nothing; its pairs of letters; these and its Chinese and Japanese letters."""

_OWN = threading.local()
"""Each thread's own tokenizer: they cannot be shared."""


def optional_version(package: str) -> str:
    """Return the version of a package that may be missing; empty where it is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def word_identity() -> dict[str, str]:
    """Return what decides the words beside the project's code: the segmenters, and the tables of Unicode."""
    packages = {package: optional_version(package) for package in PACKAGES}
    return {**packages, "unicode": unicodedata.unidata_version}


def with_spaces(text: str, overlaps: Overlaps = "none") -> str:
    """Return a text with spaces around and inside its runs of scripts without spaces.

    Search needs more than the words of a run, because a query can be cut in another way than a text: with `overlaps`
    its pairs of letters follow, so that whatever part of a run is a word is found.
    """
    pieces = _runs().split(text)
    japanese = _KANA.search(text) is not None
    for kind in (1, 2):  # groups of the pattern: Chinese and Japanese, the others
        rows = [row for row in range(kind, len(pieces), 3) if pieces[row]]
        script = "other" if kind == 2 else "japanese" if japanese else "chinese"
        found = _segmenter(script)([pieces[row] for row in rows])
        for row, words in zip(rows, found, strict=True):
            pieces[row] = f" {words} {_overlapping(pieces[row], words, overlaps)}"
    return "".join(piece or "" for piece in pieces)


_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
"""Letters of Japanese alone: a text with one of them is Japanese, and so are its Chinese letters."""


def _segmenter(script: str) -> Segmenter:
    if script == "chinese" and _is_installed(JIEBA):
        return by_jieba
    if script == "japanese" and _is_installed(SUDACHI, SUDACHI_WORDS):
        return by_sudachi
    return by_icu if _is_installed(ICU) else as_pairs


@functools.cache
def _is_installed(*packages: str) -> bool:
    return all(optional_version(package) for package in packages)


def by_icu(runs: Sequence[str]) -> list[str]:
    """Return runs with spaces between the words that ICU finds.

    Notes
    -----
    140 ns a letter for Thai, 400 for Chinese.
    """
    from icu4py.breakers import WordBreaker

    if not runs:
        return []
    return " ".join(WordBreaker(" ".join(runs), "en")).split("   ")  # a space between runs is a segment too


def by_jieba(runs: Sequence[str]) -> list[str]:
    """Return runs with spaces between the words that jieba finds.

    Notes
    -----
    300 ns a letter; the dictionary is loaded once, in a second.
    """
    from rjieba import cut

    return [" ".join(cut(run)) for run in runs]


def by_sudachi(runs: Sequence[str]) -> list[str]:
    """Return runs with spaces between the words that SudachiPy finds with its small dictionary.

    Notes
    -----
    1.8 µs a letter.
    """
    if not hasattr(_OWN, "sudachi"):
        _OWN.sudachi = _sudachi_dictionary().tokenizer()
    return [" ".join(map(str, _OWN.sudachi.tokenize(run))) for run in runs]


@functools.cache
def _sudachi_dictionary() -> Any:  # noqa: ANN401  (the class of a package that may be missing)
    from sudachipy import Dictionary

    return Dictionary(dict="small")


def as_pairs(runs: Sequence[str]) -> list[str]:
    """Return each run as its overlapping pairs of letters, each with its marks."""
    if runs:
        PAIRS_USED.set()
    return [" ".join(_pairs(_clusters().findall(run))) or run for run in runs]


def _pairs(letters: Sequence[str]) -> list[str]:
    return [first + second for first, second in pairwise(letters)]


def _overlapping(run: str, words: str, overlaps: Overlaps) -> str:
    """Return the pairs of a run's letters, and its letters, that are not among its words."""
    if overlaps == "none":
        return ""
    letters = _clusters().findall(run)
    more = _pairs(letters)
    if overlaps == "letters":
        more += [letter for letter in letters if letter >= _FIRST_EAST_ASIAN]
    known = set(words.split(" "))
    return "".join(f"{each} " for each in more if each not in known)


_FIRST_EAST_ASIAN = "\u3000"


@functools.cache
def _runs() -> re.Pattern[str]:
    """Return the pattern of a run of letters, in two groups: Chinese and Japanese, the other scripts."""
    letters = _points(marks=True)
    east = "".join(letter for letter in letters if letter >= _FIRST_EAST_ASIAN and letter not in _BURMESE)
    other = "".join(letter for letter in letters if letter < _FIRST_EAST_ASIAN or letter in _BURMESE)
    return re.compile(f"([{_in_class(east)}]{{1,{LONGEST_RUN}}})|([{_in_class(other)}]{{1,{LONGEST_RUN}}})")


_BURMESE = frozenset(map(chr, (*range(0xA9E0, 0xAA00), *range(0xAA60, 0xAA80))))
"""Letters of Burmese behind those of Chinese."""


@functools.cache
def _clusters() -> re.Pattern[str]:
    """Return the pattern of a letter and what is written above, below or behind it."""
    return re.compile(f".[^{_in_class(''.join(_points(marks=False)))}]*")


def _points(*, marks: bool) -> list[str]:
    """Return the letters of scripts without spaces, with or without their marks."""
    from topicflow.tasks.core.words.letters import unspaced_points

    points = map(chr, unspaced_points().tolist())
    return [point for point in points if marks or unicodedata.category(point)[0] != "M"]


def _in_class(letters: str) -> str:
    from topicflow.tasks.core.words.letters import ranges_in_class

    return ranges_in_class(map(ord, letters))
