"""Spread: an index -> which cosines are high in it, from which on two documents are copies, and the distinct ones."""

from __future__ import annotations

import numpy as np

from topicflow.tasks.core.vectors.distinct import Distinct, Spread
from topicflow.tasks.search.index import SearchIndex


def spread_of(index: SearchIndex) -> Spread:
    """Return the spread of the cosines of an index."""
    return Spread.of(index.vectors, np.flatnonzero(~index.files.removed()))


def distinct_of(index: SearchIndex) -> Distinct:
    """Return the documents of an index, copies once."""
    return Distinct.of(index, np.flatnonzero(~index.files.removed()), spread_of(index).copy)
