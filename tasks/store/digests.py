"""Digests: texts as 128 bits, and an index that finds the places of a text by its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint64]
"""Digests of texts, (n, 2): the two halves of 128 bits."""


def text_digests(texts: Iterable[str]) -> Digests:
    """Return the BLAKE2b digests (n_texts, 2) uint64 of the UTF-8 bytes of texts."""
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(joined, dtype="<u8").reshape(-1, 2)


@dataclass
class DigestIndex:
    """An index of the places of digests.

    Notes
    -----
    Sorted runs: two are merged as soon as the older is less than twice as long as the newer. So n digests are sorted
    log2(n) times in all, and searched in at most log2(n) runs, for any number of additions.
    """

    _runs: list[tuple[Digests, NDArray[np.int64]]] = field(default_factory=list)

    def add(self, digests: Digests, places: NDArray[np.int64]) -> None:
        """Add the places (n, 2) of digests (n, 2)."""
        if not len(digests):
            return
        self._runs.append(_sorted(digests, places))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            (older, theirs), (newer, ours) = self._runs[-2:]
            self._runs[-2:] = [_sorted(np.concatenate([older, newer]), np.concatenate([theirs, ours]))]

    def locate(self, digests: Digests) -> NDArray[np.int64]:
        """Return the places (n, 2) of digests, (-1, -1) for digests that are not in the index."""
        places = np.full((len(digests), 2), -1, np.int64)
        for run, there in self._runs:
            self._locate_in(run, there, digests, places)
        return places

    @staticmethod
    def _locate_in(
        run: Digests, there: NDArray[np.int64], digests: Digests, places: NDArray[np.int64]
    ) -> None:
        """Write the places of the digests that are in a sorted run."""
        open_rows = np.flatnonzero(places[:, 0] < 0)
        at = np.searchsorted(run[:, 0], digests[:, 0])
        while len(open_rows):  # one round, unless two texts share 64 bits
            open_rows = open_rows[at[open_rows] < len(run)]
            open_rows = open_rows[run[at[open_rows], 0] == digests[open_rows, 0]]
            same = run[at[open_rows], 1] == digests[open_rows, 1]
            places[open_rows[same]] = there[at[open_rows[same]]]
            open_rows = open_rows[~same]
            at[open_rows] += 1


def _sorted(digests: Digests, places: NDArray[np.int64]) -> tuple[Digests, NDArray[np.int64]]:
    """Return digests and their places in ascending order; the high halves are contiguous, for the search."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    return np.asfortranarray(digests[order]), places[order]
