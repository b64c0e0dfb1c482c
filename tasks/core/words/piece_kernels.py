"""Piece kernels: texts -> token ids by a table of known words, and ids with marks, cut at the longest input.

Functions import this module when they run, because numba compiles decorated functions at import. The kernels release
the interpreter's lock.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray

MISSING, REFUSED = -1, -2
"""Counts of texts that have a word which the table lacks, and of texts that the kernels do not read."""

LONGEST = 64
"""Bytes of a word in the table. Texts with longer ones are refused: such words seldom come twice."""

N_WORDS, N_BYTES, N_KNOWN = 0, 1, 2
"""Places in `sizes`: words in the table, bytes of their spellings, and words whose pieces are known."""

_FNV_OFFSET = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)


SPACE, SIGN, OTHER_SCRIPT, ODD, MARK = 1, 2, 4, 8, 16
"""Kinds of bytes: white space, ASCII punctuation, part of a character that is not ASCII, a control character, the first
byte of one of the tokenizer's own marks. Letters and digits have none."""


def byte_kinds(marks: Iterable[bytes]) -> NDArray[np.uint8]:
    """Return the kinds (256,) of all bytes for a tokenizer with these marks."""
    kinds = np.zeros(256, np.uint8)
    kinds[128:] = OTHER_SCRIPT
    kinds[:32] = kinds[127] = ODD
    kinds[list(b" \t\n\r")] = SPACE
    kinds[list(string.punctuation.encode())] = SIGN
    for mark in marks:
        kinds[mark[0]] |= MARK
    return kinds


