"""Timestamps: dates, times and epochs as people write them -> Datetime, microseconds, UTC, no zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from topicflow.tasks.errors import DataError

Order = Literal["mdy", "dmy"]

_MICROSECONDS = pl.Datetime("us")

_REWRITES = (
    (r"^(\d{4})(\d{2})(\d{2})$", "$1-$2-$3"),  # 20240131
    (r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})", "$1-$2-$3"),  # 2024/1/31, 2024.01.31
    (r"^(\d{4}-\d{1,2})$", "$1-01"),  # 2024-01
    (r"^(\d{4}-\d{1,2}-\d{1,2})[Tt]", "$1 "),
    (r"\s*(?:[Zz]|UTC|GMT)$", "+0000"),
    (r"\s+([+-]\d{2}:?\d{2})$", "$1"),
    (r"(:\d{2}(?:\.\d+)?[+-]\d{2})$", "${1}00"),  # +02, as PostgreSQL writes it
)
"""One spelling for the many of ISO 8601."""

_TIMES = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")

_UNAMBIGUOUS = (
    *(f"%Y-%m-%d{time}" for time in _TIMES),
    *(
        f"{date}{time}"
        for date in ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d.%m.%Y")
        for time in _TIMES
    ),
)
_WITH_ZONE = (
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M%z",
    "%a, %d %b %Y %H:%M:%S%z",  # mail
    "%d %b %Y %H:%M:%S%z",
    "%a %b %d %H:%M:%S %z %Y",  # Twitter
)
_BY_ORDER: dict[Order, tuple[str, ...]] = {
    "mdy": tuple(f"%m/%d/{year}{time}" for year in ("%y", "%Y") for time in _TIMES),
    "dmy": tuple(f"%d/%m/{year}{time}" for year in ("%y", "%Y") for time in _TIMES),
}
"""Two-digit years first: %Y would read 24 as the year 24."""


@dataclass
class Timestamps:
    """Reads one column part by part; whether 3/4/2024 is March or April is settled once.

    Parameters
    ----------
    where : str
        What error messages begin with.
    """

    where: str
    order: Order | None = None

    def parse(self, values: pl.Series, numbers: pl.Series) -> pl.Series:
        """Return the times (Datetime, microseconds, UTC without a zone); nulls and blanks stay null.

        Parameters
        ----------
        values : pl.Series
            Dates, times, epochs (seconds to nanoseconds by their size), years, or strings of them.
        numbers : pl.Series
            The values' rows in the input, for messages.

        Raises
        ------
        DataError
            When a value cannot be read.
        """
        values = _blank_to_null(values)
        times = self._times(values)
        wrong = values.is_not_null() & times.is_null()
        if wrong.any():
            value, row = values.filter(wrong)[0], numbers.filter(wrong)[0]
            order = f" ({self.order}, as in rows before)" if self.order else ""
            msg = f"{self.where}: row {row:,} holds {value!r}, expected a date{order}; write 2024-01-31T23:59"
            raise DataError(msg)
        return times

    def _times(self, values: pl.Series) -> pl.Series:
        if not values.dtype.is_temporal():
            return self._read_strings(values) if not values.dtype.is_float() else _from_numbers(values)
        if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        if isinstance(values.dtype, pl.Date | pl.Datetime):
            return values.cast(_MICROSECONDS)
        return pl.Series(values.name, [None] * len(values), _MICROSECONDS)

    def _read_strings(self, values: pl.Series) -> pl.Series:
        """Return times of strings or integers; what nothing else explains settles day and month."""
        texts = values.cast(pl.String).str.strip_chars()
        times = _from_texts(texts)
        slashed = texts.filter(times.is_null()).drop_nulls()
        if slashed.is_empty():
            return times
        self.order = self.order or _order_of(slashed)
        rest = _first_that_parses(
            texts.str.replace_all("-", "/", literal=True), _BY_ORDER[self.order], zone=False
        )
        return times.zip_with(times.is_not_null(), rest)


def _order_of(texts: pl.Series) -> Order:
    """Return the order that reads more of the texts; month first, as ISO has it, where both read as many."""
    read = {
        order: _first_that_parses(texts.str.replace_all("-", "/", literal=True), formats, zone=False)
        for order, formats in _BY_ORDER.items()
    }
    return "dmy" if read["dmy"].count() > read["mdy"].count() else "mdy"


def _blank_to_null(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.String):
        return values.set(values.str.strip_chars() == "", None)
    return values.fill_nan(None) if values.dtype.is_float() else values


def _from_texts(texts: pl.Series) -> pl.Series:
    """Return times of ISO 8601, named months, dotted dates and numbers in strings; null for anything else."""
    for pattern, replacement in _REWRITES:
        texts = texts.str.replace(pattern, replacement)
    numeric = texts.str.contains(r"^-?\d+(\.\d+)?$")
    numbers = _from_numbers(texts.set(~numeric, None).cast(pl.Float64))
    named = texts.set(numeric | texts.str.contains(r"^\d{1,2}[-/]"), None)
    has_zone = named.str.contains(r"[+-]\d{2}:?\d{2}(?: \d{4})?$")
    zoned = _first_that_parses(named.set(~has_zone, None), _WITH_ZONE, zone=True)
    plain = _first_that_parses(named.set(zoned.is_not_null(), None), _UNAMBIGUOUS, zone=False)
    return numbers.zip_with(numbers.is_not_null(), zoned.zip_with(zoned.is_not_null(), plain))


def _first_that_parses(texts: pl.Series, formats: tuple[str, ...], *, zone: bool) -> pl.Series:
    """Return for each text the time by the first format that reads it."""
    times = pl.Series(texts.name, [None] * len(texts), _MICROSECONDS)
    for form in formats:
        missing = texts.is_not_null() & times.is_null()
        if not missing.any():
            break
        read = texts.set(~missing, None).str.to_datetime(form, time_unit="us", strict=False, exact=True)
        read = read.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else read
        times = times.zip_with(~missing, read)
    return times


def _from_numbers(values: pl.Series) -> pl.Series:
    """Return times of numbers: years from 1000 to 2999, else an epoch in the unit that its size tells."""
    value = pl.col("value")
    size = value.abs()
    scale = (
        pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).when(size < 1e17).then(1.0).otherwise(1e-3)
    )
    epoch = (value * scale).round().cast(pl.Int64, strict=False).cast(_MICROSECONDS)
    is_year = value.is_between(1000, 2999) & (value == value.floor())
    year = pl.datetime(value.cast(pl.Int32, strict=False), 1, 1, time_unit="us")
    frame = pl.DataFrame({"value": values.cast(pl.Float64).fill_nan(None)})
    return frame.select(pl.when(is_year).then(year).otherwise(epoch)).to_series()
