"""Over time: the dates and topics of documents -> counts of each topic for each step of the time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_LINES = 10
"""Topics in the chart over time: more than ten lines cannot be followed."""

MAX_BINS = 60
"""Maximum number of steps on the time axis; the finest unit with at most this many steps is used."""

TIME_STEPS: Mapping[str, int] = {
    "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1mo": 2_629_746,
    "1q": 7_889_238, "1y": 31_556_952, "5y": 157_784_760, "25y": 788_923_800, "100y": 3_155_695_200,
}  # fmt: skip
"""Steps of the time axis in the notation of polars, with their mean length in seconds."""


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
    table = pl.DataFrame({"time": moments, "topic": labels}).drop_nulls("time")
    if table.is_empty() or table["time"].n_unique() < 2:
        return None
    step, bins = _time_axis(table["time"])
    shown = np.argsort(-np.asarray(sizes), kind="stable")[:MAX_LINES].tolist()
    counted = (
        table.select(pl.col("time").dt.truncate(step).alias("bin"), "topic").group_by("bin", "topic").len()
    )
    counted = counted.join(bins, on="bin")
    totals = np.zeros(bins.height, np.int64)
    np.add.at(totals, counted["place"].to_numpy(), counted["len"].to_numpy())
    counts = np.zeros((len(shown), bins.height), np.int64)
    for k, topic in enumerate(shown):
        own = counted.filter(pl.col("topic") == topic)
        counts[k, own["place"].to_numpy()] = own["len"].to_numpy()
    return {
        "step": step,
        "starts": bins["bin"].dt.strftime("%Y-%m-%dT%H:%M:%S").to_list(),
        "totals": totals.tolist(),
        "topics": shown,
        "counts": counts.tolist(),
        "n_undated": len(times) - table.height,
    }


def _time_axis(times: pl.Series) -> tuple[str, pl.DataFrame]:
    """Return the finest step with at most about MAX_BINS bins, and the table of all bins with their positions.

    No time becomes a Python datetime here: a wrong year in one document (0, 20240) must not stop a report.
    """
    first, last = times.to_physical().min(), times.to_physical().max()
    assert isinstance(first, int)
    assert isinstance(last, int)
    span = (last - first) / 1e6
    step = next((step for step in TIME_STEPS if span / TIME_STEPS[step] < MAX_BINS), "5000y")
    ends = pl.DataFrame({"time": times}).select(pl.col("time").dt.truncate(step))
    bins = ends.select(
        pl.datetime_range(pl.col("time").min(), pl.col("time").max(), interval=step).alias("bin")
    )
    return step, bins.with_row_index("place")
