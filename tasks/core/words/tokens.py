"""Tokens: kernels that cut UTF-8 texts into words, number words and phrases, and count them for each document.

Functions import this module when they run, because numba compiles decorated functions at import. All kernels release
the interpreter's lock. Tables use open addressing with linear probing. A kernel that finds its table half full stops
and returns its position, so that the caller can make a larger table and continue from there.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

WORD, HYPHEN = 1, 2
"""Classes of characters; all others are 0."""

_FNV_OFFSET = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)
_MIX = np.uint64(11400714819323198485)  # 2**64 / golden ratio
_SHIFT = np.uint64(32)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def scan(
    text: NDArray[np.uint8], bounds: NDArray[np.int64], classes: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    r"""Return the begin and end of the words in the bytes, their hashes, and each document's range of words.

    A word is a maximal sequence of at least two characters of class WORD or HYPHEN, without hyphens at its ends: the
    matches of `\b\w[\w-]*\w\b` if `-` has class HYPHEN, and of `\b\w\w+\b` if it has class 0.

    Parameters
    ----------
    text : ndarray
        UTF-8 of all documents, one after the other, (n_bytes,) uint8.
    bounds : ndarray
        Document i is `text[bounds[i]:bounds[i + 1]]`, (n_docs + 1,) int64.
    classes : ndarray
        Class of each code point, (0x110000,) uint8.
    """
    room = len(text) // 2 + 1  # a word has at least two bytes
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    hashes = np.empty(room, np.uint64)
    n_docs = len(bounds) - 1
    ranges = np.zeros(n_docs + 1, np.int64)
    n = 0
    for document in range(n_docs):
        at, stop = bounds[document], bounds[document + 1]
        start, end, length, trimmed = at, at, 0, 0
        running, value = _FNV_OFFSET, _FNV_OFFSET
        while at <= stop:
            kind, width = 0, 1
            if at < stop:
                point, width = decode_point(text, at)
                kind = classes[point]
            if kind == 0:
                if trimmed >= 2:
                    starts[n], ends[n], hashes[n] = start, end, value
                    n += 1
                length, trimmed = 0, 0
            elif kind == WORD or length > 0:
                if length == 0:
                    start, running = at, _FNV_OFFSET
                length += 1
                for place in range(at, at + width):
                    running = (running ^ np.uint64(text[place])) * _FNV_PRIME
                if kind == WORD:
                    end, value, trimmed = at + width, running, length
            at += width
        ranges[document + 1] = n
    return starts[:n].copy(), ends[:n].copy(), hashes[:n].copy(), ranges


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def decode_point(text: NDArray[np.uint8], at: int) -> tuple[np.int64, int]:
    """Return the code point whose UTF-8 begins at `at`, and its number of bytes."""
    first = np.int64(text[at])
    if first < 0x80:
        return first, 1
    width = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    point = first & (0x7F >> width)
    for place in range(at + 1, at + width):
        point = (point << 6) | (np.int64(text[place]) & 0x3F)
    return point, width


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def number_words(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    at: int,
    letters: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    known: NDArray[np.uint64],
    slots: NDArray[np.int32],
    size: int,
) -> tuple[int, int]:
    r"""Fill `numbers` from `at`; return the position that was reached and the new number of words.

    Parameters
    ----------
    text, starts, ends, hashes : ndarray
        The words, as returned by `scan`.
    numbers : ndarray
        Output: the number of each word.
    at : int
        The first word without a number.
    letters, bounds, known : ndarray
        The words numbered so far: UTF-8, each followed by \n; the start of each; their hashes.
    slots : ndarray
        The table: numbers by hash, -1 for a free slot; its length is a power of two.
    size : int
        Number of words so far.
    """
    mask = np.uint64(len(slots) - 1)
    for i in range(at, len(starts)):
        start, length = starts[i], ends[i] - starts[i]
        slot = ((hashes[i] * _MIX) >> _SHIFT) & mask
        while True:
            number = np.int64(slots[slot])
            if number < 0:
                low = bounds[size]
                if 2 * size >= len(slots) or size + 1 >= len(bounds) or low + length + 1 > len(letters):
                    return i, size
                for place in range(length):
                    letters[low + place] = text[start + place]
                letters[low + length] = 10
                bounds[size + 1] = low + length + 1
                known[size] = hashes[i]
                slots[slot] = size
                number = np.int64(size)
                size += 1
                break
            if known[number] == hashes[i] and _same(letters, bounds, number, text, start, length):
                break
            slot = (slot + np.uint64(1)) & mask
        numbers[i] = number
    return len(starts), size


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def find_words(
    text: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    letters: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    known: NDArray[np.uint64],
    slots: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Return the words' numbers in a table, -1 for words that are not in it; arguments as in `number_words`."""
    mask = np.uint64(len(slots) - 1)
    numbers = np.full(len(starts), -1, np.int64)
    for i in range(len(starts)):
        start, length = starts[i], ends[i] - starts[i]
        slot = ((hashes[i] * _MIX) >> _SHIFT) & mask
        while slots[slot] >= 0:
            number = np.int64(slots[slot])
            if known[number] == hashes[i] and _same(letters, bounds, number, text, start, length):
                numbers[i] = number
                break
            slot = (slot + np.uint64(1)) & mask
    return numbers


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _same(
    letters: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    number: int,
    text: NDArray[np.uint8],
    start: int,
    length: int,
) -> bool:
    """Return whether the word with this number equals the `length` bytes at `start`."""
    low = bounds[number]
    if bounds[number + 1] - low - 1 != length:
        return False
    for place in range(length):  # noqa: SIM110  (numba has no generator expressions in `all`)
        if letters[low + place] != text[start + place]:
            return False
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def fill_slots(known: NDArray[np.uint64], size: int, slots: NDArray[np.int32]) -> None:
    """Insert the numbers of the first `size` hashes into an empty table."""
    mask = np.uint64(len(slots) - 1)
    for number in range(size):
        slot = ((known[number] * _MIX) >> _SHIFT) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = number


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def number_pairs(
    pairs: NDArray[np.int64],
    numbers: NDArray[np.int64],
    at: int,
    known: NDArray[np.uint64],
    slots: NDArray[np.int32],
    size: int,
) -> tuple[int, int]:
    """Fill `numbers` with the pairs' numbers (-1 for -1); return the position reached and the new number of pairs."""
    mask = np.uint64(len(slots) - 1)
    for i in range(at, len(pairs)):
        numbers[i] = -1
        if pairs[i] < 0:
            continue
        pair = np.uint64(pairs[i])
        slot = ((pair * _MIX) >> _SHIFT) & mask
        while True:
            number = np.int64(slots[slot])
            if number < 0:
                if 2 * size >= len(slots) or size >= len(known):
                    return i, size
                known[size] = pair
                slots[slot] = size
                number = np.int64(size)
                size += 1
                break
            if known[number] == pair:
                break
            slot = (slot + np.uint64(1)) & mask
        numbers[i] = number
    return len(pairs), size


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def lengthen(
    phrases: NDArray[np.int64], words: NDArray[np.int64], bounds: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Return each phrase of `width` words and the word after it as one number, -1 at the end of a document."""
    pairs = np.full(len(words), -1, np.int64)
    for document in range(len(bounds) - 1):
        for place in range(bounds[document], bounds[document + 1] - width):
            pairs[place] = (phrases[place] << 32) | words[place + width]
    return pairs


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def leave_out(
    words: NDArray[np.int64], bounds: NDArray[np.int64], first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the words with a number of at least `first`, and each document's range of them."""
    kept = np.empty(len(words), np.int64)
    ranges = np.zeros(len(bounds), np.int64)
    n = 0
    for document in range(len(bounds) - 1):
        for place in range(bounds[document], bounds[document + 1]):
            if words[place] >= first:
                kept[n] = words[place]
                n += 1
        ranges[document + 1] = n
    return kept[:n].copy(), ranges


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def tally(
    words: NDArray[np.int64],
    bounds: NDArray[np.int64],
    document_frequency: NDArray[np.int64],
    totals: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return each document's distinct words, their counts, and each document's range of them.

    Sorts `words` within documents in place, and adds to `document_frequency` and `totals` of each word.
    """
    distinct = np.empty(len(words), np.int64)
    counts = np.empty(len(words), np.int32)
    ranges = np.zeros(len(bounds), np.int64)
    n = 0
    for document in range(len(bounds) - 1):
        own = words[bounds[document] : bounds[document + 1]]
        sort_values(own)
        first = n
        for word in own:
            if n > first and distinct[n - 1] == word:
                counts[n - 1] += 1
            else:
                distinct[n], counts[n] = word, 1
                n += 1
                document_frequency[word] += 1
            totals[word] += 1
        ranges[document + 1] = n
    return distinct[:n].copy(), counts[:n].copy(), ranges


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def place_columns(
    words: NDArray[np.int64],
    counts: NDArray[np.int32],
    bounds: NDArray[np.int64],
    columns: NDArray[np.int32],
    data: NDArray[np.integer],
    indices: NDArray[np.int32],
    indptr: NDArray[np.integer],
) -> None:
    """Fill the rows of a sparse matrix, columns ascending, with the words whose column is at least 0.

    The first value of `indptr` (n_docs + 1,) is the start of the rows in `data` and `indices`. The types of `data` and
    `indptr` must have room for the largest values.
    """
    at = np.int64(indptr[0])
    for document in range(len(bounds) - 1):
        start = at
        packed = np.empty(bounds[document + 1] - bounds[document], np.int64)
        for place in range(bounds[document], bounds[document + 1]):
            column = columns[words[place]]
            if column >= 0:
                packed[at - start] = (np.int64(column) << 32) | np.int64(counts[place])
                at += 1
        own = packed[: at - start]
        sort_values(own)
        for i in range(at - start):
            indices[start + i] = own[i] >> 32
            data[start + i] = own[i] & 0xFFFFFFFF
        indptr[document + 1] = at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sort_values(values: NDArray[np.int64]) -> None:
    """Sort in place.

    Shell's method, which is insertion for a few values: as fast as numba's own sort up to 500 values, 40 % slower from
    5,000 on; it compiles in .3 s instead of 3.
    """
    n, gap = len(values), 1
    while 12 * gap + 4 < n:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            value = values[i]
            place = i
            while place >= gap and values[place - gap] > value:
                values[place] = values[place - gap]
                place -= gap
            values[place] = value
        gap //= 3


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def place_of(values: NDArray[np.int64], value: int) -> int:
    """Return the first position in ascending values whose value is not smaller; their number if there is none.

    `np.searchsorted` gives the same and compiles for a second.
    """
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
