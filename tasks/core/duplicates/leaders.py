"""Leaders: sets of shingles in groups -> which are alike, each group cut into those around a first one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RowArray = NDArray[np.int32]

MOST_LEADERS = 64
"""Leaders of a group that a set is compared with; one that is like none of these leads itself: nothing is lost."""


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return the share of common values of two sets, ascending and distinct; 0 where both are empty."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(1, len(one) + len(other) - common)


def leaders(
    sets: NDArray[np.uint64], ranges: NDArray[np.int64], groups: RowArray, threshold: float
) -> RowArray:
    """Return for each set (n,) the first of its group that it is like, itself where there is none before.

    Parameters
    ----------
    sets : ndarray of uint64
        `sets[ranges[i]:ranges[i + 1]]` are the values of set i, ascending and distinct.
    ranges : ndarray of shape (n + 1,), int64
    groups : ndarray of shape (n,), integer
        Which group each set is of.
    threshold : float
        Jaccard similarity from which on two sets are alike (inclusive).

    Notes
    -----
    O(n MOST_LEADERS) comparisons of two sets.
    """
    found = np.arange(len(groups), dtype=np.int32)
    of_group: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        own = sets[ranges[row] : ranges[row + 1]]
        before = of_group.setdefault(group, [])
        for leader in before:
            if jaccard(own, sets[ranges[leader] : ranges[leader + 1]]) >= threshold:
                found[row] = leader
                break
        else:
            if len(before) < MOST_LEADERS:
                before.append(row)
    return found
