"""Time texts: dates and times as people and programs write them -> Datetime, microseconds, UTC, no zone."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

MICROSECONDS = pl.Datetime("us")

NO_DATES = (
    "", "n/a", "na", "#n/a", "#n/d", "#value!", "null", "(null)", "none", "nil", "nan", "nat", "-", "--", "---", "?",
    "unknown", "undefined", "missing", "not available", "0000-00-00", "0000-00-00 00:00:00", "00.00.0000", "00/00/0000",
)  # fmt: skip
"""Texts that stand for no date, in lower case."""

TIMES_OF_DAY = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")

_ISO = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f")

_DATES = (
    "%Y-%m-%d",
    "%d %b %y",
    "%d %b %Y",
    "%d %B %Y",
    "%d %B %y",
    "%d.%m.%y",
    "%d.%m.%Y",
    "%b %d %Y",
    "%B %d %Y",
)
"""Two-digit years first: %Y would read 24 as the year 24."""

_PLAIN = tuple(f"{date}{time}" for date in _DATES for time in TIMES_OF_DAY)

_WITH_ZONE = tuple(f"{date}{time}%z" for date in _DATES for time in TIMES_OF_DAY)

_ZONES = {
    "UTC": "+0000", "GMT": "+0000", "Z": "+0000", "WET": "+0000", "WEST": "+0100", "BST": "+0100", "CET": "+0100",
    "MEZ": "+0100", "CEST": "+0200", "MESZ": "+0200", "EET": "+0200", "EEST": "+0300", "MSK": "+0300", "IST": "+0530",
    "SGT": "+0800", "HKT": "+0800", "AWST": "+0800", "JST": "+0900", "KST": "+0900", "AEST": "+1000", "AEDT": "+1100",
    "NZST": "+1200", "NZDT": "+1300", "BRT": "-0300", "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500",
    "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}  # fmt: skip
"""Offsets of zone names; IST is India's, CST and BST are America's and Britain's."""

_REWRITES = (
    (r"[\u00a0\u202f\u2009]", " "),  # before PM, as chats are exported
    (r"^\[(.*)\]$", "$1"),
    (r"^['\"](.*)['\"]$", "$1"),
    (r"^(\d{4}-\d{2}-\d{2})[^/]*/\d{4}-\d{2}-\d{2}.*$", "$1"),  # a pandas Period: the first day
    (r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})", "$1-$2-$3"),  # 2024/1/31, 2024.01.31
    (r"^(\d{4})[-/.](0?[1-9]|1[0-2])$", "$1-$2-01"),  # 2024-01, 2024.01
    (r"^(0?[1-9]|1[0-2])[/.](\d{4})$", "$2-$1-01"),  # 01/2024
    (r"^(\d{4}-\d{1,2}-\d{1,2})[Tt_]", "$1 "),
    (r" ?\([A-Za-z ]+\)$", ""),  # the name after an offset, as browsers print it
    (r"(?i)^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+", ""),
    (r"(?i)(\d)(?:st|nd|rd|th)\b", "$1"),
    (r"(?i)\bsept\b", "Sep"),
    (
        r"(?i)^([a-z]{3}) +(\d{1,2}) ([\d:.]+)( [+-]\d{4}| [a-z]{3,4})? (\d{4})$",
        "$2 $1 $5 $3$4",
    ),  # date, Twitter
    (r"(?i)^(\d{1,2})[-/ ]([a-z]{3,9})\.?[-/, ]+(\d{2,4})\b", "$1 $2 $3"),  # 31-Jan-2024
    (r"(?i)^([a-z]{3,9})\.? (\d{1,2}),? (\d{4})\b", "$1 $2 $3"),  # Jan. 31, 2024
    (r"(?i)^([a-z]{3,9})\.?[- ](\d{4})$", "1 $1 $2"),  # Jan 2024
    (
        r"^(\d[\d./-]*\d|\d{1,2} [A-Za-z]+ \d{2,4}|[A-Za-z]+ \d{1,2} \d{4})(?:,| at| um|, at)? +(\d{1,2}:)",
        "$1 $2",
    ),
    (r"(?i)(\d) ?([ap])\.?m\.?\b", "$1 ${2}M"),
    (r" ?\(?(?:UTC|GMT)([+-]\d{1,2}:?\d{2})\)?$", "$1"),
    (r" +([+-]\d{2}:?\d{2})$", "$1"),
    (r"(:\d{2}(?:\.\d+)?[+-]\d{2})$", "${1}00"),  # +02, as PostgreSQL writes it
    (r"(:\d{2}),(\d{3})", "$1.$2"),  # milliseconds after a comma, as logs have them
)
"""One spelling for the many."""

SHORT_DATE = r"^\[?(\d{1,2})[-/](\d{1,2})[-/](\d{4}|\d{2})(?:\D|$)"
"""A date whose order only its numbers show: 3/4/2024, 31-01-24."""


