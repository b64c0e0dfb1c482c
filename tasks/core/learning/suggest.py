"""Suggest: probabilities and vectors of unlabelled documents -> the rows for which a label is most useful."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

POOL = 10
"""Candidates for each suggestion, the least certain first; diverse ones are selected from them."""


def margins(probabilities: FloatArray, *, multilabel: bool) -> FloatArray:
    """Return the margin (n,) of a classifier: best minus second probability; if multilabel, the least of all."""
    if multilabel:
        return np.asarray(2 * np.abs(probabilities - 0.5).min(axis=1), np.float32)
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities), np.float32)
    best = np.partition(probabilities, -2, axis=1)
    return np.asarray(best[:, -1] - best[:, -2], np.float32)


def suggest_rows(
    sure: FloatArray, vectors: FloatArray, candidates: NDArray[np.int64], labelled: FloatArray, n: int
) -> NDArray[np.int64]:
    """Return the `n` rows to label next: of the least certain, those farthest from each other and from labelled ones.

    Parameters
    ----------
    sure : ndarray of shape (n_docs,), float32
        Margins.
    vectors : ndarray of shape (n_docs, dim), float32
        Unit vectors; only those of candidates are read.
    candidates : ndarray of shape (n_candidates,), int64
        Rows that may be suggested.
    labelled : ndarray of shape (n_labelled, dim), float32
        Unit vectors of labelled documents.
    n : int

    Notes
    -----
    From the `POOL * n` least certain candidates this repeatedly takes the one farthest from all taken and labelled ones
    (farthest-first traversal); ties go to the less certain. O(POOL n (n + n_labelled) dim).

    References
    ----------
    Sener, Savarese: Active learning for convolutional neural networks, a core-set approach (ICLR 2018), algorithm 1.
    """
    order = candidates[np.argsort(sure[candidates], kind="stable")][: POOL * n]
    pool = np.asarray(vectors[order])
    nearest = np.full(len(pool), -1.0, np.float32)  # cosine similarity to the nearest document taken
    for start in range(0, len(labelled), 1024):
        nearest = np.maximum(nearest, (pool @ labelled[start : start + 1024].T).max(axis=1))
    chosen: list[int] = []
    for _ in range(min(n, len(pool))):
        best = int(nearest.argmin())
        chosen.append(best)
        nearest = np.maximum(nearest, pool @ pool[best])
        nearest[best] = np.inf
    return order[chosen]
