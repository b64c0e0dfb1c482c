"""Letters: each code point -> what it is in a word, and what it is written as there.

The one definition of a word. A word is a run of letters, digits and combining marks (Unicode L, N, M) in composed form
(NFC). Everything that cuts texts into words uses these tables by `tasks.core.words.cutting`.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

OTHER, LETTER, UNSPACED, WIDE, MARK, SKIPPED, HYPHEN, UNDERSCORE, APOSTROPHE, JOINER, SIGN = range(11)
"""What a code point is.

LETTER: a letter or a digit. UNSPACED: a letter or a mark of a script without spaces. WIDE: a letter that can be a word
alone (Chinese, Korean). MARK: belongs to the letter before it. SKIPPED: has no width or is left out in usual spelling.
The others may stand between two letters of a word; SIGN is a sign of words such as C++ and AT&T.
"""

UNSPACED_SCRIPT, NOT_COMPOSED, SECOND, ORDERED, COMPOSED = 1, 2, 4, 8, 16
"""Flags of a code point: its script has no spaces; it has another composed form; it can end a pair that
composes; it has a place in the order of marks; it is a composed letter."""

UNSPACED_BLOCKS = (
    (0x0E00, 0x0E7F), (0x0E80, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007), (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1B000, 0x1B16F),  # Japanese
    *(_CHINESE := ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))),
)  # fmt: skip
"""Blocks of the scripts that write no spaces between words. Tibetan has a dot between its syllables."""

_WIDE_BLOCKS = (*_CHINESE, (0x1100, 0x11FF), (0xAC00, 0xD7FF), (0x3130, 0x318F))
"""Chinese and Korean: one letter can be a word."""

_SKIPPED = (
    (0x00AD, 0x00AD), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0x2066, 0x2069), (0xFEFF, 0xFEFF),
    (0xFE00, 0xFE0F), (0xE0100, 0xE01EF),
    (0x0610, 0x061A), (0x0640, 0x0640), (0x064B, 0x0652), (0x0656, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC),
    (0x06DF, 0x06E4), (0x06E7, 0x06E8), (0x06EA, 0x06ED),
    (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7),
)  # fmt: skip
"""Soft hyphen, marks of direction and of form; then the vowel signs of Arabic and Hebrew, which most texts leave out.

Vowel signs of Indian scripts are not here: they distinguish words.
"""

_HYPHENS, _APOSTROPHES = (0x2D, 0x2010, 0x2011), (0x27, 0x2018, 0x2019, 0x02BC, 0xFF07)
_JOINERS = (0x200C, 0x200D, 0x00B7, 0x05F3, 0x05F4)
_SIGNS = (ord("+"), ord("#"), ord("."), ord("&"))

_ASSIGNED = 0x323B0
"""End of the planes of letters; behind it are only variation selectors and private code points."""


@functools.cache
def character_kinds(*, hyphens: bool) -> NDArray[np.uint8]:
    """Return what each code point is, (0x110000,) uint8; `hyphens` says whether x-ray is one word."""
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    by_category = {
        "L": LETTER,
        "N": LETTER,
        "M": MARK,
        "Me": SKIPPED,
    }  # Me: a ring around a digit, as in emojis
    found = [unicodedata.category(chr(point)) for point in range(_ASSIGNED)]
    kinds[:_ASSIGNED] = [by_category.get(each, by_category.get(each[0], OTHER)) for each in found]
    digits = np.array([each == "Nd" for each in found])
    _assign(kinds, UNSPACED_BLOCKS, UNSPACED, among=(LETTER, MARK))
    _assign(kinds, _WIDE_BLOCKS, WIDE, among=(LETTER, UNSPACED))
    kinds[:_ASSIGNED][digits] = LETTER  # a number is one word, whatever its digits
    _assign(kinds, _SKIPPED, SKIPPED)
    for points, kind in (
        (_APOSTROPHES, APOSTROPHE),
        (_JOINERS, JOINER),
        (_SIGNS, SIGN),
        ((0x5F,), UNDERSCORE),
    ):
        kinds[list(points)] = kind
    if hyphens:
        kinds[list(_HYPHENS)] = HYPHEN
    return kinds


def _assign(
    kinds: NDArray[np.uint8], blocks: Iterable[tuple[int, int]], kind: int, among: tuple[int, ...] = ()
) -> None:
    for first, last in blocks:
        block = kinds[first : last + 1]
        block[np.isin(block, among) if among else slice(None)] = kind


@functools.cache
def spellings(*, lowercase: bool) -> NDArray[np.int32]:
    """Return the code point that each one is written as in a word, (0x110000,) int32.

    Lower case as in Python, except İ, which becomes i and not two characters. Hyphens and apostrophes have one form.
    """
    points = np.arange(sys.maxunicode + 1, dtype=np.int32)
    if lowercase:
        for point in range(0x1E944):  # behind it no letter has a case
            lower = chr(point).lower()
            if len(lower) == 1:
                points[point] = ord(lower)
        points[0x130] = ord("i")
    points[list(_HYPHENS)], points[list(_APOSTROPHES)] = ord("-"), ord("'")
    return points


def unspaced_points() -> NDArray[np.intp]:
    """Return the letters and marks of scripts without spaces, ascending."""
    kinds = character_kinds(hyphens=False)
    blocks = np.concatenate([np.arange(first, last + 1) for first, last in UNSPACED_BLOCKS])
    return np.unique(blocks[np.isin(kinds[blocks], (UNSPACED, WIDE))])


def ranges_in_class(points: Iterable[int]) -> str:
    """Return ascending code points as the inside of a character class of a regular expression."""
    runs: list[list[int]] = []
    for point in points:
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)


@functools.cache
def special_points() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """Return each code point's flags and combining class, (0x110000,) uint8, and the pairs that compose, (n,) int64.

    A pair is the first code point, shifted by 21 bits, and the second.
    """
    flags = np.zeros(sys.maxunicode + 1, np.uint8)
    classes = np.zeros(sys.maxunicode + 1, np.uint8)
    flags[unspaced_points()] |= UNSPACED_SCRIPT
    classes[:_ASSIGNED] = [unicodedata.combining(chr(point)) for point in range(_ASSIGNED)]
    flags[classes != 0] |= ORDERED
    pairs = []
    for point in range(_ASSIGNED):
        parts = unicodedata.decomposition(chr(point))
        if not parts or parts[0] == "<":
            continue
        if unicodedata.normalize("NFC", chr(point)) != chr(point):
            flags[point] |= NOT_COMPOSED
        else:
            first, second = (int(part, 16) for part in parts.split())
            flags[point] |= COMPOSED
            flags[second] |= SECOND
            pairs.append((first << 21) | second)
    flags[0x1161:0x1176] |= NOT_COMPOSED  # Korean letters, which a syllable is composed of
    flags[0x11A8:0x11C3] |= NOT_COMPOSED
    return flags, classes, np.sort(np.array(pairs, np.int64))
