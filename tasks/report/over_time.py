"""Over time: the dates and topics of documents -> counts of each topic for each step of the time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.statistics.trend import directions, discovery_rates, share_trends
from topicflow.tasks.periods.calendar import MEAN_SECONDS, periods_of, span_seconds

MAX_LINES = 10
"""Topics in the chart over time: more than ten lines cannot be followed."""

MAX_BINS = 60
"""Maximum number of steps on the time axis; the finest unit with at most this many steps is used."""

MAX_COUNTS = 120_000
"""Maximum number of counts of topics and steps in a page: 1,900 topics with 62 steps."""

FALSE_DISCOVERY = 0.05
"""Expected share of mistakes among the topics that are marked as rising or falling, as in the section [periods]."""

CHART_STEPS = (
    "1m", "5m", "15m", "1h", "6h", "1d", "1w", "1mo", "1q", "1y", "5y", "25y", "100y",
)  # fmt: skip
"""Steps of a time axis that no section [periods] chose."""


def topics_over_time(
    times: pl.Series, labels: NDArray[np.int32], sizes: Sequence[int], max_topics: int | None = None
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
    max_topics : int or None
        Maximum number of topics; None for as many as MAX_COUNTS allows.

    Returns
    -------
    dict or None
        `step` (a polars duration), `starts` (ISO times), `totals` (documents of each step, with or without a topic),
        `topics` (numbers, largest first), `counts` (one list for each topic), `trends` ("rising", "falling" or "none"
        for each topic), and `n_undated`.
    """
    moments = times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None)))
    if getattr(times.dtype, "time_zone", None):
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    dated = moments.drop_nulls()
    if dated.n_unique() < 2:
        return None
    step = _step_of(dated)
    starts, numbers = periods_of(moments, step)
    return counted_timeline(step, starts, numbers, labels, sizes, max_topics)


def counted_timeline(
    step: str,
    starts: pl.Series,
    numbers: NDArray[np.int32],
    labels: NDArray[np.int32],
    sizes: Sequence[int],
    max_topics: int | None,
) -> dict[str, Any]:
    """Return the chart's data from the period of each document (n_docs,), -1 without a date."""
    dated, n_steps = numbers >= 0, len(starts)
    totals = np.bincount(numbers[dated], minlength=n_steps)
    own = dated & (labels >= 0)
    places = labels[own].astype(np.int64) * n_steps + numbers[own]
    counts = np.bincount(places, minlength=len(sizes) * n_steps).reshape(len(sizes), n_steps)
    shown = largest_topics(sizes, n_steps, max_topics)
    trends = share_directions(counts, totals)
    return {
        "step": step,
        "starts": starts.dt.strftime("%Y-%m-%dT%H:%M:%S").to_list(),
        "totals": totals.tolist(),
        "topics": shown,
        "counts": counts[shown].tolist(),
        "trends": [trends[topic] for topic in shown],
        "n_undated": int((~dated).sum()),
    }


def largest_topics(sizes: Sequence[int], n_steps: int, max_topics: int | None = None) -> list[int]:
    """Return the topics of a chart, largest first: at most `max_topics`, or as many as MAX_COUNTS allows."""
    most = max(MAX_LINES, MAX_COUNTS // max(1, n_steps)) if max_topics is None else max_topics
    return [int(topic) for topic in np.argsort(-np.asarray(sizes), kind="stable")[:most]]


def share_directions(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> list[str]:
    """Return "rising", "falling" or "none" for the share of each topic in the documents.

    `counts` (n_topics, n_steps) are the documents of each topic, `totals` (n_steps,) all documents.
    """
    if not len(counts):
        return []
    found = share_trends(counts, totals)
    return directions(found.slope, discovery_rates(found.p_value), FALSE_DISCOVERY)


def _step_of(times: pl.Series) -> str:
    """Return the finest step of the chart with at most about MAX_BINS steps."""
    span = span_seconds(times)
    return next((step for step in CHART_STEPS if span / MEAN_SECONDS[step] < MAX_BINS), "5000y")
