"""Pairs: rows that are similar, as (n_pairs, 2) int32 with their similarities (n_pairs,) float32."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

Z = 1.959964
"""Normal quantile of a 95 % interval."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, each once and with the smaller row first, sorted by both rows.

    Attributes
    ----------
    rows : ndarray of shape (n_pairs, 2), int32
    similarities : ndarray of shape (n_pairs,), float32
    """

    rows: NDArray[np.int32]
    similarities: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Each pair as one number, ascending."""
        return (self.rows[:, 0].astype(np.int64) << 32) | self.rows[:, 1]

    def at_least(self, similarity: float) -> Pairs:
        """Return the pairs with at least this similarity."""
        kept = self.similarities >= np.float32(similarity)
        return Pairs(self.rows[kept], self.similarities[kept])


def no_pairs() -> Pairs:
    """Return an empty set of pairs."""
    return Pairs(np.empty((0, 2), np.int32), np.empty(0, np.float32))


def union(parts: Iterable[Pairs]) -> Pairs:
    """Return every pair of the parts once; parts with the same pair must agree on its similarity.

    Notes
    -----
    One part at a time is merged, so the memory is 24 bytes for each distinct pair, and one part.
    """
    merged = no_pairs()
    for part in parts:
        rows = np.concatenate([merged.rows, part.rows])
        similarities = np.concatenate([merged.similarities, part.similarities])
        _, first = np.unique(Pairs(rows, similarities).codes, return_index=True)
        merged = Pairs(rows[first], similarities[first])
    return merged


def bounded(pairs: Pairs, n_rows: int, max_partners: int) -> Pairs:
    """Return the pairs without those whose two rows both have `max_partners` more similar pairs.

    Notes
    -----
    A group of m rows that are all similar would have m² / 2 pairs; here it has at most m `max_partners`.
    """
    if not len(pairs) or np.bincount(pairs.rows.ravel(), minlength=1).max() <= max_partners:
        return pairs
    from topicflow.tasks.core.duplicates.pair_kernels import keep_partners

    order = np.argsort(-pairs.similarities, kind="stable")
    kept = keep_partners(pairs.rows, order, max_partners, np.zeros(n_rows, np.int32))
    return Pairs(pairs.rows[kept], pairs.similarities[kept])


def wilson_interval(n_found: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share if `n_found` of `n` were found; (0, 1) if n is 0.

    References
    ----------
    Wilson: Probable inference, the law of succession, and statistical inference (JASA 22, 1927).
    """
    if n == 0:
        return 0.0, 1.0
    share, spread = n_found / n, Z * Z / n
    centre = share + spread / 2
    half = Z * np.sqrt(share * (1 - share) / n + spread / (4 * n))
    return float((centre - half) / (1 + spread)), float(min(1.0, (centre + half) / (1 + spread)))
