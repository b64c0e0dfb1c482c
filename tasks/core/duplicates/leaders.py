"""Leaders: sets of shingles in groups -> which are similar; each group is split into sets around a first one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RowArray = NDArray[np.int32]

MOST_LEADERS = 64
"""Maximum number of leaders in a group that a set is compared with; a set that is similar to none leads itself."""


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return the share of common values of two sets, ascending and distinct; 0 if both are empty."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(1, len(one) + len(other) - common)


def leaders(
    sets: NDArray[np.uint64], ranges: NDArray[np.int64], groups: RowArray, threshold: float
) -> RowArray:
    """Return for each set (n,) the first set of its group that is similar, or itself if there is none before it.

    Parameters
    ----------
    sets : ndarray of uint64
        `sets[ranges[i]:ranges[i + 1]]` are the values of set i, ascending and distinct.
    ranges : ndarray of shape (n + 1,), int64
    groups : ndarray of shape (n,), integer
        The group of each set.
    threshold : float
        Minimum Jaccard similarity of similar sets (inclusive).

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
