"""Hypothetical: a query and a passage that might answer it -> the query moved towards the passage.

A passage uses the words of answers, and its vector is that of a document. It may also be wrong, so that the query keeps
the larger part (tests/benchmarks/README.md has figures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.search.scoring import feedback
from topicflow.tasks.search.scoring.feedback import RarityOf, moved_words

VECTOR_SHARE = 0.25
"""Weight of the passage's vector beside the query's vector, whose weight is 1."""

WORD_SHARE = 0.2
"""Share of the weight of the passage's words; the words of the query have the rest. At most that of the feedback."""


def mixed_vector(vector: NDArray[np.float32], passage: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a query's unit vector (dim,) moved towards the unit vector of a passage.

    References
    ----------
    Gao, Ma, Lin, Callan: Precise Zero-Shot Dense Retrieval without Relevance Labels (ACL 2023), which takes the mean of
    the vectors of the query and of several passages.
    """
    mixed = vector + np.float32(VECTOR_SHARE) * passage
    norm = float(np.linalg.norm(mixed))
    return vector if norm < 1e-6 else (mixed / norm).astype(np.float32)


def mixed_words(asked: Mapping[str, float], said: Sequence[str], rarity_of: RarityOf) -> dict[str, float]:
    """Return the words of a query and the most telling words of a passage, with weights.

    Parameters
    ----------
    asked : mapping of str to float
        The words of the query.
    said : sequence of str
        All words of the passage.
    rarity_of : callable
        How rare words are in the index.

    Notes
    -----
    The words are those of the feedback for a passage in place of the best documents, with a smaller share.
    """
    if not said:
        return dict(asked)
    moved, part = moved_words(asked, [said], rarity_of), WORD_SHARE / feedback.WORD_SHARE
    return {word: (1 - part) * asked.get(word, 0.0) + part * weight for word, weight in moved.items()}
