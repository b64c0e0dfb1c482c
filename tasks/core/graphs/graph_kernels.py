"""Kernels of graph files, compiled once by numba and kept on disk.

Imported inside the functions that use them, since importing numba takes half a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.registers.registers import address, fetch_later, move, number_at
from topicflow.tasks.core.vectors.knn_kernels import LINE, dot

FOLLOWED, SLOT = np.int64(1), np.int64(2**32 - 2)
"""Bits of an entry of a beam."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def first_bad_node(nodes: NDArray[np.uint8], levels: NDArray[np.int16], m: int) -> int:
    """Return the first node with an impossible key, level or neighbour, -1 if there is none, n if bytes are left over.

    Parameters
    ----------
    nodes : ndarray of shape (n_bytes,), uint8
        The nodes of a graph file, one after the other.
    levels : ndarray of shape (n,), int16
        The level of each node, none below 0.
    m : int
        Maximum number of neighbours of a node on a level, twice as many on the lowest.
    """
    n, at = len(levels), 0
    for node in range(n):
        level = int(levels[node])
        if at + 14 + 8 * m + level * (4 + 4 * m) > len(nodes):
            return node
        if _number(nodes, at) >= n or _number(nodes, at + 4):  # the two halves of a key
            return node
        if int(nodes[at + 8]) + 256 * int(nodes[at + 9]) != level:
            return node
        at += 10
        for own in range(level + 1):
            room = m if own else 2 * m
            count = _number(nodes, at)
            if count > room:
                return node
            for place in range(count):
                other = _number(nodes, at + 4 + 4 * place)
                if other >= n or levels[other] < own:
                    return node
            at += 4 + 4 * room
    return -1 if at == len(nodes) else n


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _number(raw: NDArray[np.uint8], at: int) -> int:
    """Return the four bytes at a position as a number."""
    return int(raw[at]) + 256 * int(raw[at + 1]) + 65536 * int(raw[at + 2]) + 16777216 * int(raw[at + 3])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def walk_graph(
    codes: NDArray[np.int8],
    nodes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    levels: NDArray[np.int16],
    m: int,
    entry: int,
    queries: NDArray[np.int8],
    ef: int,
    keys: NDArray[np.int64],
) -> None:
    """Write the keys (n_queries, count) of the nearest codes of queries (n_queries, dim); `ef` is at least `count`.

    The other parameters are those of `graph_walk.MappedGraph`. Arrays are in rows; `ef` is at least one. Distances are
    products of codes; the beam is a list of at most `ef` slots, best first, each followed by its neighbours once.
    """
    first = address(nodes)
    seen = np.empty((codes.shape[0] + 63) // 64, np.uint64)
    beam, found = np.empty(ef, np.int64), np.empty(2 * m, np.int64)
    beam_at = address(beam)
    for q in range(queries.shape[0]):
        query = queries[q]
        for word in range(seen.shape[0]):
            seen[word] = 0
        slot = _descended(codes, first, starts, levels, m, entry, query)
        seen[slot >> 6] |= np.uint64(1) << np.uint64(slot & 63)
        beam[0], size, at = _entry(dot(query, codes[slot]), slot), 1, 0
        while at < size:
            if beam[at] & FOLLOWED:
                at += 1
                continue
            beam[at] |= FOLLOWED
            n_found = _new_neighbours(codes, first + starts[_slot(beam[at])] + 10, seen, found)
            for number in range(n_found):
                product = dot(query, codes[found[number]])
                if size == ef and product <= beam[size - 1] >> 32:
                    continue
                place = _place(beam, size, product)
                size = min(size + 1, ef)
                move(beam_at + 8 * (place + 1), beam_at + 8 * place, 8 * (size - 1 - place))
                beam[place] = _entry(product, found[number])
                links = first + starts[found[number]] + 10
                for offset in range(0, 4 + 8 * m, LINE):
                    fetch_later(links + offset)
                at = min(at, place)
        for rank in range(min(size, keys.shape[1])):
            keys[q, rank] = number_at(first + starts[_slot(beam[rank])])


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _entry(product: int, slot: int) -> Any:  # noqa: ANN401
    """Return an entry of a beam: a product, a slot below 2^31, and whether it was followed, in one number."""
    return (np.int64(product) << 32) | (np.int64(slot) << 1)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _slot(entry: int) -> Any:  # noqa: ANN401
    """Return the slot of an entry."""
    return (entry & SLOT) >> 1


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _descended(
    codes: NDArray[np.int8],
    first: int,
    starts: NDArray[np.int64],
    levels: NDArray[np.int16],
    m: int,
    entry: int,
    query: NDArray[np.int8],
) -> int:
    """Return the slot that is nearest on the upper levels, each of which is walked to its end."""
    slot, most = entry, dot(query, codes[entry])
    for level in range(levels[entry], 0, -1):
        changed = True
        while changed:
            changed = False
            place = first + starts[slot] + 14 + 8 * m + (level - 1) * (4 + 4 * m)
            for number in range(min(number_at(place), m)):
                other = number_at(place + 4 + 4 * number)
                product = dot(query, codes[other])
                if product > most:
                    most, slot, changed = product, other, True
    return slot


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _new_neighbours(
    codes: NDArray[np.int8], place: int, seen: NDArray[np.uint64], found: NDArray[np.int64]
) -> Any:  # noqa: ANN401
    """Write the neighbours on the lowest level that were not seen yet, ask for their codes, and return how many."""
    base, dim, n_found = address(codes), codes.shape[1], 0
    for number in range(min(number_at(place), found.shape[0])):
        other = number_at(place + 4 + 4 * number)
        word, at = other >> 6, np.uint64(other & 63)
        found[n_found] = other
        n_found += int(~seen[word] >> at & np.uint64(1))  # half of them are: no branch can be foreseen
        seen[word] |= np.uint64(1) << at
    for number in range(n_found):
        begin = base + found[number] * dim
        for offset in range(0, dim, LINE):
            fetch_later(begin + offset)
        fetch_later(begin + dim - 1)
    return n_found


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _place(beam: NDArray[np.int64], size: int, product: int) -> Any:  # noqa: ANN401
    """Return the place of a product behind those that are at least as large."""
    low = 0
    while size > 0:  # no branch can be foreseen, so there is none
        half = (size + 1) >> 1
        low += half * int(beam[low + half - 1] >> 32 >= product)
        size -= half
    return low