def lowered_bytes() -> NDArray[np.uint8]:
    """Return each byte (256,) with ASCII letters lowered."""
    return np.frombuffer(bytes(range(256)).lower(), np.uint8)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _starts_mark(
    text: NDArray[np.uint8], at: int, stop: int, marks: NDArray[np.uint8], mark_ends: NDArray[np.int64]
) -> bool:
    """Return whether one of the marks stands at `at`."""
    begin = 0
    for end in mark_ends:
        length = end - begin
        if at + length <= stop:
            same = True
            for place in range(length):
                if text[at + place] != marks[begin + place]:
                    same = False
                    break
            if same:
                return True
        begin = end
    return False


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find(
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    letters: NDArray[np.uint8],
    slots: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    spelled: NDArray[np.uint8],
    word_ends: NDArray[np.int64],
) -> tuple[int, np.signedinteger, np.uint64]:
    """Return the number of a word, -1 if the table lacks it, the slot where it is or belongs, and its hash."""
    key = _FNV_OFFSET
    for at in range(begin, end):
        key = (key ^ np.uint64(letters[text[at]])) * _FNV_PRIME
    key ^= key >> np.uint64(29)
    slot = np.int64(key & np.uint64(len(slots) - 1))
    while slots[slot]:
        word = slots[slot] - 1
        if hashes[word] == key:
            start = word_ends[word - 1] if word else 0
            same = word_ends[word] - start == end - begin
            for place in range(end - begin):
                if not same:
                    break
                same = spelled[start + place] == letters[text[begin + place]]
            if same:
                return word, slot, key
        slot = (slot + 1) & (len(slots) - 1)
    return -1, slot, key


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def look_up(  # noqa: C901, PLR0912  (one loop on scalars, which calls would slow)
    which: NDArray[np.int64],
    text: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    letters: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    mark_ends: NDArray[np.int64],
    slots: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    spelled: NDArray[np.uint8],
    word_ends: NDArray[np.int64],
    pieces: NDArray[np.int32],
    piece_ends: NDArray[np.int64],
    sizes: NDArray[np.int64],
    adds: bool,
    ids: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> bool:
    """Write the token ids of some texts and their numbers, or add their new words to the table.

    A text is cut at ASCII white space. A chunk that is all ASCII is cut further, into runs of letters and digits and
    single punctuation marks; any other chunk is one word.

    Parameters
    ----------
    which : ndarray of shape (m,), int64
        The texts that are read.
    text, bounds : ndarray
        UTF-8 of all texts, one after the other, (n_bytes,) uint8; text i is `text[bounds[i]:bounds[i + 1]]`.
    kinds, letters : ndarray of shape (256,), uint8
        The kind of each byte, see `byte_kinds`, and how the tokenizer reads it, for example lowered.
    marks, mark_ends : ndarray
        UTF-8 of the tokenizer's own marks, one after the other; texts that contain one are refused.
    slots, hashes, spelled, word_ends : ndarray
        The table: word number + 1 by hash, 0 = free; hash, bytes and their end by word.
    pieces, piece_ends : ndarray
        Token ids of the known words, one word after the other, and their end by word.
    sizes : ndarray of shape (3,), int64
        See `N_WORDS`.
    adds : bool
        Add words and write nothing else; one thread at a time.
    ids : ndarray of shape (n_bytes,), int32
        The ids of text i are written from `bounds[i]`.
    counts : ndarray of shape (n,), int64
        Number of ids of each text, `MISSING` or `REFUSED`.

    Returns
    -------
    has_room : bool
        False if a word did not fit into the table; the words before it are in the table.
    """
    for i in which:
        at, stop, filled = bounds[i], bounds[i + 1], bounds[i]
        state = 0
        while at < stop and state == 0:
            if kinds[text[at]] == SPACE:
                at += 1
                continue
            chunk_end, found = at, 0
            while chunk_end < stop and kinds[text[chunk_end]] != SPACE:
                kind = kinds[text[chunk_end]]
                if kind & MARK and _starts_mark(text, chunk_end, stop, marks, mark_ends):
                    kind |= ODD
                found |= kind
                chunk_end += 1
            if found & ODD:
                state = REFUSED
                break
            while at < chunk_end:
                end = at + 1
                if found & OTHER_SCRIPT:
                    end = chunk_end
                elif not kinds[text[at]] & SIGN:
                    while end < chunk_end and not kinds[text[end]] & SIGN:
                        end += 1
                if end - at > LONGEST:
                    state = REFUSED
                    break
                word, slot, key = _find(text, at, end, letters, slots, hashes, spelled, word_ends)
                if adds and word < 0:
                    word, used = sizes[N_WORDS], sizes[N_BYTES]
                    if word == len(word_ends) or used + end - at > len(spelled):
                        return False
                    for place in range(at, end):
                        spelled[used + place - at] = letters[text[place]]
                    slots[slot], hashes[word], word_ends[word] = word + 1, key, used + end - at
                    sizes[N_WORDS], sizes[N_BYTES] = word + 1, used + end - at
                elif not adds:
                    if word < 0 or word >= sizes[N_KNOWN]:
                        state = MISSING
                        break
                    start = piece_ends[word - 1] if word else 0
                    if filled + piece_ends[word] - start > stop:  # more pieces than bytes
                        state = REFUSED
                        break
                    for place in range(start, piece_ends[word]):
                        ids[filled] = pieces[place]
                        filled += 1
                at = end
        if not adds:
            counts[i] = state or filled - bounds[i]
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def marked(
    start: int,
    stop: int,
    ids: NDArray[np.int32],
    begins: NDArray[np.int64],
    kept: NDArray[np.int64],
    first: NDArray[np.int32],
    last: NDArray[np.int32],
    ends: NDArray[np.int64],
    flat: NDArray[np.int32],
) -> None:
    """Write the ids of the texts from `start` to `stop`, with marks around them.

    Parameters
    ----------
    start, stop : int
        The texts.
    ids, begins, kept : ndarray
        Text i has the ids `ids[begins[i]:begins[i] + kept[i]]`.
    first, last : ndarray
        Ids before and after each text.
    ends : ndarray of shape (n,), int64
        End of each text in `flat`.
    flat : ndarray of shape (n_ids,), int32
        All ids.
    """
    for i in range(start, stop):
        place = ends[i] - kept[i] - len(first) - len(last)
        for mark in first:
            flat[place] = mark
            place += 1
        for at in range(begins[i], begins[i] + kept[i]):
            flat[place] = ids[at]
            place += 1
        for mark in last:
            flat[place] = mark
            place += 1
