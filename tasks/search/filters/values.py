"""Values: literals and a column's type -> exact comparisons, null if the column is null.

Columns of whole numbers, decimals, dates and times contain multiples of a smallest step. A literal between two steps
is compared through the step below it, and a literal outside the range of the column equals no value, so that no
comparison rounds a value. A literal for a column of floats is rounded to the column's type, as in SQL engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import polars as pl

Number = int | Fraction
Value = Number | str | bool
"""A literal for a column: a number or a time in steps of the column, a text, or a boolean."""

_BITS = {
    pl.Int8: (True, 8), pl.Int16: (True, 16), pl.Int32: (True, 32), pl.Int64: (True, 64), pl.Int128: (True, 128),
    pl.UInt8: (False, 8), pl.UInt16: (False, 16), pl.UInt32: (False, 32), pl.UInt64: (False, 64),
    pl.UInt128: (False, 128), pl.Date: (True, 32), pl.Datetime: (True, 64), pl.Time: (True, 64),
}  # fmt: skip
_PER_MICROSECOND = {"ms": Fraction(1, 1000), "us": Fraction(1), "ns": Fraction(1000)}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (where polars counts from, in the column's own zone)
_MICROSECOND = timedelta(microseconds=1)

TIMES: Mapping[type[pl.DataType], str] = {
    pl.Date: "'2012-01-31'",
    pl.Datetime: "'2012-01-31' or '2012-01-31 12:00'",
    pl.Time: "'12:00'",
}
"""Examples of dates and times."""

LONGEST_NUMBER = 400
"""Maximum characters of a number: the smallest double, written out."""

LARGEST, SMALLEST = 308, -324
"""Powers of ten in the range of a double."""


class SkippedError(ValueError):
    """A local time that does not exist because the clocks skipped it."""


@dataclass(frozen=True)
class Steps:
    """The range of a column of steps: the smallest and the largest step, and its type."""

    dtype: pl.DataType
    low: int
    high: int

    @classmethod
    def of(cls, dtype: pl.DataType) -> Steps | None:
        """Return the steps of a type, None if its values are not multiples of a step."""
        if isinstance(dtype, pl.Decimal):
            most = 10**dtype.precision - 1
            return cls(dtype, -most, most)
        if (found := _BITS.get(type(dtype))) is None:
            return None
        signed, bits = found
        high = 2 ** (bits - signed) - 1
        return cls(dtype, -high - 1 if signed else 0, high)

    def series(self, steps: Sequence[int]) -> pl.Series:
        """Return values of the column's type."""
        if isinstance(self.dtype, pl.Decimal):
            digits = [
                Decimal((step < 0, tuple(map(int, str(abs(step)))), -self.dtype.scale)) for step in steps
            ]
            return pl.Series(digits, dtype=self.dtype)
        if self.dtype.is_temporal():
            return pl.Series(steps, dtype=pl.Int32 if self.dtype == pl.Date else pl.Int64).cast(self.dtype)
        return pl.Series(steps, dtype=self.dtype)

    def compare(self, column: pl.Expr, sign: str, value: Number) -> pl.Expr:
        """Return the comparison of a column with any value, which may be between two steps."""
        below, whole = value.numerator // value.denominator, value.denominator == 1
        if sign in {"=", "!="}:
            there = whole and self.low <= below <= self.high
            equal = column == self._literal(below) if there else column.ne(column)
            return equal if sign == "=" else ~equal
        if sign in {">", ">="}:
            return ~self.compare(column, "<=" if sign == ">" else "<", value)
        least_beyond = below + (sign == "<=" or not whole)
        if least_beyond > self.high:
            return column.eq(column)
        return column.ne(column) if least_beyond <= self.low else column < self._literal(least_beyond)

    def _literal(self, step: int) -> pl.Expr:
        return pl.lit(self.series([step])).first()


def compare(column: pl.Expr, dtype: pl.DataType, sign: str, value: Value) -> pl.Expr:
    """Return the comparison of a column with a literal: = != < <= > or >=."""
    steps = Steps.of(dtype)
    if steps is not None and not isinstance(value, str):
        return steps.compare(column, sign, value)
    literal = pl.lit(float(value)).cast(dtype) if dtype.is_float() else pl.lit(value)
    return {
        "=": column.eq, "!=": column.ne, "<": column.lt, "<=": column.le, ">": column.gt, ">=": column.ge,
    }[sign](literal)  # fmt: skip


def is_one_of(column: pl.Expr, dtype: pl.DataType, values: Sequence[Value]) -> pl.Expr:
    """Return whether a column's value is one of the literals; the time does not depend on their number."""
    found = choices(dtype, values)
    return column.is_in(found.implode()) if len(found) else column.ne(column)


def choices(dtype: pl.DataType, values: Sequence[Value]) -> pl.Series:
    """Return the literals that a column of a type can contain, each once, as values of that type."""
    distinct = list(dict.fromkeys(values))
    if (steps := Steps.of(dtype)) is not None:
        whole = (int(value) for value in distinct if not isinstance(value, str) and value.denominator == 1)
        return steps.series([step for step in whole if steps.low <= step <= steps.high])
    if dtype.is_float():
        return pl.Series([float(value) for value in distinct], dtype=pl.Float64).cast(dtype)
    return pl.Series(distinct, dtype=dtype)


def read_number(text: str, dtype: pl.DataType) -> Number:
    """Return a number in steps of a column of numbers; raise ValueError if it does not fit into 64 bits."""
    if len(text) > LONGEST_NUMBER:
        msg = f"a number of {len(text):,} characters does not fit into 64 bits"
        raise ValueError(msg)
    number: Number
    if text.lstrip("+-").isdecimal():
        number = int(text)
        fits = -(2**63) <= number < 2**64
    else:
        exact = Decimal(text)
        fits = not exact or SMALLEST <= exact.adjusted() <= LARGEST
        number = Fraction(exact) if fits and exact else 0
    if not fits:
        msg = f"the number {text} does not fit into 64 bits"
        raise ValueError(msg)
    return number * 10**dtype.scale if isinstance(dtype, pl.Decimal) else number


def read_time(text: str, dtype: pl.DataType) -> Number:
    """Return a date or time in steps of such a column; raise ValueError if it is none.

    A time without a zone is in the column's zone; if the column has no zone, the zone of a time is ignored, as in
    SQL.
    """
    if isinstance(dtype, pl.Date):
        return (date.fromisoformat(text) - _EPOCH.date()).days
    if isinstance(dtype, pl.Time):
        found = datetime.combine(_EPOCH, time.fromisoformat(text))
        if found.tzinfo is not None:
            msg = "a time of day has no zone here"
            raise ValueError(msg)
        return (found - _EPOCH) // _MICROSECOND * 1000
    assert isinstance(dtype, pl.Datetime)
    moment = datetime.fromisoformat(text)
    if dtype.time_zone is not None:
        moment = moment.astimezone(UTC) if moment.tzinfo is not None else in_utc(moment, dtype.time_zone)
    moment = moment.replace(tzinfo=None)
    return (moment - _EPOCH) // _MICROSECOND * _PER_MICROSECOND[dtype.time_unit]


def in_utc(moment: datetime, zone: str) -> datetime:
    """Return a local time in UTC, the earlier of two; raise SkippedError if the clocks skipped it."""
    local = pl.Series([moment], dtype=pl.Datetime("us"))
    found = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    utc = found.dt.convert_time_zone("UTC").dt.replace_time_zone(None)[0]
    if utc is None:
        msg = f"the clocks in {zone} skipped it"
        raise SkippedError(msg)
    assert isinstance(utc, datetime)
    return utc
