"""Segmenters: texts of scripts without spaces between words -> the same texts with spaces between them.

Chinese, Japanese, Thai, Lao, Khmer and Burmese are found by their letters, so a text of several scripts is cut rightly.
ICU's dictionaries cut all six; the extra `words` installs them. Without it a run of letters becomes overlapping pairs.
"""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise

PACKAGE = "icu4py"

LONGEST_RUN = 1000
"""Letters that are cut at a time; a longer run without any punctuation is data."""

PAIRS_USED = threading.Event()
"""Set when pairs of letters were used as words. A stage says so and clears it; nothing is logged here."""

Segmenter = Callable[[Sequence[str]], list[str]]
"""Runs of letters of scripts without spaces -> each run with spaces between its words."""


def optional_version(package: str) -> str:
    """Return the version of a package that may be missing; empty where it is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def word_identity() -> dict[str, str]:
    """Return what decides the words beside the project's code: the segmenter, and the tables of Unicode."""
    return {PACKAGE: optional_version(PACKAGE), "unicode": unicodedata.unidata_version}


def with_spaces(text: str) -> str:
    """Return a text with spaces around and inside its runs of scripts without spaces."""
    pieces = _runs().split(text)
    pieces[1::2] = [f" {run} " for run in _segmenter()(pieces[1::2])]
    return "".join(pieces)


def _segmenter() -> Segmenter:
    return by_dictionary if _is_installed() else as_pairs


@functools.cache
def _is_installed() -> bool:
    return bool(optional_version(PACKAGE))


def by_dictionary(runs: Sequence[str]) -> list[str]:
    """Return runs with spaces between the words that ICU finds.

    Notes
    -----
    140 ns a letter for Thai, 400 for Chinese and Japanese.
    """
    from icu4py.breakers import WordBreaker

    if not runs:
        return []
    return " ".join(WordBreaker(" ".join(runs), "en")).split("   ")  # a space between runs is a segment too


def as_pairs(runs: Sequence[str]) -> list[str]:
    """Return each run as its overlapping pairs of letters, each with its marks."""
    PAIRS_USED.set()
    found = []
    for run in runs:
        letters = _clusters().findall(run)
        found.append(" ".join(first + second for first, second in pairwise(letters)) or run)
    return found


@functools.cache
def _runs() -> re.Pattern[str]:
    return re.compile(f"([{_character_class(marks=True)}]{{1,{LONGEST_RUN}}})")


@functools.cache
def _clusters() -> re.Pattern[str]:
    """Return the pattern of a letter and what is written above, below or behind it."""
    return re.compile(f".[^{_character_class(marks=False)}]*")


def _character_class(*, marks: bool) -> str:
    """Return the inside of a character class: the letters of scripts without spaces, with or without their marks."""
    from topicflow.tasks.core.words.letters import ranges_in_class, unspaced_points

    return ranges_in_class(
        point for point in unspaced_points().tolist() if marks or unicodedata.category(chr(point))[0] != "M"
    )
