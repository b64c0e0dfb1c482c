"""Word kernels: UTF-8 texts in composed form -> their words, in the spelling in which they are counted, and hashes.

Functions import this module when they run, because numba compiles decorated functions at import. All kernels release
the interpreter's lock.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.words.letters import (
    APOSTROPHE,
    COMPOSED,
    HYPHEN,
    JOINER,
    LETTER,
    MARK,
    NOT_COMPOSED,
    OTHER,
    SECOND,
    SIGN,
    SKIPPED,
    UNDERSCORE,
    UNSPACED_SCRIPT,
    WIDE,
)
from topicflow.tasks.core.words.tokens import decode_point, place_of

LONGEST = 128
"""Characters of a word; a longer run, such as encoded data, is cut into words of this length."""

_FNV_OFFSET = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)
_CAPITAL_SIGMA, _FINAL_SIGMA, _DOT_ABOVE = 0x3A3, np.int64(0x3C2), 0x307
_LATIN_END = 0x250
"""First code point behind Basic Latin, Latin-1 and Latin Extended A and B."""


def scan_words(
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    spelled: NDArray[np.int32],
    shortest: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Return the spelled bytes, the begin and end of words in them, the words' hashes, and each document's range.

    Parameters
    ----------
    text : ndarray
        UTF-8 of all documents, one after the other, (n_bytes,) uint8.
    bounds : ndarray
        Document i is `text[bounds[i]:bounds[i + 1]]`, (n_docs + 1,) int64.
    kinds, spelled : ndarray
        What each code point is and how it is written: `letters.character_kinds` and `letters.spellings`.
    shortest : int
        Characters of the shortest word. A letter that can be a word alone counts as two.
    """
    n_docs = len(bounds) - 1
    room = len(text) // 2 + n_docs + 1  # a word and what separates it have at least two bytes
    starts, ends, hashes = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint64)
    ranges = np.zeros(n_docs + 1, np.int64)
    out = np.empty(len(text) + len(text) // 2 + 8, np.uint8)  # lower case can need three bytes for two
    n, w = _scan(
        text,
        bounds,
        kinds,
        spelled,
        *_plain_letters(kinds, spelled),
        shortest,
        out,
        starts,
        ends,
        hashes,
        ranges,
    )
    return out[:w], starts[:n], ends[:n], hashes[:n], ranges


def _plain_letters(
    kinds: NDArray[np.uint8], spelled: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return how ASCII letters (256,) and those of at most two bytes (0x800,) are written, 0 for all other cases."""
    codes, written = np.arange(0x800), spelled[:0x800]
    same_length = (written < 0x800) & ((codes < 0x80) == (written < 0x80))
    is_plain = (kinds[:0x800] == LETTER) & (codes != _CAPITAL_SIGMA) & same_length
    plain = np.where(is_plain, written, 0).astype(np.uint16)
    return np.where(np.arange(256) < 0x80, plain[:256], 0).astype(np.uint8), plain


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan(  # noqa: C901, PLR0912, PLR0915  (one state machine on scalars, which a call would slow)
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    spelled: NDArray[np.int32],
    ascii_letters: NDArray[np.uint8],
    plain: NDArray[np.uint16],
    shortest: int,
    out: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    ranges: NDArray[np.int64],
) -> tuple[np.int64, np.int64]:
    """Write what `scan_words` returns; return the number of words and of spelled bytes."""
    n, w = np.int64(0), np.int64(0)  # not 0: with a constant, helpers would be compiled twice
    n_docs = len(bounds) - 1
    for document in range(n_docs):
        at, stop = int(bounds[document]), int(bounds[document + 1])
        start, points, extra = w, 0, 0  # extra: letters that count twice
        value, before, sigma = _FNV_OFFSET, _FNV_OFFSET, False
        while at <= stop:
            until = min(stop, at + LONGEST - points)
            while at < until:  # nearly all characters of words: letters of one, two and three bytes
                first = at
                while at < until:
                    byte = ascii_letters[text[at]]
                    if byte == 0:
                        break
                    out[w] = byte
                    value = (value ^ np.uint64(byte)) * _FNV_PRIME
                    w, at = w + 1, at + 1
                if at > first:
                    points, sigma = int(points + at - first), False
                    if at == until:
                        break
                lead = np.int64(text[at])
                if 0xC0 <= lead < 0xE0:
                    point = ((lead & 0x1F) << 6) | (np.int64(text[at + 1]) & 0x3F)
                    letter = np.int64(plain[point])
                    if letter == 0:
                        break
                    w, value = _write_two(out, w, letter, value)
                    at += 2
                elif 0xE0 <= lead < 0xF0:
                    letter = decode_point(text, at)[0]
                    kind = kinds[letter]
                    if (kind != LETTER and (kind != MARK or points == 0)) or spelled[letter] != letter:
                        break
                    w, value = _copy_three(out, w, text, at, value)
                    at += 3
                else:
                    break
                points, sigma = points + 1, False
            point, width, kind = np.int64(0), 1, 0
            if at < stop:
                point = np.int64(text[at])
                if point >= 0x80:
                    point, width = decode_point(text, at)
                kind = kinds[point]
            if kind == OTHER or (kind == SIGN and point == 0x2E and points > 0):  # a full stop ends a word
                if sigma:
                    w, value = _write(out, w - 2, _FINAL_SIGMA, before)
                if points + extra >= shortest:
                    starts[n], ends[n], hashes[n] = start, w, value
                    n += 1
                start, points, extra, value, sigma = w, 0, 0, _FNV_OFFSET, False
                at += width
                continue
            if kind <= WIDE or (kind == MARK and points > 0):
                if (
                    point == _DOT_ABOVE and points > 0 and out[w - 1] == 0x69
                ):  # the decomposed form of the capital that becomes i
                    at += width
                    continue
                if points == LONGEST:
                    starts[n], ends[n], hashes[n] = start, w, value
                    n += 1
                    start, points, extra, value = w, 0, 0, _FNV_OFFSET
                sigma = point == _CAPITAL_SIGMA and spelled[point] != point and points > 0
                before = value
                w, value = _write(out, w, np.int64(spelled[point]), value)
                points += 1
                extra += kind == WIDE
                at += width
                continue
            if MARK <= kind <= SKIPPED:
                at += width
                continue
            ahead = at + width
            joined, dropped, added = False, 0, 0
            if points == 0:
                if kind == APOSTROPHE:
                    dropped = _clitic(text, ahead, stop, kinds)
                elif kind == SIGN and point == 0x2E and _is_net(text, ahead, stop, kinds):
                    joined = True
            elif kind == HYPHEN or kind == JOINER:  # noqa: PLR1714, SIM109  (faster than a tuple)
                joined = _is_letter(text, ahead, stop, kinds)
            elif kind == UNDERSCORE:
                while ahead < stop and text[ahead] == 0x5F:
                    ahead += 1
                joined = _is_letter(text, ahead, stop, kinds)
                ahead = at + width
                if not joined and ahead < stop and text[ahead] == 0x5F:
                    while ahead < stop and text[ahead] == 0x5F:
                        ahead += 1
                    width = ahead - at
            elif kind == APOSTROPHE and _is_letter(text, ahead, stop, kinds):
                joined = not _ends_latin(out, w) or _keeps_apostrophe(out, start, w, text, ahead, stop, kinds)
                if not joined:
                    dropped = _clitic(text, ahead, stop, kinds)
            elif kind == SIGN:
                if point == 0x26:
                    joined = bool(points <= 3) and _is_short(out, start, w, text, ahead, stop, kinds)
                elif point == 0x2B:
                    if ahead < stop and text[ahead] == 0x2B and not _is_letter(text, ahead + 1, stop, kinds):
                        added = 2
                elif point == 0x23 and points == 1 and not _is_letter(text, ahead, stop, kinds):
                    added = 1
            if sigma and kind != APOSTROPHE:  # the last letter of a word has its own form
                w, value = _write(out, w - 2, _FINAL_SIGMA, before)
                sigma = False
            if joined or added:
                for _ in range(max(1, added)):
                    w, value = _write(out, w, np.int64(spelled[point]), value)
                    points += 1
                if joined:
                    at += width
                    continue
                width = added
            if points + extra >= shortest:
                starts[n], ends[n], hashes[n] = start, w, value
                n += 1
            start, points, extra, value, sigma = w, 0, 0, _FNV_OFFSET, False
            at += width + dropped
        ranges[document + 1] = n
    return n, w


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write_two(out: NDArray[np.uint8], w: int, point: int, value: np.uint64) -> tuple[int, np.uint64]:
    """Write a code point of two bytes, as `_write` does."""
    first, second = 0xC0 | (point >> 6), 0x80 | (point & 0x3F)
    out[w], out[w + 1] = first, second
    value = (value ^ np.uint64(first)) * _FNV_PRIME
    return w + 2, (value ^ np.uint64(second)) * _FNV_PRIME


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _copy_three(
    out: NDArray[np.uint8], w: int, text: NDArray[np.uint8], at: int, value: np.uint64
) -> tuple[int, np.uint64]:
    """Copy the three bytes of a character, as `_write` writes it."""
    for place in range(3):
        out[w + place] = text[at + place]
        value = (value ^ np.uint64(text[at + place])) * _FNV_PRIME
    return w + 3, value


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write(out: NDArray[np.uint8], w: int, point: int, value: np.uint64) -> tuple[int, np.uint64]:
    """Write the UTF-8 of a code point at `w`; return the next place and the hash with its bytes."""
    first = w
    if point < 0x80:
        out[w] = point
        w += 1
    elif point < 0x800:
        out[w], out[w + 1] = 0xC0 | (point >> 6), 0x80 | (point & 0x3F)
        w += 2
    elif point < 0x10000:
        out[w], out[w + 1], out[w + 2] = (
            0xE0 | (point >> 12),
            0x80 | ((point >> 6) & 0x3F),
            0x80 | (point & 0x3F),
        )
        w += 3
    else:
        out[w], out[w + 1] = 0xF0 | (point >> 18), 0x80 | ((point >> 12) & 0x3F)
        out[w + 2], out[w + 3] = 0x80 | ((point >> 6) & 0x3F), 0x80 | (point & 0x3F)
        w += 4
    for place in range(first, w):
        value = (value ^ np.uint64(out[place])) * _FNV_PRIME
    return w, value


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_letter(text: NDArray[np.uint8], at: int, stop: int, kinds: NDArray[np.uint8]) -> bool:
    """Return whether a letter or a digit begins at `at`."""
    if at >= stop:
        return False
    kind = kinds[decode_point(text, at)[0]]
    return bool(LETTER <= kind <= WIDE)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _letters_ahead(text: NDArray[np.uint8], at: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """Return the number of ASCII letters from `at` to the end of the word; 4 where it is longer or has others."""
    n = 0
    while at + n < stop and n < 4 and 0x61 <= (text[at + n] | 0x20) <= 0x7A:
        n += 1
    return 4 if n < 4 and _is_letter(text, at + n, stop, kinds) else n


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _clitic(text: NDArray[np.uint8], at: int, stop: int, kinds: NDArray[np.uint8]) -> int:
    """Return the length of an English ending behind an apostrophe, such as in it's and they've; 0 for none."""
    n = _letters_ahead(text, at, stop, kinds)
    if n == 1 and (text[at] | 0x20) in (0x73, 0x64, 0x6D):  # s d m
        return 1
    if n == 2:
        first, second = text[at] | 0x20, text[at + 1] | 0x20
        if (first == 0x6C and second == 0x6C) or (second == 0x65 and (first == 0x76 or first == 0x72)):  # noqa: PLR1714
            return 2  # ll ve re
    return 0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _ends_latin(out: NDArray[np.uint8], w: int) -> bool:
    """Return whether the character before `w` is a Latin letter."""
    first = w - 1
    while out[first] & 0xC0 == 0x80:
        first -= 1
    return bool(out[first] < 0x80 or decode_point(out, first)[0] < _LATIN_END)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _keeps_apostrophe(
    out: NDArray[np.uint8],
    start: int,
    end: int,
    text: NDArray[np.uint8],
    at: int,
    stop: int,
    kinds: NDArray[np.uint8],
) -> bool:
    """Return whether a Latin word goes on after the apostrophe: isn't, O'Brien, aujourd'hui, Uzbek o', Swahili ng'."""
    final, behind = out[end - 1] | 0x20, text[at] | 0x20
    n = _letters_ahead(text, at, stop, kinds)
    if n == 1 and final == 0x6E and behind == 0x74:
        return True
    if n == 3 and behind == 0x68 and text[at + 1] | 0x20 == 0x75 and text[at + 2] | 0x20 == 0x69:
        return True
    first = out[start] | 0x20
    if end - start == 1:
        return bool(first == 0x6F or first == 0x67)  # noqa: PLR1714
    return bool(end - start == 2 and first == 0x6E and final == 0x67)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_short(
    out: NDArray[np.uint8],
    start: int,
    end: int,
    text: NDArray[np.uint8],
    at: int,
    stop: int,
    kinds: NDArray[np.uint8],
) -> bool:
    """Return whether at most three ASCII letters stand on both sides of &, and it does not begin an HTML entity."""
    for place in range(start, end):
        if not 0x61 <= (out[place] | 0x20) <= 0x7A:
            return False
    n = _letters_ahead(text, at, stop, kinds)
    return bool(n == 1 or (2 <= n <= 3 and (at + n >= stop or text[at + n] != 0x3B)))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_net(text: NDArray[np.uint8], at: int, stop: int, kinds: NDArray[np.uint8]) -> bool:
    """Return whether the word behind a full stop is net: the full stop of .NET belongs to the name."""
    if _letters_ahead(text, at, stop, kinds) != 3:
        return False
    return bool((text[at] | 0x20) == 0x6E and (text[at + 1] | 0x20) == 0x65 and (text[at + 2] | 0x20) == 0x74)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def find_special(  # noqa: C901  (one pass over bytes)
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    flags: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    pairs: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Return for each document (n_docs,) whether it must be composed (1) and whether it has unspaced scripts (2).

    Parameters
    ----------
    text, bounds : ndarray
        The texts, as in `scan_words`.
    flags, classes, pairs : ndarray
        `letters.special_points`.

    Notes
    -----
    Exact, except a mark behind another mark or a composed letter, and Korean letters: they are taken for not
    composed. Python's own
    check takes every Indian sign that can be part of a composed letter for not composed, and so is ten times slower.
    """
    found = np.zeros(len(bounds) - 1, np.uint8)
    for document in range(len(bounds) - 1):
        at, stop = bounds[document], bounds[document + 1]
        before, known = np.int64(0), 0
        while at < stop and known < 3:
            first = at
            while at < stop and text[at] < 0x80:
                at += 1
            if at == stop:
                break
            if at > first:
                before = np.int64(text[at - 1])
            point, width = decode_point(text, at)
            flag = flags[point]
            if flag != 0:
                if flag & UNSPACED_SCRIPT:
                    known |= 2
                if flag & NOT_COMPOSED:
                    known |= 1
                is_begun = classes[before] != 0 or flags[before] & COMPOSED != 0
                if flag & SECOND and (is_begun or _is_pair(pairs, (before << 21) | point)):
                    known |= 1
                if classes[before] > classes[point] > 0:
                    known |= 1
            before = point
            at += width
        found[document] = known
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_pair(pairs: NDArray[np.int64], pair: int) -> bool:
    """Return whether an ascending array has a value."""
    place = place_of(pairs, pair)
    return bool(place < len(pairs) and pairs[place] == pair)
