"""Sizes: the hierarchy of a spanning tree (n - 1, 3) -> how long topics persist while the smallest size grows.

If the smallest size of a topic grows, two topics stay apart until the smaller one is below it. A good size is one at
which most documents are in topics that were there at much smaller sizes and will be there at much larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from topicflow.tasks.core.clusters.hierarchy import Indices, Reals, merges_of

STEP = 1.1
"""Ratio of two sizes that are compared."""

LEAST = 5
"""The smallest size of all; on more documents it grows with their fourth root: 5 for 10,000, 8 for 100,000."""

LARGEST = 400
LARGEST_SHARE = 0.125
LARGEST_OF_MANY = 0.004
"""The largest size: 400, or this share of many documents, but at most an eighth of all documents."""

FEWEST = 4
"""Growth below this size does not count as persistence: a pair or a triple is there or not by chance."""

SPREAD = 3
"""Standard deviation of the smoothing over sizes, in steps: sizes within a factor of 1.3 have nearly one value."""

PREFERENCE = {"few": 0.0, "medium": 0.14, "many": 0.4}
"""Persistence that a size e times as large must add. Of .1 to .18, .14 agrees best with the labels of twelve corpora
(tests/benchmarks/README.md)."""


@dataclass(frozen=True)
class Spans:
    """For which smallest sizes parts of the hierarchy are topics that do not split.

    Attributes
    ----------
    after : ndarray of shape (n_parts,), int64
        A part is such a topic if the smallest size is above this: up to it, there are two topics inside.
    until : ndarray of shape (n_parts,), int64
        And up to this size, the number of points of the smaller of the part and its neighbour.
    points : ndarray of shape (n_parts,), int64
        Number of points.
    n_points : int
        Number of all points.
    """

    after: Indices
    until: Indices
    points: Indices
    n_points: int


def spans_of(tree: Reals) -> Spans:
    """Return the spans of all parts of a hierarchy that are topics at some size above 2.

    Parameters
    ----------
    tree : ndarray of shape (n - 1, 3), float64
        Edges of a spanning tree: two rows and their distance.

    References
    ----------
    Bot, McInnes, Aerts: Persistent multiscale density-based clustering (2025), whose leaf tree this is; the ratio of
    two sizes instead of their difference counts here, because large topics would decide alone.
    """
    merges, sizes = merges_of(tree)[:2]
    after, until, points = _spans(merges, sizes)
    lasts = until > np.maximum(after, 2)
    return Spans(after[lasts], until[lasts], points[lasts], len(tree) + 1)


def candidate_sizes(n_points: int) -> Reals:
    """Return the sizes that are compared, ascending by STEP, not rounded; one or more."""
    least = min(max(LEAST, int(n_points**0.25 / 2)), n_points)
    largest = max(1.5 * least, min(max(LARGEST, LARGEST_OF_MANY * n_points), LARGEST_SHARE * n_points))
    n_steps = int(np.log(min(largest, n_points) / least) / np.log(STEP) + 1e-9)
    return np.asarray(least * STEP ** np.arange(n_steps + 1), np.float64)


def persistence(spans: Spans, sizes: Reals) -> Reals:
    """Return the mean over points (n_sizes,) of the log ratio of the last and the first size of their topic.

    It is 0 for points without a topic at a size. O(n_sizes n_parts) time.
    """
    values = np.zeros(len(sizes))
    for at, size in enumerate(sizes):
        there = (spans.after < size) & (size <= spans.until)
        ratios = np.maximum(spans.until[there], FEWEST) / np.maximum(spans.after[there], FEWEST)
        values[at] = (np.log(ratios) * spans.points[there]).sum() / spans.n_points
    return values


def best_size(values: Reals, sizes: Reals, preference: float) -> int:
    """Return the size with the largest smoothed persistence, minus `preference` for each factor e of the size."""
    return round(float(sizes[int(np.argmax(_smooth(values) - preference * np.log(sizes)))]))


def _smooth(values: Reals) -> Reals:
    """Return Gaussian means (n,) of neighbouring values; the first and last value continue beyond the ends."""
    reach = 3 * SPREAD
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SPREAD) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), weights / weights.sum(), "valid").astype(
        np.float64
    )


@njit(cache=True)  # type: ignore[untyped-decorator]
def _spans(merges: Indices, sizes: Indices) -> tuple[Indices, Indices, Indices]:
    """Return three values for both parts of each merge: the largest smaller part inside, the smaller part, the size."""
    n = len(merges) + 1
    inside = np.zeros(2 * n - 1, np.int64)
    after, until = np.empty(2 * (n - 1), np.int64), np.empty(2 * (n - 1), np.int64)
    points = np.empty(2 * (n - 1), np.int64)
    for k in range(n - 1):
        one, other = merges[k]
        smaller = min(sizes[one], sizes[other])
        inside[n + k] = max(smaller, inside[one], inside[other])
        after[2 * k], after[2 * k + 1] = inside[one], inside[other]
        until[2 * k], until[2 * k + 1] = smaller, smaller
        points[2 * k], points[2 * k + 1] = sizes[one], sizes[other]
    return after, until, points