def spelled(texts: pl.Series) -> pl.Series:
    """Return texts in the spelling that the formats below read."""
    texts = texts.str.strip_chars()
    for pattern, replacement in _REWRITES:
        texts = texts.str.replace_all(pattern, replacement)
    texts = _quarters(texts)
    name = texts.str.extract(r"\d ?([A-Za-z]{1,4})$")
    offset = name.str.to_uppercase().replace_strict(_ZONES, default=None, return_dtype=pl.String)
    cut = texts.str.replace(r" ?[A-Za-z]{1,4}$", "")
    return texts.zip_with(offset.is_null() | ~texts.str.contains(":"), cut + offset)


FEW_TEXTS = 1000
"""Texts that are read by all formats at once."""


def _quarters(texts: pl.Series) -> pl.Series:
    """Return texts with the first day of a quarter: 2024Q1, 2024-Q1, Q1 2024."""
    if not texts.str.contains(r"(?i)q[1-4]").any():
        return texts
    texts = texts.str.replace(r"(?i)^q([1-4])[ /-]?(\d{4})$", "${2}Q$1")
    for number, month in enumerate(("01", "04", "07", "10"), 1):
        texts = texts.str.replace(rf"(?i)^(\d{{4}})[ -]?q{number}$", f"$1-{month}-01")
    return texts


def from_texts(texts: pl.Series) -> pl.Series:
    """Return times of ISO 8601, named months, dotted dates and numbers in strings; null for anything else.

    Notes
    -----
    Plain ISO 8601 is read first; only the distinct other texts are spelled and tried.
    """
    is_iso = texts.str.contains(r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?)?$")
    times = first_that_parses(texts.set(~is_iso, None), _ISO)
    return times.zip_with(
        times.is_not_null(), of_distinct(texts.set(times.is_not_null(), None), _from_others)
    )


