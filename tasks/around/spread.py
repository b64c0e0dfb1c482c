"""Spread: an index -> which cosines are high in it, and from which on two documents are copies.

Encoders differ: two unrelated texts have a cosine of .1 in one space and of .8 in another. So a fixed cosine says
little, and what is high or a copy is measured against the pairs of the index itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topicflow.tasks.search.index import SearchIndex

DRAWN = 1000
"""Documents of the index whose pairs are compared."""

HIGH = 0.9
"""Quantile of the cosines of two documents from which on a cosine is high (tests/benchmarks/recommend.py)."""

COPY = 0.025
"""Distance of two copies as a share of the usual distance of two documents: a cosine of .98 for all-MiniLM-L6-v2, which
gives texts with one changed word at least .985."""


@dataclass(frozen=True)
class Spread:
    """Cosines of an index.

    Attributes
    ----------
    high : float
        Minimum cosine of documents that belong together.
    copy : float
        Minimum cosine of copies, inclusive.
    """

    high: float
    copy: float


def spread_of(index: SearchIndex) -> Spread:
    """Return the spread of the cosines of an index, from the pairs of a seeded sample."""
    rows = np.flatnonzero(~index.files.removed())
    drawn = np.random.default_rng(0).permutation(rows)[:DRAWN]
    vectors = index.vectors.gather(np.sort(drawn))
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    if not len(cosines):
        return Spread(0.0, 1.0 - COPY)
    return Spread(float(np.quantile(cosines, HIGH)), 1.0 - COPY * (1.0 - float(np.median(cosines))))
