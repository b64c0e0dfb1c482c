"""Calendar periods: edges by hand, across changes of clocks and years; no first or last period is lost."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.tasks.errors import DataError
from topicflow.tasks.periods.calendar import MAX_AUTO, calendar_of


def at(*times: str | None) -> pl.Series:
    """Return UTC times without a zone."""
    moments = [None if time is None else datetime.fromisoformat(time) for time in times]
    return pl.Series("timestamp", moments, pl.Datetime("us"))


def names(*times: str | None, every: str, zone: str = "UTC") -> list[str | None]:
    """Return the name of each time's period."""
    calendar = calendar_of(at(*times), every, zone)
    periods = calendar.table()["period"].to_list()
    return [periods[n] if n >= 0 else None for n in calendar.numbers.tolist()]


def test_a_period_has_its_start_and_not_its_end() -> None:
    found = names(
        "2023-12-31T23:59:59.999999", "2024-01-01T00:00", "2024-01-31T23:59:59", "2024-02-01T00:00",
        every="month",
    )  # fmt: skip
    assert found == ["2023-12", "2024-01", "2024-01", "2024-02"]


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ("hour", ["2024-12-30 00:00", "2024-12-31 23:00", "2025-01-01 00:00"]),
        ("day", ["2024-12-30", "2024-12-31", "2025-01-01"]),
        ("week", ["2025-W01", "2025-W01", "2025-W01"]),  # Monday to Sunday, of the year of its Thursday
        ("month", ["2024-12", "2024-12", "2025-01"]),
        ("quarter", ["2024-Q4", "2024-Q4", "2025-Q1"]),
        ("year", ["2024", "2024", "2025"]),
        ("decade", ["2020s", "2020s", "2020s"]),
    ],
)
def test_the_end_of_a_year(every: str, expected: list[str]) -> None:
    assert names("2024-12-30T00:30", "2024-12-31T23:30", "2025-01-01T00:00", every=every) == expected


def test_a_week_begins_on_monday_also_before_1970() -> None:
    assert names("1969-12-28T12:00", "1969-12-29T00:00", every="week") == ["1969-W52", "1970-W01"]


def test_days_are_those_of_the_zone_on_both_changes_of_clocks() -> None:
    berlin = {"every": "day", "zone": "Europe/Berlin"}
    # 31 March 2024 has 23 hours: 23:00 UTC the day before to 22:00 UTC
    spring = names("2024-03-30T22:59", "2024-03-30T23:00", "2024-03-31T21:59", "2024-03-31T22:00", **berlin)
    assert spring == ["2024-03-30", "2024-03-31", "2024-03-31", "2024-04-01"]
    # 27 October 2024 has 25 hours: 22:00 UTC to 23:00 UTC
    autumn = names("2024-10-26T21:59", "2024-10-26T22:00", "2024-10-27T22:59", "2024-10-27T23:00", **berlin)
    assert autumn == ["2024-10-26", "2024-10-27", "2024-10-27", "2024-10-28"]


def test_a_midnight_that_the_clocks_skip_does_no_harm() -> None:
    found = names(
        "2018-11-04T02:59", "2018-11-04T03:00", "2018-11-05T01:30", every="day", zone="America/Sao_Paulo"
    )
    assert found == ["2018-11-03", "2018-11-04", "2018-11-04"]


def test_a_year_ends_at_local_midnight() -> None:
    new_year = ("2024-12-31T10:59", "2024-12-31T11:00")
    assert names(*new_year, every="year", zone="Pacific/Auckland") == ["2024", "2025"]
    assert names("2024-01-01T04:59", "2024-01-01T05:00", every="month", zone="America/New_York") == [
        "2023-12",
        "2024-01",
    ]


def test_dates_without_times_of_day_are_the_same_in_every_zone() -> None:
    days = ("2024-01-01T00:00", "2024-01-02T00:00")
    assert names(*days, every="day", zone="America/New_York") == ["2024-01-01", "2024-01-02"]
    with_time = (*days, "2024-01-02T12:00")
    found = names(*with_time, every="day", zone="America/New_York")
    assert found == ["2023-12-31", "2024-01-01", "2024-01-02"]