def of_distinct(texts: pl.Series, read: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Return the time of each text by `read`, which gets each distinct text once; null for a null."""
    distinct = texts.drop_nulls().unique(maintain_order=True)
    if distinct.is_empty():
        return pl.Series(texts.name, [None] * len(texts), MICROSECONDS)
    known = pl.DataFrame({"text": distinct, "time": read(distinct)})
    return pl.DataFrame({"text": texts}).join(known, on="text", how="left", maintain_order="left")["time"]


def _from_others(texts: pl.Series) -> pl.Series:
    plain = texts.str.strip_chars()
    is_number = plain.str.contains(r"^-?\d+(\.\d+)?$") & ~plain.str.contains(r"^\d{4}\.(?:0?[1-9]|1[0-2])$")
    numbers = from_numbers(plain.set(~is_number, None).cast(pl.Float64))
    texts = spelled(texts).set(is_number | plain.str.contains(SHORT_DATE), None)
    has_zone = texts.str.contains(r":\d{2}(?:\.\d+)?(?: [AP]M)?[+-]\d{2}:?\d{2}$")
    zoned = first_that_parses(texts.set(~has_zone, None), _WITH_ZONE, zone=True)
    named = _from_regions(texts)
    found = first_that_parses(texts.set(has_zone, None), _PLAIN)
    for other in (zoned, named, numbers):
        found = found.zip_with(found.is_not_null(), other)
    return found


def _from_regions(texts: pl.Series) -> pl.Series:
    """Return the times of texts that end with the name of a region: 2024-01-31 12:00:00 Europe/Berlin."""
    pattern = r" ?\[?([A-Z][A-Za-z]+/[A-Za-z_]+(?:/[A-Za-z_]+)?)\]?$"
    regions = texts.str.extract(pattern)
    found = pl.Series(texts.name, [None] * len(texts), MICROSECONDS)
    for region in regions.drop_nulls().unique():
        own = texts.set((regions != region).fill_null(value=True), None).str.replace(pattern, "")
        has_zone = own.str.contains(r"[+-]\d{2}:?\d{2}$")
        zoned = first_that_parses(own.set(~has_zone, None), _WITH_ZONE, zone=True)
        plain = first_that_parses(own.set(has_zone, None), _PLAIN)
        try:
            plain = plain.dt.replace_time_zone(region, ambiguous="earliest", non_existent="null")
        except pl.exceptions.ComputeError:  # no such region
            continue
        plain = plain.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        for read in (zoned, plain):
            found = found.zip_with(found.is_not_null(), read)
    return found


def first_that_parses(texts: pl.Series, formats: tuple[str, ...], *, zone: bool = False) -> pl.Series:
    """Return for each text the time by the first format that reads it.

    Notes
    -----
    Few texts are read by all formats in one expression, because a call costs more than their reading; of many texts
    each format reads only those that are left.
    """
    if len(texts) <= FEW_TEXTS:
        each = [
            pl.first().str.to_datetime(form, time_unit="us", strict=False, exact=True) for form in formats
        ]
        if zone:
            each = [time.dt.convert_time_zone("UTC").dt.replace_time_zone(None) for time in each]
        return texts.to_frame().select(pl.coalesce(each).alias(texts.name)).to_series()
    times = pl.Series(texts.name, [None] * len(texts), MICROSECONDS)
    for form in formats:
        missing = texts.is_not_null() & times.is_null()
        if not missing.any():
            break
        read = texts.set(~missing, None).str.to_datetime(form, time_unit="us", strict=False, exact=True)
        read = read.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else read
        times = times.zip_with(~missing, read)
    return times


def from_numbers(values: pl.Series) -> pl.Series:
    """Return times of numbers, by their size and digits.

    2024 is a year, 2024.01 and 202401 a month, 20240131 a day, 202401311200 and 20240131120000 a time, 45322.5 a
    serial number of Excel, and everything else an epoch in seconds, milliseconds, microseconds or nanoseconds.
    """
    value = pl.col("value")
    size = value.abs()
    scale = (
        pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).when(size < 1e17).then(1.0).otherwise(1e-3)
    )
    epoch = (value * scale).round().cast(pl.Int64, strict=False).cast(MICROSECONDS)
    whole = value == value.floor()
    digits = value.cast(pl.Int64, strict=False).cast(pl.String)
    month_of = ((value - value.floor()) * 100).round()
    is_month = value.is_between(1000, 2999) & ~whole & month_of.is_between(1, 12)
    is_month &= (value * 100 - (value * 100).round()).abs() < 1e-6
    frame = pl.DataFrame({"value": values.cast(pl.Float64).fill_nan(None)}).with_columns(
        digits.alias("digits")
    )
    return frame.select(
        pl.when(whole & value.is_between(1000, 2999))
        .then(_made(value.floor()))
        .when(is_month)
        .then(_made(value.floor(), month_of))
        .when(value.is_between(14_611, 60_000))  # 1940 to 2064; an epoch of a few hours is none
        .then(_EXCEL_ZERO + pl.duration(microseconds=(value * 86_400e6).round().cast(pl.Int64, strict=False)))
        .otherwise(pl.coalesce(*(_digits(form, n) for n, form in _BY_DIGITS), epoch))
        .cast(MICROSECONDS)
        .alias("time")
    ).to_series()


_EXCEL_ZERO = pl.datetime(1899, 12, 30, time_unit="us")

_BY_DIGITS = ((6, "%Y%m%d"), (8, "%Y%m%d"), (12, "%Y%m%d%H%M"), (14, "%Y%m%d%H%M%S"))


def _digits(form: str, n: int) -> pl.Expr:
    """Return the time that n digits spell, from 1900 to 2099; null if they do not."""
    text = pl.col("digits")
    spells = text.str.contains(rf"^(?:19|20)\d{{{n - 2}}}$") & (pl.col("value") == pl.col("value").floor())
    text = text + "01" if n == 6 else text
    return pl.when(spells).then(text.str.to_datetime(form, time_unit="us", strict=False))


def _made(year: pl.Expr, month: pl.Expr | None = None) -> pl.Expr:
    """Return the first day of a year or month; numbers that are none are replaced before, because polars panics."""
    safe = pl.when(year.is_between(1, 9999)).then(year).otherwise(1).cast(pl.Int32)
    if month is None:
        return pl.datetime(safe, 1, 1, time_unit="us")
    return pl.datetime(safe, month.clip(1, 12).cast(pl.Int8), 1, time_unit="us")


def by_format(values: pl.Series, form: str) -> pl.Series:
    """Return times by the format of a config: codes of strftime, or a unit of numbers; null for other values."""
    if "%" not in form:
        return _by_unit(values, form)
    texts = values.cast(pl.String).str.strip_chars()
    form = form.replace(".%f", "%.f")  # Python's fraction
    for codes, code, text in (
        (("%Y", "%y", "%F", "%s", "%c"), " %Y", " 1970"),
        (_MONTHS, " %m", " 01"),
        (_DAYS, " %d", " 01"),
    ):
        if not any(each in form for each in codes):
            form, texts = form + code, texts + text
    return first_that_parses(texts, (form,), zone="%z" in form or "%:z" in form)


_MONTHS = ("%m", "%b", "%B", "%h", "%j", "%F", "%D", "%x", "%s", "%c", "%U", "%W", "%V")
_DAYS = ("%d", "%e", "%j", "%F", "%D", "%x", "%s", "%c", "%u", "%w", "%a", "%A")


def _by_unit(values: pl.Series, unit: str) -> pl.Series:
    if isinstance(values.dtype, pl.String):
        values = values.str.strip_chars()
    number = pl.col("value")
    if unit == "excel":
        time = _EXCEL_ZERO + pl.duration(
            microseconds=(number * 86_400e6).round().cast(pl.Int64, strict=False)
        )
    else:
        scale = {"unix_s": 1e6, "unix_ms": 1e3, "unix_us": 1.0, "unix_ns": 1e-3}[unit]
        time = (number * scale).round().cast(pl.Int64, strict=False).cast(MICROSECONDS)
    frame = pl.DataFrame({"value": values.cast(pl.Float64, strict=False).fill_nan(None)})
    return frame.select(time.cast(MICROSECONDS).alias("time")).to_series()
