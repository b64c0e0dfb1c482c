"""Recall: kept documents -> the share of all duplicates by embedding that were removed, estimated from a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.duplicates.exact_pairs import partners_of
from topicflow.tasks.core.duplicates.hashed_pairs import TwoCorpora
from topicflow.tasks.core.duplicates.pairs import wilson_interval
from topicflow.tasks.core.vectors.blocks import workers
from topicflow.tasks.duplicates.found import Found
from topicflow.tasks.execution.context import Context

RowArray = NDArray[np.int32]

PARTNERS = 64
"""Kept documents similar to a sampled one that are looked at, at most; one of them is enough."""


def missed_in_sample(
    context: Context, corpora: TwoCorpora, found: Found, kept: RowArray, sample: int
) -> tuple[int, int]:
    """Return how many kept documents of a random sample should not have been kept, and the size of the sample.

    That is a document that is similar to a kept one before it, or to one of the corpus that is only compared with. The
    sample is compared with all of these, without hashing. The number is rather too high: one that is similar only to a
    missed duplicate counts, too.

    Parameters
    ----------
    context : Context
        Seed and threads.
    corpora : TwoCorpora
        The vectors.
    found : Found
        What was found in them; its comparison decides.
    kept : ndarray of shape (n_kept,), int32
        The kept documents, counted without the base corpus, in order of preference for keeping.
    sample : int
        Maximum number of documents in the sample.
    """
    heads = found.first[kept + corpora.n_base]
    place = np.full(corpora.n_rows, -1, np.int64)  # documents of the base corpus come before all others
    place[heads] = np.arange(len(heads))
    rows = np.unique(np.concatenate([found.first[: corpora.n_base], heads]))
    asked = np.random.default_rng((context.seed, len(heads))).permutation(np.sort(heads))[:sample]
    with workers(context.runtime.n_threads) as run:
        pairs = partners_of(corpora, rows, np.sort(asked), found.threshold, PARTNERS, run)
    missed = set()
    for one, other in pairs.rows.tolist():
        later, before = (one, other) if place[one] > place[other] else (other, one)
        if later not in missed and found.compare(later, np.array([before], np.int32))[0] >= np.float32(
            found.threshold
        ):
            missed.add(later)
    return int(np.isin(asked, list(missed)).sum()), len(asked)


def recall_of(n_found: int, n_kept: int, n_missed: int, n_asked: int) -> dict[str, float | int | None]:
    """Return the recall of duplicates and its 95 % interval.

    Parameters
    ----------
    n_found : int
        Number of duplicates that were found.
    n_kept : int
        Number of kept documents.
    n_missed, n_asked : int
        The result of `missed_in_sample`.

    Returns
    -------
    dict
        `recall` with `recall_low` and `recall_high`, None without any duplicate; `recall_sample` and `recall_missed`.
    """
    low, high = wilson_interval(n_missed, n_asked)

    def recall(share: float) -> float | None:
        everything = n_found + share * n_kept
        return n_found / everything if everything else None

    return {
        "recall": recall(n_missed / max(1, n_asked)),
        "recall_low": recall(high),
        "recall_high": recall(low),
        "recall_sample": n_asked,
        "recall_missed": n_missed,
    }
