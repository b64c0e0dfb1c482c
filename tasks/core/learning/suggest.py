"""Suggest: probabilities and vectors of unlabelled documents -> the rows that are most worth a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

POOL = 10
"""Candidates for each suggestion, the least sure first: the diverse ones are chosen among them."""


def margins(probabilities: FloatArray, *, multilabel: bool) -> FloatArray:
    """Return how sure (n,) a classifier is: best less second, or where multilabel the least sure of all classes."""
    if multilabel:
        return np.asarray(2 * np.abs(probabilities - 0.5).min(axis=1), np.float32)
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities), np.float32)
    best = np.partition(probabilities, -2, axis=1)
    return np.asarray(best[:, -1] - best[:, -2], np.float32)


def suggest_rows(
    sure: FloatArray, vectors: FloatArray, candidates: NDArray[np.int64], labelled: FloatArray, n: int
) -> NDArray[np.int64]:
    """Return the `n` rows to label next: among the least sure, those farthest from each other and from labelled ones.

    Parameters
    ----------
    sure : ndarray of shape (n_docs,), float32
        Margins.
    vectors : ndarray of shape (n_docs, dim), float32
        Unit vectors; only candidates' are read.
    candidates : ndarray of shape (n_candidates,), int64
        Rows that may be suggested.
    labelled : ndarray of shape (n_labelled, dim), float32
        Unit vectors of what has a label already.
    n : int

    Notes
    -----
    Of the `POOL * n` least sure candidates one after the other is taken that is farthest from everything taken and
    labelled (farthest-first traversal); ties go to the less sure. O(POOL n (n + n_labelled) dim).

    References
    ----------
    Sener, Savarese: Active learning for convolutional neural networks, a core-set approach (ICLR 2018), algorithm 1.
    """
    order = candidates[np.argsort(sure[candidates], kind="stable")][: POOL * n]
    pool = np.asarray(vectors[order])
    nearest = np.full(len(pool), -1.0, np.float32)  # cosine similarity to the nearest one taken
    for start in range(0, len(labelled), 1024):
        nearest = np.maximum(nearest, (pool @ labelled[start : start + 1024].T).max(axis=1))
    chosen: list[int] = []
    for _ in range(min(n, len(pool))):
        best = int(nearest.argmin())
        chosen.append(best)
        nearest = np.maximum(nearest, pool @ pool[best])
        nearest[best] = np.inf
    return order[chosen]
