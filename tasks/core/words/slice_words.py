"""Slice words: a kernel that ranks the words of slices of topics (periods, groups), each averaged with its whole topic.

Functions import this module when they run, because numba compiles decorated functions at import.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import bound, threads
from topicflow.tasks.core.words.tokens import place_of

BLOCK_SLICES = 16


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def find_places(
    columns: NDArray[np.int32],
    ranges: NDArray[np.int64],
    topics: NDArray[np.int32],
    whole_columns: NDArray[np.int32],
    whole_ranges: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return where each entry of a slice stands among the entries of its topic, int64.

    Parameters
    ----------
    columns, ranges : ndarray
        The words of each slice, ascending: slice s has `columns[ranges[s]:ranges[s + 1]]`.
    topics : ndarray of shape (n_slices,), int32
        The topic of each slice; every word of a slice is a word of its topic.
    whole_columns, whole_ranges : ndarray
        The words of each topic, in the same form.
    """
    places = np.empty(len(columns), np.int64)
    for s in range(len(topics)):
        at, end = whole_ranges[topics[s]], whole_ranges[topics[s] + 1]
        for entry in range(ranges[s], ranges[s + 1]):
            at += place_of(whole_columns[at:end], columns[entry])
            places[entry] = at
    return places


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _insert(places: NDArray[np.int64], values: NDArray[np.float64], place: int, value: float) -> None:
    """Insert an entry into the best ones, largest value first, equal ones by place; the last one drops out."""
    n = len(places)
    if value <= 0.0 or (
        places[n - 1] >= 0 and (value < values[n - 1] or (value == values[n - 1] and place > places[n - 1]))
    ):
        return
    at = n - 1
    while at > 0 and (
        places[at - 1] < 0 or values[at - 1] < value or (values[at - 1] == value and places[at - 1] > place)
    ):
        values[at], places[at] = values[at - 1], places[at - 1]
        at -= 1
    values[at], places[at] = value, place


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _merged(
    places: NDArray[np.int64],
    weights: NDArray[np.float64],
    others: NDArray[np.int64],
    other_weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the places of two slices, ascending, and the mean of their weights; a missing weight is 0."""
    met = np.empty(len(places) + len(others), np.int64)
    means = np.zeros(len(met))
    a, b, n = 0, 0, 0
    while a < len(places) or b < len(others):
        is_own = b == len(others) or (a < len(places) and places[a] <= others[b])
        met[n] = places[a] if is_own else others[b]
        if a < len(places) and places[a] == met[n]:
            means[n] += weights[a] / 2.0
            a += 1
        if b < len(others) and others[b] == met[n]:
            means[n] += other_weights[b] / 2.0
            b += 1
        n += 1
    return met[:n], means[:n]


def best_places(
    weights: NDArray[np.float64],
    places: NDArray[np.int64],
    ranges: NDArray[np.int64],
    before: NDArray[np.int64],
    topics: NDArray[np.int32],
    whole: NDArray[np.float64],
    ranked: NDArray[np.int64],
    whole_ranges: NDArray[np.int64],
    n: int,
    n_from_whole: int,
    n_threads: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the entries of its topic that are the best words of each slice, and their weights, (n_slices, n).

    Parameters
    ----------
    weights, places, ranges : ndarray
        The entries of slice s are `ranges[s]` to `ranges[s + 1]`: weights that sum to 1, and ascending places among the
        entries of all topics.
    before : ndarray of shape (n_slices,), int64
        The slice whose weights are averaged with this one's, -1 for none.
    topics : ndarray of shape (n_slices,), int32
        The topic of each slice.
    whole, ranked, whole_ranges : ndarray
        The entries of topic t are `whole_ranges[t]` to `whole_ranges[t + 1]`: weights that sum to 1, and the same
        places in order of decreasing weight.
    n : int
        Number of words; the places after the last word are -1.
    n_from_whole : int
        `n` if the weights are averaged with those of the topic, otherwise 0.
    n_threads : int, optional
        Threads; default all cores.

    Notes
    -----
    A word that is not in the slice has half of its weight in the topic, so that only the first `n` words of the topic
    that the slice lacks are compared. O(entries log entries of a topic) time on all cores; slices are independent, so
    the result does not depend on the number of threads.
    """
    best, values = np.full((len(topics), n), -1, np.int64), np.zeros((len(topics), n))
    slices = (weights, places, ranges, before, topics, whole, ranked, whole_ranges, n_from_whole)
    with threads(n_threads) as run:
        run(bound(_rank_words, *slices, best, values), len(topics), BLOCK_SLICES)
    return best, values


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rank_words(
    start: int,
    stop: int,
    weights: NDArray[np.float64],
    places: NDArray[np.int64],
    ranges: NDArray[np.int64],
    before: NDArray[np.int64],
    topics: NDArray[np.int32],
    whole: NDArray[np.float64],
    ranked: NDArray[np.int64],
    whole_ranges: NDArray[np.int64],
    n_from_whole: int,
    best: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Write the results (n_slices, n) of `best_places` for the slices start..stop."""
    for s in range(start, stop):
        met, own = places[ranges[s] : ranges[s + 1]], weights[ranges[s] : ranges[s + 1]]
        if before[s] >= 0:
            low, high = ranges[before[s]], ranges[before[s] + 1]
            met, own = _merged(met, own, places[low:high], weights[low:high])
        for at in range(len(met)):
            value = (whole[met[at]] + own[at]) / 2.0 if n_from_whole else own[at]
            _insert(best[s], values[s], met[at], value)
        n_left = n_from_whole
        for at in range(whole_ranges[topics[s]], whole_ranges[topics[s] + 1]):
            if n_left == 0:
                break
            place = ranked[at]
            found = place_of(met, place)
            if found == len(met) or met[found] != place:
                _insert(best[s], values[s], place, whole[place] / 2.0)
                n_left -= 1
