"""Timestamps: dates, times and epochs as people write them -> Datetime, microseconds, UTC, no zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from topicflow.tasks.errors import DataError
from topicflow.tasks.log import LOG

Order = Literal["mdy", "dmy", "ymd"]

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
    "ymd": tuple(f"%y/%m/%d{time}" for time in _TIMES),
}
"""Two-digit years first: %Y would read 24 as the year 24."""


_SHORT_DATE = r"^(\d{1,2})[-/](\d{1,2})[-/](\d{4}|\d{2})(?:\D|$)"
"""A date whose order only its numbers show: 3/4/2024, 31-01-24."""

FIRST: dict[Order, str] = {"mdy": "month first", "dmy": "day first", "ymd": "year first"}
"""Names of the orders, in order of preference: if two orders read the same number of dates, the first one is used."""


@dataclass(frozen=True)
class FoundOrder:
    """The order of a whole column of short dates.

    Attributes
    ----------
    order : str
        The order that reads most of them.
    example : str
        One of the dates, if possible one that no other order reads.
    is_sure : bool
        False if every date may be day first or month first.
    """

    order: Order
    example: str
    is_sure: bool

    def __str__(self) -> str:
        """Return what was found, as a sentence."""
        if self.is_sure:
            return f"dates such as {self.example!r} are read {FIRST[self.order]}"
        return (
            f"dates such as {self.example!r} may be month first or day first and no row decides; they are read "
            f'{FIRST[self.order]}; load.date_order = "dmy" reads them day first'
        )


@dataclass
class Timestamps:
    """Reads one column part by part; the whole column decides once whether 3/4/2024 is in March or in April.

    Parameters
    ----------
    where : str
        Beginning of messages.
    order : str, optional
        The order of short dates, if it is known; otherwise it is found.
    given_by, remedy : str
        Origin of the order, and how to correct a value that cannot be read, for messages.
    column : callable, optional
        Returns the values of the whole column again, part by part. If None, the part that is read decides.
    is_said : bool
        Whether the order that was found is logged.
    """

    where: str
    order: Order | None = None
    given_by: str = "load.date_order says"
    remedy: str = "write 2024-01-31T23:59"
    column: Callable[[], Iterable[pl.Series]] | None = None
    is_said: bool = False
    found: FoundOrder | None = field(default=None, init=False)

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
            msg = f"{self.where}: row {row:,} contains {value!r}, expected a date{self._expected}; {self.remedy}"
            raise DataError(msg)
        return times

    @property
    def _expected(self) -> str:
        """How short dates are read and why, for the message about a date that cannot be read."""
        if self.order is None:
            return ""
        by = self.given_by if self.found is None else f"most of the column is, such as {self.found.example!r}"
        return f" ({FIRST[self.order]}, as {by})"

    def _times(self, values: pl.Series) -> pl.Series:
        if not values.dtype.is_temporal():
            return self._read_strings(values) if not values.dtype.is_float() else _from_numbers(values)
        if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        if isinstance(values.dtype, pl.Date | pl.Datetime):
            return values.cast(_MICROSECONDS)
        return pl.Series(values.name, [None] * len(values), _MICROSECONDS)

    def _read_strings(self, values: pl.Series) -> pl.Series:
        """Return times of strings or integers; short dates that no other format explains decide day and month."""
        texts = values.cast(pl.String).str.strip_chars()
        times = _from_texts(texts)
        short = texts.filter(times.is_null()).drop_nulls()
        if self.order is None and short.str.contains(_SHORT_DATE).any():
            self.found = _order_of(self.column() if self.column else [short])
            self.order = self.found.order
            if self.is_said:
                say = LOG.info if self.found.is_sure else LOG.warning
                say("%s: %s", self.where, self.found)
        if self.order is None or short.is_empty():
            return times
        rest = _first_that_parses(
            texts.str.replace_all("-", "/", literal=True), _BY_ORDER[self.order], zone=False
        )
        return times.zip_with(times.is_not_null(), rest)


def _order_of(parts: Iterable[pl.Series]) -> FoundOrder:
    """Return the order of all short dates in a column; there must be at least one.

    Notes
    -----
    The numbers decide: a number above 12 is not a month, above 31 not a day, and four digits are a year.
    """
    n_read: Counter[Order] = Counter()
    only: dict[Order, str] = {}
    example = ""
    for part in parts:
        texts = part.cast(pl.String).str.strip_chars().rename("text")
        groups = [texts.str.extract(_SHORT_DATE, number).alias(name) for number, name in enumerate("abc", 1)]
        frame = pl.DataFrame([texts, *groups]).drop_nulls().with_columns(pl.col("a", "b").cast(pl.Int32))
        reads = frame.select("text", *(_reads(order).alias(order) for order in FIRST))
        for order in FIRST:
            n_read[order] += int(reads[order].sum())
            others = pl.any_horizontal(*(other for other in FIRST if other != order))
            alone = reads.filter(pl.col(order) & ~others)
            if alone.height:
                only.setdefault(order, alone["text"][0])
        example = example or (frame["text"][0] if frame.height else "")
    order = max(FIRST, key=lambda each: n_read[each])  # the first one if several read the same number
    return FoundOrder(order, only.get(order, example), n_read["mdy"] != n_read["dmy"] or order == "ymd")


def _reads(order: Order) -> pl.Expr:
    """Return which short dates, as numbers `a`, `b` and text `c`, an order can read."""
    first, second, last = pl.col("a"), pl.col("b"), pl.col("c")
    if order == "ymd":
        day = last.cast(pl.Int32)
        return second.is_between(1, 12) & day.is_between(1, 31) & (last.str.len_chars() == 2)
    month, day = (first, second) if order == "mdy" else (second, first)
    return month.is_between(1, 12) & day.is_between(1, 31)


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
    """Return times of numbers: years from 1000 to 2999, otherwise an epoch in the unit that its size tells."""
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
