"""Kernels of MinHash: hashes of words -> sets of shingle hashes, their signatures, and pairs that share a band.

Functions import this module when they run, because numba compiles decorated functions at import. Each kernel runs on
one thread and releases the interpreter's lock.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.words.tokens import sort_values

WordArray = NDArray[np.uint64]
FloatArray = NDArray[np.float32]

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio
_STIR = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_ROW = np.uint64(0xFFFFFFFF)
_BYTE = np.uint64(0xFF)

LONG = 500
"""Shingles from which on they are sorted byte by byte."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def stir(value: np.uint64) -> np.uint64:
    """Return a value of which every bit depends on all bits of the argument."""
    value = (value ^ (value >> _HALF)) * _STIR
    value = (value ^ (value >> _HALF)) * _STIR
    return value ^ (value >> _HALF)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def shingle_sets(
    words: WordArray, word_ranges: NDArray[np.int64], width: int
) -> tuple[WordArray, NDArray[np.int64]]:
    """Return the distinct hashes of each document's shingles of `width` words, ascending, and each document's range.

    Parameters
    ----------
    words : ndarray
        Hashes of the words of all documents, one after the other, (n_words,) uint64.
    word_ranges : ndarray
        Words of each document, (n_docs + 1,) int64.
    width : int
        Words in a shingle. A document with fewer words is one shingle; a document without words has none.

    Notes
    -----
    A shingle's hash is a polynomial of its words' hashes modulo 2**64, so that the next one costs one step whatever the
    width.

    References
    ----------
    Karp, Rabin: Efficient randomized pattern-matching algorithms (1987).
    """
    n_docs = len(word_ranges) - 1
    shingles = np.empty(len(words), np.uint64)
    ranges = np.zeros(n_docs + 1, np.int64)
    oldest = np.uint64(1)  # the factor of the word that leaves the shingle
    for _ in range(width):
        oldest *= _MIX
    n = 0
    for document in range(n_docs):
        first, end = word_ranges[document], word_ranges[document + 1]
        start, value = n, np.uint64(0)
        for place in range(first, end):
            value = value * _MIX + stir(words[place])
            if place - first >= width:
                value -= stir(words[place - width]) * oldest
            if place - first >= width - 1 or place == end - 1:
                shingles[n] = stir(value)
                n += 1
        own = shingles[start:n]
        if n - start > LONG:
            _sort_hashes(own)
        else:
            sort_values(own)
        n = start
        for i in range(len(own)):
            if i == 0 or own[i] != shingles[n - 1]:
                shingles[n] = own[i]
                n += 1
        ranges[document + 1] = n
    return shingles[:n].copy(), ranges


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _sort_hashes(values: WordArray) -> None:
    """Sort many values in place, byte by byte from the lowest on."""
    old, new, starts = values, values.copy(), np.empty(256, np.int64)
    for byte in range(8):
        shift = np.uint64(8 * byte)
        for own in range(256):
            starts[own] = 0
        for value in old:
            starts[(value >> shift) & _BYTE] += 1
        end = len(values)
        for own in range(255, -1, -1):
            end -= starts[own]
            starts[own] = end
        for value in old:
            own_byte = (value >> shift) & _BYTE
            new[starts[own_byte]] = value
            starts[own_byte] += 1
        old, new = new, old


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def minhash_signatures(
    shingles: WordArray,
    ranges: NDArray[np.int64],
    factors: WordArray,
    addends: WordArray,
    signatures: NDArray[np.uint32],
) -> None:
    """Write the minimum of each hash (n_docs, n_hashes) uint32 over a document's shingles; the maximum if it has none.

    Hash p of a shingle x is the high half of `factors[p]` x + `addends[p]`; factors are odd.
    """
    for document in range(len(ranges) - 1):
        least = signatures[document]
        for p in range(len(factors)):
            least[p] = 0xFFFFFFFF
        for at in range(ranges[document], ranges[document + 1]):
            x = shingles[at]
            for p in range(len(factors)):
                least[p] = min(least[p], np.uint32((x * factors[p] + addends[p]) >> _HALF))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def band_entries(
    signatures: NDArray[np.uint32], rows: NDArray[np.int32], first: int, stop: int, entries: WordArray
) -> None:
    """Write one entry (n,) uint64 for each of `rows`: 32 bits of its band's hash, then 32 bits for the row."""
    for place in range(rows.shape[0]):
        value = np.uint64(0)
        for p in range(first, stop):
            value = stir(value * _MIX + np.uint64(signatures[rows[place], p]))
        entries[place] = (value & ~_ROW) | np.uint64(rows[place])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def jaccard(a: WordArray, b: WordArray) -> np.float32:
    """Return the share of common values of two ascending sets; 0 if both are empty."""
    i, j, common = 0, 0, 0
    while i < len(a) and j < len(b):
        x, y = a[i], b[j]
        common += x == y
        i += x <= y
        j += y <= x
    return np.float32(common / max(1, len(a) + len(b) - common))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def set_similarities(
    shingles: WordArray,
    ranges: NDArray[np.int64],
    row: int,
    others: NDArray[np.int32],
    similarities: FloatArray,
) -> None:
    """Write the Jaccard similarity (m,) of a row's set to each of the sets of `others` (m,)."""
    mine = shingles[ranges[row] : ranges[row + 1]]
    for at in range(others.shape[0]):
        similarities[at] = jaccard(mine, shingles[ranges[others[at]] : ranges[others[at] + 1]])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def compare_band(
    entries: WordArray,
    at: int,
    window: int,
    n_base: int,
    shingles: WordArray,
    ranges: NDArray[np.int64],
    floor: np.float32,
    partners: NDArray[np.int32],
    max_partners: int,
    pairs: NDArray[np.int32],
    similarities: FloatArray,
    counts: NDArray[np.int64],
) -> int:
    """Compare the entries of a bucket by exact Jaccard similarity; return the position in the sorted `entries` reached.

    Parameters as in `pair_kernels.compare_entries`, but documents are sets: `shingles[ranges[i]:ranges[i + 1]]`.
    """
    n = entries.shape[0]
    for i in range(at, n):
        if counts[0] + window > pairs.shape[0]:
            return int(i)
        bucket, row = entries[i] >> _HALF, np.int64(entries[i] & _ROW)
        mine = shingles[ranges[row] : ranges[row + 1]]
        for j in range(i + 1, min(n, i + 1 + window)):
            if entries[j] >> _HALF != bucket:
                break
            other = np.int64(entries[j] & _ROW)
            if max(row, other) < n_base:
                continue
            if partners[row] >= max_partners and partners[other] >= max_partners:
                continue
            theirs = shingles[ranges[other] : ranges[other + 1]]
            shorter, longer = min(len(mine), len(theirs)), max(len(mine), len(theirs))
            if np.float32(shorter / max(1, longer)) < floor:  # even if one contains the other
                continue
            counts[1] += 1
            found = jaccard(mine, theirs)
            if found >= floor:
                partners[row] += 1
                partners[other] += 1
                pairs[counts[0], 0], pairs[counts[0], 1] = min(row, other), max(row, other)
                similarities[counts[0]] = found
                counts[0] += 1
    return int(n)
