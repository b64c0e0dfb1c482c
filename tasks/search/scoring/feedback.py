"""Feedback: a query and the best documents for it -> the query moved towards them, as a vector and as words.

The documents that a first search finds are taken as relevant, so that the second search finds those which say the same
in other words. All constants are the best of a small grid on every second query of cranfield
(tests/benchmarks/README.md has the figures of both halves).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

DOCUMENTS = 5
"""Best documents of the first search that are taken as relevant."""

VECTOR_SHARE = 1.0
"""Weight of the documents' mean vector beside the query's vector, whose weight is 1 (beta of Rocchio)."""

WORDS = 20
"""Words that are taken from the documents."""

WORD_SHARE = 0.4
"""Share of the weight of these words; the words of the query have the rest (RM3)."""

RarityOf = Callable[[Sequence[str]], NDArray[np.float64]]
"""Words -> how rare each is (n_words,), 0 for an unknown word."""


def shares_of(n_documents: int) -> NDArray[np.float64]:
    """Return the weights of the best documents (n,): 1, 1/2, 1/3 and so on, with the sum 1."""
    weights = 1 / np.arange(1, n_documents + 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def moved_vector(vector: NDArray[np.float32], best: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a query's unit vector (dim,) moved towards the unit vectors of the best documents (n, dim), best first.

    References
    ----------
    Rocchio: Relevance feedback in information retrieval (1971), without irrelevant documents.
    """
    moved = vector + VECTOR_SHARE * (shares_of(len(best)) @ best)
    norm = float(np.linalg.norm(moved))
    return vector if norm < 1e-6 else (moved / norm).astype(np.float32)


def moved_words(
    asked: Mapping[str, float], best: Sequence[Sequence[str]], rarity_of: RarityOf
) -> dict[str, float]:
    """Return the words of a query and the most telling words of the best documents, with weights.

    Parameters
    ----------
    asked : mapping of str to float
        The words of the query and their weights.
    best : sequence of sequence of str
        All words of each of the best documents, best first.
    rarity_of : callable
        How rare words are in the index.

    Notes
    -----
    The sum of all weights is that of the known words of the query, so that scores stay in its range.

    References
    ----------
    Abdul-Jaleel and others: UMass at TREC 2004 (RM3); a word counts by its share of a document times its rarity.
    """
    shares: Counter[str] = Counter()
    for words, share in zip(best, shares_of(len(best)).tolist(), strict=True):
        for word, count in Counter(words).items():
            shares[word] += share * count / len(words)
    candidates = sorted({*shares, *asked})
    rarity = dict(zip(candidates, rarity_of(candidates).tolist(), strict=True))
    known = sum(weight for word, weight in asked.items() if rarity[word] > 0)
    telling = sorted(shares, key=lambda word: (-shares[word] * rarity[word], word))[:WORDS]
    total = sum(shares[word] * rarity[word] for word in telling)
    if known <= 0 or total <= 0:
        return dict(asked)
    found = {word: (1 - WORD_SHARE) * weight for word, weight in asked.items()}
    for word in telling:
        weight = known * WORD_SHARE * shares[word] * rarity[word] / total
        found[word] = found.get(word, 0.0) + weight
    return found
