"""Calendar: times of n_docs documents (UTC) -> the calendar period of each, and all periods from the first to the last.

A period is a piece of the calendar of one zone: a day begins at local midnight, a week on Monday, a quarter in January,
April, July or October. Times become local wall-clock times first, so that a day with a change of clocks is one day of
23 or 25 hours; the hour that the clocks repeat is one period.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.errors import DataError

MICROSECONDS = pl.Datetime("us")

UNITS: Mapping[str, str] = {
    "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y", "decade": "10y",
}  # fmt: skip
"""Values of `periods.every`, from the shortest to the longest, in the notation of polars."""

MEAN_SECONDS: Mapping[str, int] = {
    "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1mo": 2_629_746,
    "1q": 7_889_238, "1y": 31_556_952, "5y": 157_784_760, "10y": 315_569_520, "25y": 788_923_800,
    "100y": 3_155_695_200,
}  # fmt: skip
"""Mean length of the steps of the calendar."""

MAX_AUTO = 60
"""Maximum number of periods that `auto` makes: more cannot be distinguished on a page."""

MIN_DOCUMENTS = 10
"""Minimum mean number of documents in a period of `auto`: words of fewer documents are chance."""

MAX_PERIODS = 20_000
"""Maximum number of periods: 50 years of days."""


@dataclass(frozen=True)
class Calendar:
    """The calendar periods of a corpus.

    Attributes
    ----------
    step : str
        Length of a period in the notation of polars, such as 1mo.
    starts : pl.Series of shape (n_periods,), Datetime
        Begin of each period, local time without a zone; no period between the first and the last is missing.
    numbers : ndarray of shape (n_docs,), int32
        Period of each document, -1 without a date.
    is_dates : bool
        Whether the column has dates only, which no zone moves.
    """

    step: str
    starts: pl.Series
    numbers: NDArray[np.int32]
    is_dates: bool

    @property
    def n_undated(self) -> int:
        """Documents without a date."""
        return int((self.numbers < 0).sum())

    def table(self) -> pl.DataFrame:
        """Return one row a period: period (its name), start, end (the start of the next one)."""
        names = period_names(self.starts, self.step)
        ends = self.starts.dt.offset_by(self.step)
        dtype = MICROSECONDS if self.step == "1h" else pl.Date
        return pl.DataFrame(
            {"period": names, "start": self.starts.cast(dtype), "end": ends.cast(dtype)},
            schema={"period": pl.String, "start": dtype, "end": dtype},
        )


def calendar_of(times: pl.Series, every: str, zone: str) -> Calendar:
    """Return the periods of documents.

    Parameters
    ----------
    times : pl.Series of shape (n_docs,), Datetime
        UTC, without a zone; null if unknown.
    every : str
        A key of `UNITS`, or auto.
    zone : str
        Name of a time zone.

    Raises
    ------
    DataError
        If there would be more than MAX_PERIODS periods.
    """
    times = times.cast(MICROSECONDS)
    is_dates = bool((times.drop_nulls() == times.drop_nulls().dt.truncate("1d")).all())
    local = times if is_dates else local_times(times, zone)
    dated = local.drop_nulls()
    if dated.is_empty():
        none = pl.Series("start", [], MICROSECONDS)
        return Calendar(UNITS.get(every, "1d"), none, np.full(len(times), -1, np.int32), is_dates)
    step = UNITS.get(every) or chosen_step(dated, has_hours=not is_dates)
    n_estimated = span_seconds(dated) / MEAN_SECONDS[step]
    if n_estimated > MAX_PERIODS:
        first, last = (dated.dt.to_string("%Y-%m-%d").sort()[end] for end in (0, -1))
        msg = (
            f"periods: every={every!r} gives {n_estimated:,.0f} periods from {first} to {last}, expected at most "
            f"{MAX_PERIODS:,}; correct these dates, or set periods.every to a longer length or auto"
        )
        raise DataError(msg)
    starts, numbers = periods_of(local, step)
    return Calendar(step, starts, numbers, is_dates)


def local_times(times: pl.Series, zone: str) -> pl.Series:
    """Return UTC times as local wall-clock times, both without a zone."""
    if zone == "UTC":
        return times
    return times.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)


def span_seconds(times: pl.Series) -> float:
    """Return the seconds between the first and the last time; no time becomes a Python datetime.

    A wrong year in one document (0, 20240) must not stop a report.
    """
    first, last = times.to_physical().min(), times.to_physical().max()
    assert isinstance(first, int)
    assert isinstance(last, int)
    return (last - first) / 1e6


def chosen_step(times: pl.Series, *, has_hours: bool) -> str:
    """Return the shortest step with at most MAX_AUTO periods and at least MIN_DOCUMENTS documents in each on average.

    Very few documents, which have that in no step, get the longest step that gives more than one period. `times` are
    not null; an hour is a step only if they have times of day.
    """
    fitting: dict[str, int] = {}
    for step in list(UNITS.values())[0 if has_hours else 1 :]:
        if span_seconds(times) < MAX_AUTO * MEAN_SECONDS[step]:
            n_periods = len(periods_of(times, step)[0])
            if n_periods <= MAX_AUTO:
                fitting[step] = n_periods
    several = [step for step, n in fitting.items() if n > 1]
    filled = [step for step in several if len(times) >= MIN_DOCUMENTS * fitting[step]]
    return next(iter(filled or several[-1:] or fitting), "10y")


def periods_of(times: pl.Series, step: str) -> tuple[pl.Series, NDArray[np.int32]]:
    """Return the start of every period from the first to the last, and the period (n,) int32 of each time.

    The start belongs to a period and its end does not; a null time has the period -1. At least one is not null.
    """
    begins = times.dt.truncate(step)
    ends = pl.DataFrame({"start": begins})
    starts = ends.select(
        pl.datetime_range(pl.col("start").min(), pl.col("start").max(), interval=step).alias("start")
    )["start"]
    found = np.searchsorted(starts.to_physical().to_numpy(), begins.to_physical().fill_null(0).to_numpy())
    return starts, np.where(begins.is_null().to_numpy(), -1, found).astype(np.int32)


def period_names(starts: pl.Series, step: str) -> pl.Series:
    """Return the name of each period: 2024-05-17, 2024-W20 (ISO 8601), 2024-05, 2024-Q2, 2024, 2020s."""
    forms = {
        "1h": "%Y-%m-%d %H:00",
        "1d": "%Y-%m-%d",
        "1w": "%G-W%V",
        "1mo": "%Y-%m",
        "1y": "%Y",
        "10y": "%Ys",
    }
    if step == "1q":
        frame = pl.DataFrame({"start": starts})
        name = pl.format("{}-Q{}", pl.col("start").dt.strftime("%Y"), pl.col("start").dt.quarter())
        return frame.select(name.alias("period")).to_series()
    return starts.dt.strftime(forms[step]).alias("period")
