"""Mixtures: a kernel that divides the words of each document among topics, which gives the document's topic shares.

Functions import this module when they run, because numba compiles decorated functions at import.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topicflow.tasks.core.words.tokens import place_of, sort_values

N_CANDIDATES = 16
"""Topics that a document is divided among after the first step: the ones that its words and vector speak for most."""

N_STEPS = 30
"""Maximum number of steps of the estimate."""

SMALL = 15
"""Scores that numba sorts by insertion."""

TOLERANCE = 2e-3
"""The estimate ends when all shares together change by less than this in a step."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rate(n: float, total: float, own: float, own_total: float, common: float, smoothing: float) -> float:
    """Return a word's probability in a topic without the document's own words, mixed with that in all documents."""
    left = total - own_total
    inside = (n - own) / left if left > 0.0 else 0.0
    return (1.0 - smoothing) * inside + smoothing * common


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _first_step(
    columns: NDArray[np.int32],
    weights: NDArray[np.float64],
    owns: NDArray[np.int32],
    own_total: int,
    assigned: int,
    prior: NDArray[np.float32],
    topic_counts: NDArray[np.int64],
    topic_numbers: NDArray[np.int32],
    topic_ranges: NDArray[np.int64],
    totals: NDArray[np.float64],
    common: NDArray[np.float64],
    smoothing: float,
    strength: float,
) -> NDArray[np.float64]:
    """Return the weight of every topic (n_topics,) after one step from equal shares, with that of the prior."""
    n_topics = len(prior)
    scores, values = np.empty(n_topics), np.empty(n_topics)
    for topic in range(n_topics):
        scores[topic] = 0.0
    rest = 0.0
    for at in range(len(columns)):
        column = columns[at]
        low, high = topic_ranges[column], topic_ranges[column + 1]
        whole = smoothing * common[column]
        for place in range(low, high):
            topic = topic_numbers[place]
            is_own = topic == assigned
            value = _rate(
                topic_counts[place], totals[topic], owns[at] if is_own else 0.0,
                own_total if is_own else 0.0, 0.0, smoothing,
            )  # fmt: skip
            values[topic] = value
            whole += value / n_topics
        if whole <= 0.0:
            continue
        rest += weights[at] * smoothing * common[column] / whole
        for place in range(low, high):
            topic = topic_numbers[place]
            scores[topic] += weights[at] * values[topic] / n_topics / whole
    for topic in range(n_topics):
        scores[topic] += rest / n_topics + strength * prior[topic]
    return scores


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rates(
    columns: NDArray[np.int32],
    owns: NDArray[np.int32],
    own_total: int,
    assigned: int,
    chosen: NDArray[np.int64],
    topic_counts: NDArray[np.int64],
    topic_numbers: NDArray[np.int32],
    topic_ranges: NDArray[np.int64],
    totals: NDArray[np.float64],
    common: NDArray[np.float64],
    smoothing: float,
) -> NDArray[np.float64]:
    """Return the probability of each word in each chosen topic, (n_words, n_chosen)."""
    rates = np.empty((len(columns), len(chosen)))
    for at in range(len(columns)):
        low, high = topic_ranges[columns[at]], topic_ranges[columns[at] + 1]
        numbers = topic_numbers[low:high]
        for k in range(len(chosen)):
            topic = chosen[k]
            place = place_of(numbers, topic)
            is_there = place < len(numbers) and numbers[place] == topic
            is_own = topic == assigned
            rates[at, k] = _rate(
                topic_counts[low + place] if is_there else 0.0, totals[topic], owns[at] if is_own else 0.0,
                own_total if is_own else 0.0, common[columns[at]], smoothing,
            )  # fmt: skip
    return rates


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def best_topics(  # noqa: C901, PLR0912  (each function of numba's sort costs half a second of compilation)
    scores: NDArray[np.float64], n: int
) -> NDArray[np.int64]:
    """Return the n topics with the largest scores, ascending.

    Of equal scores at the end those count that are first in numba's `argsort` (0.68, numba/misc/quicksort.py), whose
    partitions these are: of each only the part with the n-th place is partitioned again. Compiling that takes 3 s more.
    """
    order = np.empty(len(scores), np.int64)
    for topic in range(len(scores)):
        order[topic] = topic
    low, high = 0, len(scores) - 1
    while high - low >= SMALL:
        middle = (low + high) >> 1
        if scores[order[middle]] > scores[order[low]]:
            order[low], order[middle] = order[middle], order[low]
        if scores[order[high]] > scores[order[middle]]:
            order[high], order[middle] = order[middle], order[high]
        if scores[order[middle]] > scores[order[low]]:
            order[low], order[middle] = order[middle], order[low]
        pivot = scores[order[middle]]
        order[high], order[middle] = order[middle], order[high]
        i, j = low, high - 1
        while True:
            while i < high and scores[order[i]] > pivot:
                i += 1
            while j >= low and pivot > scores[order[j]]:
                j -= 1
            if i >= j:
                break
            order[i], order[j] = order[j], order[i]
            i, j = i + 1, j - 1
        order[i], order[high] = order[high], order[i]
        if i < n:
            low = i + 1
        else:
            high = i - 1
    for at in range(low + 1, high + 1):
        topic, place = order[at], at
        while place > low and scores[topic] > scores[order[place - 1]]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = topic
    best = order[:n]
    sort_values(best)
    return best


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _estimate(
    rates: NDArray[np.float64], weights: NDArray[np.float64], start: NDArray[np.float64], worth: float
) -> NDArray[np.float64]:
    """Return the shares (n_chosen,) that explain the words best, from rates (n_words, n_chosen) and the prior."""
    n_words, n_chosen = rates.shape
    # all alike: from the prior, a topic that only words speak for would need many steps to grow
    share, gained = np.empty(n_chosen), np.empty(n_chosen)
    for k in range(n_chosen):
        share[k], gained[k] = 1.0 / n_chosen, 0.0
    for _ in range(N_STEPS):
        for at in range(n_words):
            whole = 0.0
            for k in range(n_chosen):
                whole += share[k] * rates[at, k]
            if whole > 0.0:
                factor = weights[at] / whole
                for k in range(n_chosen):
                    gained[k] += factor * rates[at, k]
        whole = 0.0
        for k in range(n_chosen):
            gained[k] = share[k] * gained[k] + worth * start[k]
            whole += gained[k]
        whole, change = max(whole, 1e-300), 0.0
        for k in range(n_chosen):
            found = gained[k] / whole
            change += abs(found - share[k])
            share[k], gained[k] = found, 0.0
        if change < TOLERANCE:
            break
    return share


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mix_document(
    columns: NDArray[np.int32],
    owns: NDArray[np.int32],
    assigned: int,
    prior: NDArray[np.float32],
    topic_counts: NDArray[np.int64],
    topic_numbers: NDArray[np.int32],
    topic_ranges: NDArray[np.int64],
    totals: NDArray[np.float64],
    common: NDArray[np.float64],
    smoothing: float,
    strength: float,
    topics: NDArray[np.int32],
    shares: NDArray[np.float64],
    word_topics: NDArray[np.int32],
    word_weights: NDArray[np.float32],
) -> None:
    """Write one document's part of the results of `mix_topics`."""
    weights, own_total, total = np.empty(len(owns)), 0, 0.0
    for at in range(len(owns)):
        weights[at] = np.log2(1.0 + owns[at])
        own_total += owns[at]
        total += weights[at]
    worth = strength * max(total, 1.0)
    scores = _first_step(
        columns, weights, owns, own_total, assigned, prior, topic_counts, topic_numbers, topic_ranges, totals,
        common, smoothing, worth,
    )  # fmt: skip
    n_chosen = len(topics)
    chosen = best_topics(scores, n_chosen)
    rates = _rates(
        columns, owns, own_total, assigned, chosen, topic_counts, topic_numbers, topic_ranges, totals, common,
        smoothing,
    )  # fmt: skip
    start, whole = np.empty(n_chosen), 0.0
    for k in range(n_chosen):
        start[k] = prior[chosen[k]]
        whole += start[k]
    whole = max(whole, 1e-300)
    for k in range(n_chosen):
        start[k] /= whole
    share = _estimate(rates, weights, start, worth)
    for at in range(len(columns)):
        best, part, whole = 0, share[0] * rates[at, 0], 0.0
        for k in range(n_chosen):
            own = share[k] * rates[at, k]
            whole += own
            if own > part:
                best, part = k, own
        lift = rates[at, best] / max(common[columns[at]], 1e-300)
        word_topics[at] = chosen[best]
        word_weights[at] = part / max(whole, 1e-300) * max(np.log2(max(lift, 1e-9)), 0.0)
    for k in range(n_chosen):
        topics[k], shares[k] = chosen[k], share[k]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mix_topics(
    start: int,
    stop: int,
    data: NDArray[np.int32],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int64],
    assigned: NDArray[np.int32],
    prior: NDArray[np.float32],
    topic_counts: NDArray[np.int64],
    topic_numbers: NDArray[np.int32],
    topic_ranges: NDArray[np.int64],
    totals: NDArray[np.float64],
    common: NDArray[np.float64],
    smoothing: float,
    strength: float,
    topics: NDArray[np.int32],
    shares: NDArray[np.float64],
    word_topics: NDArray[np.int32],
    word_weights: NDArray[np.float32],
) -> None:
    """Write the candidates and shares of the documents start..stop, and the topic of each word with its weight.

    Parameters
    ----------
    start, stop : int
        The documents whose results are written.
    data, indices, indptr : ndarray
        Word counts of the documents (n_docs, n_words).
    assigned : ndarray of shape (n_docs,), int32
        Topic of each document, whose counts contain the document; -1 for none.
    prior : ndarray of shape (n_docs, n_topics), float32
        What the vector of each document says; rows have the sum 1.
    topic_counts, topic_numbers, topic_ranges : ndarray
        The topics of word w are `topic_numbers[topic_ranges[w]:topic_ranges[w + 1]]`, ascending, with its occurrences.
    totals : ndarray of shape (n_topics,), float64
        Occurrences of all words in each topic.
    common : ndarray of shape (n_words,), float64
        Probability of each word in all documents.
    smoothing : float
        Part of a word's probability that all topics share.
    strength : float
        Weight of the prior beside all words of the document.
    topics, shares : ndarray of shape (n_docs, n_candidates)
        Ascending topics; shares have the sum 1.
    word_topics, word_weights : ndarray of shape (n_entries,)
        For each entry of the counts the topic to which most of it belongs, and how many bits it speaks for that topic:
        that part, times the binary logarithm of how much more frequent the word is there than in all documents.

    Notes
    -----
    Expectation-maximization for the mixture of known topics with a Dirichlet prior: each step divides a word among
    topics by share times probability, and a topic's new share is its part of all words. A word that a document repeats
    counts logarithmically. The document's own words are taken out of its topic's, or rare words would only repeat the
    assignment. O(entries (topics of a word + N_STEPS N_CANDIDATES)) time on all cores; documents are independent.

    References
    ----------
    Hofmann (1999), Probabilistic latent semantic indexing, section 3.3 (folding in); Zhai and Lafferty (2001), A study
    of smoothing methods for language models, for the fixed part.
    """
    for doc in range(start, stop):
        low, high = indptr[doc], indptr[doc + 1]
        _mix_document(
            indices[low:high], data[low:high], assigned[doc], prior[doc], topic_counts, topic_numbers, topic_ranges,
            totals, common, smoothing, strength, topics[doc], shares[doc], word_topics[low:high],
            word_weights[low:high],
        )  # fmt: skip
