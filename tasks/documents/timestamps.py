"""Timestamps: dates, times and epochs as people write them -> Datetime, microseconds, UTC, no zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from topicflow.tasks.documents.time_texts import (
    MICROSECONDS,
    NO_DATES,
    SHORT_DATE,
    TIMES_OF_DAY,
    by_format,
    first_that_parses,
    from_numbers,
    from_texts,
    of_distinct,
    spelled,
)
from topicflow.tasks.errors import DataError
from topicflow.tasks.log import LOG

Order = Literal["mdy", "dmy", "ymd"]

_BY_ORDER: dict[Order, tuple[str, ...]] = {
    "mdy": tuple(f"%m/%d/{year}{time}" for year in ("%y", "%Y") for time in TIMES_OF_DAY),
    "dmy": tuple(f"%d/%m/{year}{time}" for year in ("%y", "%Y") for time in TIMES_OF_DAY),
    "ymd": tuple(f"%y/%m/%d{time}" for time in TIMES_OF_DAY),
}
"""Two-digit years first: %Y would read 24 as the year 24."""

_EARLIEST, _LATEST = datetime(1000, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001  (times here are UTC without a zone)
"""Bounds of plausible dates: year 1 and 9999-12-31 stand for no date."""

_ZEROS = (datetime(1970, 1, 1), datetime(1900, 1, 1), datetime(1899, 12, 30), datetime(1904, 1, 1))  # noqa: DTZ001
"""What programs write for no date: the zeros of Unix, of databases and of Excel."""

_NEAR, _AROUND = timedelta(days=1), timedelta(days=731)
"""A zero may be moved by its zone; it is a date if another date is within two years of it."""

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
    form : str, optional
        The format of the values (`load.time_format`); otherwise each value shows its own.

    Attributes
    ----------
    n_implausible, example
        How many dates stood for no date, and the first of them.
    """

    where: str
    order: Order | None = None
    given_by: str = "load.date_order says"
    remedy: str = "write 2024-01-31T23:59, or set load.time_format"
    column: Callable[[], Iterable[pl.Series]] | None = None
    is_said: bool = False
    form: str | None = None
    found: FoundOrder | None = field(default=None, init=False)
    n_implausible: int = field(default=0, init=False)
    example: str | None = field(default=None, init=False)
    _lone: dict[datetime, bool] = field(default_factory=dict, init=False)

    def parse(self, values: pl.Series, numbers: pl.Series) -> pl.Series:
        """Return the times (Datetime, microseconds, UTC without a zone); implausible ones are null and counted.

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
        return self.plausible(self.read(values, numbers))

    def read(self, values: pl.Series, numbers: pl.Series) -> pl.Series:
        """Return the times as they are written, plausible or not; blanks and texts such as N/A are null.

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

    def plausible(self, times: pl.Series) -> pl.Series:
        """Return times without those that stand for no date: far years, and a zero such as 1970 that is alone."""
        odd = (times < _EARLIEST) | (times >= _LATEST)
        for zero in _ZEROS:
            near = times.is_between(zero - _NEAR, zero + _NEAR)
            if near.any() and self._is_lone(zero, times):
                odd |= near
        odd = odd.fill_null(value=False)
        if odd.any():
            self.n_implausible += int(odd.sum())
            first = times.filter(odd).dt.to_string("%Y-%m-%d")[0]
            self.example = self.example or first
        return times.set(odd, None)

    def _is_lone(self, zero: datetime, times: pl.Series) -> bool:
        """Return whether the whole column has other dates, and none within two years of a zero."""
        if zero not in self._lone:
            n_others = n_around = 0
            parts = (
                [times] if self.column is None else (self._times(_blank_to_null(p)) for p in self.column())
            )
            for part in parts:
                others = part.filter(~part.is_between(zero - _NEAR, zero + _NEAR)).drop_nulls()
                others = others.filter(others.is_between(_EARLIEST, _LATEST))
                n_others += len(others)
                n_around += int(others.is_between(zero - _AROUND, zero + _AROUND).sum())
            self._lone[zero] = n_others > 0 and n_around == 0
        return self._lone[zero]

    @property
    def _expected(self) -> str:
        """How dates are read and why, for the message about a date that cannot be read."""
        if self.form is not None:
            return f" in the format {self.form!r} (load.time_format)"
        if self.order is None:
            return ""
        by = self.given_by if self.found is None else f"most of the column is, such as {self.found.example!r}"
        return f" ({FIRST[self.order]}, as {by})"

    def _times(self, values: pl.Series) -> pl.Series:
        if values.dtype.is_temporal():
            return _from_temporal(values)
        if self.form is not None:
            return by_format(values, self.form)
        if values.dtype.is_numeric():
            return from_numbers(values)
        return self._read_strings(values)

    def _read_strings(self, values: pl.Series) -> pl.Series:
        """Return times of strings; short dates that no other format explains decide day and month."""
        texts = values.cast(pl.String).str.strip_chars()
        times = from_texts(texts)
        short = texts.filter(times.is_null()).drop_nulls()
        if self.order is None and short.str.contains(SHORT_DATE).any():
            self.found = _order_of(self.column() if self.column else [short])
            self.order = self.found.order
            if self.is_said:
                say = LOG.info if self.found.is_sure else LOG.warning
                say("%s: %s", self.where, self.found)
        if self.order is None or short.is_empty():
            return times
        rest = of_distinct(texts.set(times.is_not_null(), None), self._read_short)
        return times.zip_with(times.is_not_null(), rest)

    def _read_short(self, texts: pl.Series) -> pl.Series:
        """Return times of short dates in the order of the column."""
        assert self.order is not None
        texts = spelled(texts)
        texts = texts.str.replace(r"^(\d+)[-/.](\d+)[-/.](\d+)", "$1/$2/$3")
        has_zone = texts.str.contains(r":\d{2}(?: [AP]M)?[+-]\d{2}:?\d{2}$").fill_null(value=False)
        rest = first_that_parses(texts.set(has_zone, None), _BY_ORDER[self.order])
        if has_zone.any():
            formats = tuple(f"{form}%z" for form in _BY_ORDER[self.order])
            rest = rest.zip_with(~has_zone, first_that_parses(texts.set(~has_zone, None), formats, zone=True))
        return rest


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
        groups = [texts.str.extract(SHORT_DATE, number).alias(name) for number, name in enumerate("abc", 1)]
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
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    if isinstance(values.dtype, pl.String):
        return values.set(values.str.strip_chars().str.to_lowercase().is_in(NO_DATES), None)
    return values.fill_nan(None) if values.dtype.is_float() else values


def _from_temporal(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if isinstance(values.dtype, pl.Date | pl.Datetime):
        return values.cast(MICROSECONDS)
    return pl.Series(values.name, [None] * len(values), MICROSECONDS)
