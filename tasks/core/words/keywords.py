"""Keywords: candidate words with weights and vectors -> keywords of a topic, and distinct topic names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.words.word_forms import without_forms

FloatArray = NDArray[np.float32]


def closest_words(words: FloatArray, centroid: FloatArray, n: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the `n` words closest to a topic by cosine, best first, and their similarities.

    Parameters
    ----------
    words : ndarray of shape (n_candidates, dim), float32
        Unit vectors of the candidate words.
    centroid : ndarray of shape (dim,), float32
        The topic's mean embedding.
    n : int
        Number of words.

    References
    ----------
    Grootendorst: KeyBERT, in the form of BERTopic's `KeyBERTInspired`.
    """
    similarity = words @ (centroid / max(float(np.linalg.norm(centroid)), 1e-12))
    order = np.argsort(-similarity, kind="stable")[:n]
    return order.astype(np.int64), similarity[order].astype(np.float32)


def diverse_words(words: FloatArray, relevance: FloatArray, n: int, diversity: float) -> NDArray[np.int64]:
    """Return `n` words by maximal marginal relevance, in the order of selection.

    Parameters
    ----------
    words : ndarray of shape (n_candidates, dim), float32
        Unit vectors of the candidate words.
    relevance : ndarray of shape (n_candidates,), float32
        Relevance of each word for the topic, scaled to [0, 1].
    n : int
        Number of words.
    diversity : float
        Weight in [0, 1] of the difference from the words selected before.

    References
    ----------
    Carbonell, Goldstein: The use of MMR (SIGIR 1998).
    """
    taken: list[int] = []
    closeness = np.zeros(len(words), np.float32)
    free = np.ones(len(words), bool)
    for _ in range(min(n, len(words))):
        score = np.where(free, (1.0 - diversity) * relevance - diversity * closeness, -np.inf)
        best = int(score.argmax())
        taken.append(best)
        free[best] = False
        closeness = np.maximum(closeness, words @ words[best])
    return np.array(taken, np.int64)


def distinct_names(keywords: Sequence[Sequence[str]], n_words: int) -> list[str]:
    """Return a unique name for each topic: its first words, more words if needed, and finally a number.

    Of several forms of one word the first one counts; see `word_forms`. A topic without keywords gets the name
    `topic <number>`.
    """
    names: list[str] = []
    taken: set[str] = set()
    for number, words in enumerate(map(without_forms, keywords)):
        options = [", ".join(words[:n]) for n in range(n_words, len(words) + 1)] or [", ".join(words)]
        options = [option for option in options if option]
        fallback = f"{options[-1]} ({number})" if options else f"topic {number}"
        name = next((option for option in options if option not in taken), fallback)
        while name in taken:  # a keyword can look like a fallback
            name = f"{name} ({number})"
        taken.add(name)
        names.append(name)
    return names
