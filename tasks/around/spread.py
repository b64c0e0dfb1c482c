"""Spread: an index -> which cosines are high in it, and from which on two documents are copies."""

from __future__ import annotations

import numpy as np

from topicflow.tasks.core.vectors.distinct import Spread
from topicflow.tasks.search.index import SearchIndex


def spread_of(index: SearchIndex) -> Spread:
    """Return the spread of the cosines of an index."""
    return Spread.of(index.vectors, np.flatnonzero(~index.files.removed()))
