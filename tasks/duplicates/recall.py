"""Recall: kept documents -> the share of all duplicates by embedding that were removed, estimated from a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.duplicates.exact_pairs import partners_of
from topicflow.tasks.core.duplicates.hashed_pairs import TwoCorpora
from topicflow.tasks.core.duplicates.pairs import wilson_interval
from topicflow.tasks.core.vectors.blocks import workers

RowArray = NDArray[np.int32]

PARTNERS = 64
"""Kept documents similar to a sampled one that are looked at, at most; one of them is enough."""


def measured_recall(
    corpora: TwoCorpora,
    first: RowArray,
    kept: NDArray[np.bool_],
    order: RowArray,
    threshold: float,
    n_found: int,
    sample: int,
    seed: int,
    n_threads: int | None,
) -> dict[str, Any]:
    """Return the recall of duplicates and its 95 % interval.

    A duplicate that was missed is a kept document that is similar to another one: to one that comes before it in the
    order of preference, or to one of the corpus that is only compared with. A random sample of the kept documents is
    compared with all of these, without hashing. The estimate is rather too low: one that is similar only to a missed
    duplicate counts as missed.

    Parameters
    ----------
    corpora : TwoCorpora
    first : ndarray of shape (n_base + n,), int32
        The first document with the same vector; two documents with one vector and different texts are no duplicates.
    kept : ndarray of shape (n,), bool
    order : ndarray of shape (n,), int32
        Documents in order of preference for keeping.
    threshold : float
        Minimum cosine of duplicates.
    n_found : int
        Number of duplicates that were found.
    sample : int
        Maximum number of documents in the sample.
    seed : int
    n_threads : int or None

    Returns
    -------
    dict
        `recall` with `recall_low` and `recall_high`, None without any duplicate; `recall_sample`, the documents that
        were compared; `recall_missed`, those of them that should not have been kept.
    """
    n_base = corpora.n_base
    own = (np.flatnonzero(kept) + n_base).astype(np.int32)
    rows = np.unique(np.concatenate([first[:n_base], first[own]]))
    asked = np.unique(first[own])
    asked = np.sort(np.random.default_rng((seed, len(asked))).permutation(asked)[:sample])
    asked = asked[asked >= n_base]
    with workers(n_threads) as run:
        pairs = partners_of(corpora, rows, asked, threshold, PARTNERS, run)
    place = np.full(corpora.n_rows, -1, np.int64)  # documents of the base corpus come before all others
    place[order + n_base] = np.arange(len(order))
    later = np.where(place[pairs.rows[:, 0]] > place[pairs.rows[:, 1]], pairs.rows[:, 0], pairs.rows[:, 1])
    n_missed = int(np.isin(asked, later).sum())
    low, high = wilson_interval(n_missed, len(asked))

    def recall(share: float) -> float | None:
        everything = n_found + share * int(kept.sum())
        return n_found / everything if everything else None

    return {
        "recall": recall(n_missed / max(1, len(asked))),
        "recall_low": recall(high),
        "recall_high": recall(low),
        "recall_sample": len(asked),
        "recall_missed": n_missed,
    }
