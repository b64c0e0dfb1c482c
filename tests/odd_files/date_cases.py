"""Dates as people and programs write them, in CSV and in Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.odd_files.cases import SENTENCES, Case, numbered, text_file
from tests.odd_files.csv_cases import table

DAY = "2024-01-31T00:00:00"
NOON = "2024-01-31T12:00:00"
OTHER = "2024-02-29T00:00:00"


def dates(
    label: str, values: Sequence[str], expected: Sequence[str | None], name: str = "created", **more: Any
) -> Case:
    """Return a case with eight dates in a CSV: the given ones, and the first one again."""
    n = len(SENTENCES) - len(values)
    written, read = [*values, *[values[0]] * n], [*expected, *[expected[0]] * n]
    text = table(["id", name, "text"], numbered("A{}"), written, SENTENCES)
    return Case("dates.csv", text_file(text), ids=numbered("A{}"), times=read, label=label, **more)


def pandas_periods(path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"id": numbered("A{}"), "text": list(SENTENCES)})
    frame["month"] = pd.PeriodIndex(["2024-01"] * 7 + ["2024-02"], freq="M")
    frame.to_parquet(path)


DATE_CASES = [
    dates("dd.mm.yyyy", ["31.01.2024", "29.2.2024"], [DAY, OTHER], name="Datum"),
    dates("dd.mm.yy", ["31.01.24", "29.02.24"], [DAY, OTHER], name="Datum"),
    dates("dotted dates in a column of any name", ["31.01.2024", "29.02.2024"], [DAY, OTHER], name="Eingang"),
    dates("yyyy-mm", ["2024-01", "2024-02"], ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]),
    dates("202401", ["202401", "202402"], ["2024-01-01T00:00:00", "2024-02-01T00:00:00"], name="month"),
    dates("2024.01", ["2024.10", "2024.01"], ["2024-10-01T00:00:00", "2024-01-01T00:00:00"], name="month"),
    dates("14 digits", ["20240131120000", "20240229000000"], [NOON, OTHER]),
    dates("12 digits", ["202401311200", "202402290000"], [NOON, OTHER]),
    dates("epoch in s", ["1706702400", "1709164800"], [NOON, OTHER]),
    dates("epoch in ms", ["1706702400000", "1709164800000"], [NOON, OTHER]),
    dates("epoch in µs", ["1706702400000000", "1709164800000000"], [NOON, OTHER]),
    dates("Excel serials", ["45322", "45351"], [DAY, OTHER]),
    dates("Excel serials with times", ["45322.5", "45351"], [NOON, OTHER]),
    dates("31-Jan-2024", ["31-Jan-2024", "29-Feb-2024"], [DAY, OTHER]),
    dates("Jan 2024", ["Jan 2024", "February 2024"], ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]),
    dates("WhatsApp, Germany", ["31.01.24, 12:00", "29.02.24, 00:00"], [NOON, OTHER]),
    dates("WhatsApp, iPhone", ["[31.01.24, 12:00:00]", "[29.02.24, 00:00:00]"], [NOON, OTHER]),
    dates("WhatsApp, America", ["1/31/24, 12:00\u202fPM", "2/29/24, 12:00\u202fAM"], [NOON, OTHER]),
    dates("Telegram", ["31.01.2024 13:00:00 UTC+01:00", "29.02.2024 01:00:00 UTC+01:00"], [NOON, OTHER]),
    dates("zone names", ["2024-01-31 13:00:00 CET", "2024-01-31 07:00:00 EST"], [NOON, NOON]),
    dates(
        "regions",
        ["2024-01-31T13:00:00+01:00[Europe/Berlin]", "2024-01-31 13:00:00 Europe/Berlin"],
        [NOON, NOON],
    ),
    dates(
        "mixed zones",
        ["2024-01-31T12:00:00Z", "2024-01-31T07:00:00-05:00", "2024-01-31T12:00:00"],
        [NOON] * 3,
    ),
    dates(
        "what Unix prints", ["Wed Jan 31 12:00:00 UTC 2024", "Thu Feb 29 01:00:00 CET 2024"], [NOON, OTHER]
    ),
    dates("browsers", ["Wed Jan 31 2024 13:00:00 GMT+0100 (Central European Standard Time)"], [NOON]),
    dates("N/A", ["2024-01-31", "N/A", "-", "0000-00-00"], [DAY, *[None] * 3]),
    dates(
        "a lone 1970", ["2024-01-31", "1970-01-01"], [DAY, None], says=["1 date such as 1970-01-01 left out"]
    ),
    dates(
        "year 1 and 9999",
        ["2024-01-31", "0001-01-01", "9999-12-31"],
        [DAY, None, None],
        says=["2 dates such as 0001-01-01"],
    ),
    dates(
        "1970 among its neighbours",
        ["1969-07-20", "1970-01-01"],
        ["1969-07-20T00:00:00", "1970-01-01T00:00:00"],
    ),
    dates("quarters", ["2024Q1", "2024-Q2"], ["2024-01-01T00:00:00", "2024-04-01T00:00:00"]),
    dates(
        "pandas weeks",
        ["2024-01-29/2024-02-04", "2024-02-26/2024-03-03"],
        ["2024-01-29T00:00:00", "2024-02-26T00:00:00"],
    ),
    Case(
        "periods.parquet",
        pandas_periods,
        ids=numbered("A{}"),
        times=["2024-01-01T00:00:00"] * 7 + ["2024-02-01T00:00:00"],
    ),
]
"""Each through `init` and `load`."""