def test_periods_without_documents_are_there_and_undated_documents_are_in_none() -> None:
    calendar = calendar_of(at("2024-01-15T10:00", None, "2024-04-01T00:00"), "month", "UTC")
    table = calendar.table()
    assert table["period"].to_list() == ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert table["start"].to_list()[0] == date(2024, 1, 1)
    assert table["end"].to_list() == [date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1), date(2024, 5, 1)]
    assert (calendar.numbers.tolist(), calendar.n_undated) == ([0, -1, 3], 1)


@pytest.mark.parametrize("every", ["auto", "month", "hour"])
def test_no_dates_at_all_are_no_periods(every: str) -> None:
    calendar = calendar_of(at(None, None), every, "UTC")
    assert (calendar.numbers.tolist(), calendar.table().height) == ([-1, -1], 0)


def test_one_moment_is_one_period() -> None:
    assert names("2024-05-17T13:30", "2024-05-17T13:30", every="auto") == ["2024-05-17 13:00"] * 2
    assert names("2024-05-17T00:00", every="auto") == ["2024-05-17"]


@pytest.mark.parametrize(
    ("days", "n", "step"),
    [(1, 500, "1h"), (20, 500, "1d"), (300, 5000, "1w"), (300, 180, "1mo"), (1500, 5000, "1mo"),
     (5000, 5000, "1q"), (20_000, 5000, "1y"), (120_000, 5000, "10y"), (3000, 7, "1y")],
)  # fmt: skip
def test_auto_takes_the_shortest_length_that_gives_few_and_filled_periods(
    days: int, n: int, step: str
) -> None:
    start = datetime(1800, 1, 1, 1)  # noqa: DTZ001
    times = pl.Series([start + timedelta(days=days * k / n) for k in range(n)], dtype=pl.Datetime("us"))
    calendar = calendar_of(times, "auto", "UTC")
    assert calendar.step == step
    assert len(calendar.starts) <= MAX_AUTO


def test_a_wrong_year_does_not_make_a_million_periods() -> None:
    with pytest.raises(
        DataError, match=r"every='day' gives 43\d,\d{3} periods from 1000-01-01 to 2199-12-31"
    ):
        calendar_of(at("1000-01-01T00:00", "2199-12-31T01:00"), "day", "UTC")


def key(time: datetime, every: str) -> tuple[int, ...]:
    """Return the period of a local time by Python's own calendar."""
    year, week, _ = time.isocalendar()
    return {
        "hour": (time.year, time.month, time.day, time.hour),
        "day": (time.year, time.month, time.day),
        "week": (year, week),
        "month": (time.year, time.month),
        "quarter": (time.year, (time.month - 1) // 3),
        "year": (time.year,),
        "decade": (time.year // 10,),
    }[every]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.datetimes(datetime(2019, 1, 1), datetime(2021, 1, 1)), min_size=1, max_size=30),  # noqa: DTZ001
    st.sampled_from(["hour", "day", "week", "month", "quarter", "year", "decade"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_every_document_is_in_the_period_of_its_local_time(
    times: list[datetime], every: str, zone: str
) -> None:
    times = [time.replace(microsecond=1) for time in times]  # times of day, not dates
    calendar = calendar_of(pl.Series(times, dtype=pl.Datetime("us")), every, zone)
    local = [time.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for time in times]
    starts = calendar.starts.to_list()
    for time, number in zip(local, calendar.numbers.tolist(), strict=True):
        assert key(starts[number], every) == key(time, every)
        assert starts[number] <= time
        assert number + 1 == len(starts) or time < starts[number + 1]
    assert len({key(start, every) for start in starts}) == len(starts)
    assert calendar.numbers.min() == 0
    assert calendar.numbers.max() == len(starts) - 1
    assert np.bincount(calendar.numbers, minlength=len(starts)).sum() == len(times)
