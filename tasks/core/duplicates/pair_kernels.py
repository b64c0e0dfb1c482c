"""Kernels of the search for similar pairs: entries of a table, comparing neighbours in a table, exact similarities.

Functions import this module when they run, because numba compiles decorated functions at import. Each kernel runs on
one thread and releases the interpreter's lock; the result does not depend on which thread runs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

WordArray = NDArray[np.uint64]
FloatArray = NDArray[np.float32]

_ROW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)


@intrinsic  # type: ignore[untyped-decorator]
def count_ones(_typing: Any, _word: Any) -> Any:  # noqa: ANN401  (numba's own types)
    """Return how many bits of a uint64 are set: one instruction that numba has no function for."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def pack_signs(products: NDArray[np.int32], words: WordArray) -> None:
    """Write bit b of each row's words (n, n_bits / 64): 1 if the product (n, n_bits) with plane b is above 0."""
    for i in range(products.shape[0]):
        for w in range(words.shape[1]):
            word = np.uint64(0)
            for b in range(64):
                if products[i, 64 * w + b] > 0:
                    word |= _ONE << np.uint64(b)
            words[i, w] = word


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def table_entries(
    signatures: WordArray,
    rows: NDArray[np.int32],
    bits: NDArray[np.int64],
    low: int,
    high: int,
    entries: WordArray,
) -> int:
    """Write an entry (n,) uint64 for each of `rows` with a key from `low` up to `high`; return the number of entries.

    The upper bits of an entry are the selected bits, the first one highest; the lower 32 bits are the row.
    """
    n = 0
    for row in rows:
        key = np.uint64(0)
        for b in bits:
            key = (key << _ONE) | ((signatures[row, b >> 6] >> np.uint64(b & 63)) & _ONE)
        if low <= key < high:
            entries[n] = (key << _HALF) | np.uint64(row)
            n += 1
    return int(n)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def bits_that_differ(a: WordArray, b: WordArray) -> int:
    """Return the Hamming distance of two signatures (n_words,)."""
    total = np.uint64(0)
    for w in range(a.shape[0]):
        total += count_ones(a[w] ^ b[w])
    return int(total)


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def similarity(a: FloatArray, b: FloatArray) -> np.float32:
    """Return the cosine of two unit vectors (dim,); summed in float64, so that the order does not matter."""
    total = 0.0
    for t in range(a.shape[0]):
        total += np.float64(a[t]) * np.float64(b[t])
    return np.float32(min(total, 1.0))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def compare_entries(
    entries: WordArray,
    at: int,
    shift: int,
    window: int,
    n_base: int,
    signatures: WordArray,
    limit: int,
    base: FloatArray,
    vectors: FloatArray,
    floor: np.float32,
    partners: NDArray[np.int32],
    max_partners: int,
    pairs: NDArray[np.int32],
    similarities: FloatArray,
    counts: NDArray[np.int64],
) -> int:
    """Compare each entry with those after it in its bucket; return the position in `entries` that was reached.

    Parameters
    ----------
    entries : ndarray of shape (n,), uint64
        A table, sorted.
    at : int
        The position to continue from.
    shift : int
        Entries that are equal above this many bits are in one bucket.
    window : int
        Maximum number of later entries that each entry is compared with.
    n_base : int
        Rows below it are never compared with each other.
    signatures : ndarray of shape (n_rows, n_words), uint64
    limit : int
        Pairs whose signatures differ in more bits are skipped.
    base, vectors : ndarray of shape (n_base, dim) and (n_rows - n_base, dim), float32
    floor : float32
        Minimum similarity of a pair.
    partners : ndarray of shape (n_rows,), int32
        Pairs of each row so far; a pair of two rows that both have `max_partners` is skipped.
    pairs, similarities : ndarray of shape (room, 2) int32 and (room,) float32
        Output for the pairs, the smaller row first. If the returned position is not the end, the caller makes room.
    counts : ndarray of shape (3,), int64
        Pairs written, pairs of signatures compared and pairs of vectors compared; the kernel adds to them.
    """
    n = entries.shape[0]
    for i in range(at, n):
        if counts[0] + window > pairs.shape[0]:
            return int(i)
        bucket = entries[i] >> np.uint64(shift)
        row = np.int64(entries[i] & _ROW)
        mine = signatures[row]
        for j in range(i + 1, min(n, i + 1 + window)):
            if entries[j] >> np.uint64(shift) != bucket:
                break
            other = np.int64(entries[j] & _ROW)
            if max(row, other) < n_base:
                continue
            counts[1] += 1
            if bits_that_differ(mine, signatures[other]) > limit:
                continue
            if partners[row] >= max_partners and partners[other] >= max_partners:
                continue
            counts[2] += 1
            first, second = min(row, other), max(row, other)
            found = similarity(
                base[first] if first < n_base else vectors[first - n_base], vectors[second - n_base]
            )
            if found >= floor:
                partners[row] += 1
                partners[other] += 1
                pairs[counts[0], 0], pairs[counts[0], 1] = first, second
                similarities[counts[0]] = found
                counts[0] += 1
    return int(n)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def distance_histogram(signatures: WordArray, histogram: NDArray[np.int64]) -> None:
    """Add to the histogram (n_bits + 1,) how many pairs of signatures (n, n_words) differ in 0 to n_bits bits."""
    for i in range(signatures.shape[0]):
        for j in range(i):
            histogram[bits_that_differ(signatures[i], signatures[j])] += 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def first_of_equals(
    base: NDArray[np.uint32],
    own: NDArray[np.uint32],
    order: NDArray[np.int64],
    hashes: WordArray,
    first: NDArray[np.int32],
) -> None:
    """Write to `first` (n,) the lowest row with the same bits; `order` is a stable sort of the hashes.

    Rows are those of `base` (n_base, dim), followed by those of `own`. Two different rows with the same hash (1 in 10^7
    corpora of a million rows) count as different.
    """
    n_base = base.shape[0]
    head = order[0]
    for at in range(order.shape[0]):
        row = order[at]
        if hashes[row] != hashes[head]:
            head = row
        a = base[row] if row < n_base else own[row - n_base]
        b = base[head] if head < n_base else own[head - n_base]
        same = True
        for t in range(a.shape[0]):
            same = same and a[t] == b[t]
        first[row] = head if same else row


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def select_close(
    products: NDArray[np.int32],
    rows: NDArray[np.int32],
    others: NDArray[np.int32],
    bars: FloatArray,
    own_steps: FloatArray,
    steps: FloatArray,
    slack: FloatArray,
    n_base: int,
    each_once: bool,
    pairs: NDArray[np.int32],
) -> int:
    """Write the pairs of rows whose product (m, w) may reach the floor, smaller row first; return their number.

    Parameters
    ----------
    products : ndarray of shape (m, w), int32
        Products of codes.
    rows, others : ndarray of shape (m,) and (w,), int32
        The rows of the products; `others` is ascending.
    bars : ndarray of shape (m,), float32
        The floor minus the rounding error of the row.
    own_steps, steps : ndarray of shape (m,) and (w,), float32
        Step size of each code.
    slack : ndarray of shape (w,), float32
        Rounding error of the other row.
    n_base : int
        Rows below it are compared only as `others`.
    each_once : bool
        Only pairs whose other row is larger or below `n_base`; otherwise all pairs except a row with itself.
    pairs : ndarray of shape (m * w, 2), int32
    """
    n_pairs = 0
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            if np.float32(products[i, j]) * (own_steps[i] * steps[j]) < bars[i] - slack[j]:
                continue
            row, other = rows[i], others[j]
            if other == row or (each_once and n_base <= other < row):
                continue
            pairs[n_pairs, 0], pairs[n_pairs, 1] = min(row, other), max(row, other)
            n_pairs += 1
    return n_pairs


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def pair_similarities(
    base: FloatArray, own: FloatArray, pairs: NDArray[np.int32], similarities: FloatArray
) -> None:
    """Write the cosines (n_pairs,) of pairs (n_pairs, 2) of rows; the rows of `base` come first."""
    n_base = base.shape[0]
    for i in range(pairs.shape[0]):
        a, b = pairs[i, 0], pairs[i, 1]
        similarities[i] = similarity(
            base[a] if a < n_base else own[a - n_base], base[b] if b < n_base else own[b - n_base]
        )


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def keep_partners(
    pairs: NDArray[np.int32], order: NDArray[np.int64], max_partners: int, partners: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Return which pairs (n,) stay if, in `order`, a pair of two rows that both have `max_partners` is dropped."""
    kept = np.zeros(len(pairs), np.bool_)
    for place in order:
        a, b = pairs[place, 0], pairs[place, 1]
        if partners[a] < max_partners or partners[b] < max_partners:
            partners[a] += 1
            partners[b] += 1
            kept[place] = True
    return kept
