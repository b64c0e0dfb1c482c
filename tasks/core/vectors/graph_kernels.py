"""Kernels of graph files, compiled once by numba and kept on disk.

Imported inside the functions that use them, since importing numba takes half a second.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
