"""Spread: an index -> which cosines are high in it, from which on two documents are copies, and the distinct ones."""

from __future__ import annotations

from topicflow.tasks.core.vectors.distinct import Distinct, Spread
from topicflow.tasks.search.index import SearchIndex


def spread_of(index: SearchIndex) -> Spread:
    """Return the spread of the cosines of an index."""
    return Spread.of(index.vectors, index.rows)


def distinct_of(index: SearchIndex) -> Distinct:
    """Return the documents of an index, copies once."""
    return Distinct.of(index, index.rows, spread_of(index).copy)
