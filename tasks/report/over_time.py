"""Over time: the dates and topics of documents -> counts of each topic for each step of the time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.periods.calendar import MEAN_SECONDS, periods_of, span_seconds

MAX_LINES = 10
"""Topics in the chart over time: more than ten lines cannot be followed."""

MAX_BINS = 60
"""Maximum number of steps on the time axis; the finest unit with at most this many steps is used."""

CHART_STEPS = (
    "1m", "5m", "15m", "1h", "6h", "1d", "1w", "1mo", "1q", "1y", "5y", "25y", "100y",
)  # fmt: skip
"""Steps of a time axis that no section [periods] chose."""


def topics_over_time(
    times: pl.Series, labels: NDArray[np.int32], sizes: Sequence[int]
) -> dict[str, Any] | None:
    """Return the counts of the largest topics in each time step; None if there are fewer than two different times.

    Parameters
    ----------
    times : pl.Series
        Timestamp of each document, Datetime, null if unknown; times with a zone are converted to UTC.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    sizes : sequence of int
        Documents of each topic.

    Returns
    -------
    dict or None
        `step` (a polars duration), `starts` (ISO times), `totals` (documents of each step, with or without a topic),
        `topics` (numbers, largest first), `counts` (one list for each topic), and `n_undated`.
    """
    moments = times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None)))
    if getattr(times.dtype, "time_zone", None):
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    dated = moments.drop_nulls()
    if dated.n_unique() < 2:
        return None
    step = _step_of(dated)
    starts, numbers = periods_of(moments, step)
    return counted_timeline(step, starts, numbers, labels, sizes)


def counted_timeline(
    step: str, starts: pl.Series, numbers: NDArray[np.int32], labels: NDArray[np.int32], sizes: Sequence[int]
) -> dict[str, Any]:
    """Return the chart's data from the period of each document (n_docs,), -1 without a date."""
    shown = np.argsort(-np.asarray(sizes), kind="stable")[:MAX_LINES].tolist()
    dated = numbers >= 0
    totals = np.bincount(numbers[dated], minlength=len(starts))
    counts = [np.bincount(numbers[dated & (labels == topic)], minlength=len(starts)) for topic in shown]
    return {
        "step": step,
        "starts": starts.dt.strftime("%Y-%m-%dT%H:%M:%S").to_list(),
        "totals": totals.tolist(),
        "topics": shown,
        "counts": [each.tolist() for each in counts],
        "n_undated": int((~dated).sum()),
    }


def _step_of(times: pl.Series) -> str:
    """Return the finest step of the chart with at most about MAX_BINS steps."""
    span = span_seconds(times)
    return next((step for step in CHART_STEPS if span / MEAN_SECONDS[step] < MAX_BINS), "5000y")
