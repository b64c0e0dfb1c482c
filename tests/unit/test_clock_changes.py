"""When Prefect 3.8.8 runs a schedule while the clocks change, as docs/operations.md says; later ones may differ."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule

from topicflow.configs.flows.serving import ScheduleConfig
from topicflow.flows.running import serving

SPRING, AUTUMN = "2027-03-28", "2027-10-31"
"""In Europe/Berlin 02:00 becomes 03:00 on the first day, and 03:00 becomes 02:00 on the second."""


def planned(day: str, n: int, **when: Any) -> list[str]:
    """Return the first `n` runs of a schedule after half past midnight of a day in Berlin: local time and offset."""
    schedule = ScheduleConfig(name="a", config="c.toml", **when)
    made: Any = asyncio.run(serving._deployment(serving._flow("topic_model"), "a", schedule, {}))
    (asked,) = (each.schedule for each in made.schedules)
    kind = CronSchedule if "cron" in when else IntervalSchedule
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime.fromisoformat(f"{day}T00:30").replace(tzinfo=berlin)
    read = kind.model_validate(asked.model_dump(exclude_unset=True))
    dates = asyncio.run(read.get_dates(n, start=start.astimezone(UTC)))
    return [date.astimezone(berlin).strftime("%d %H:%M %z") for date in dates]


@pytest.mark.parametrize(
    ("day", "when", "expected"),
    [
        (SPRING, {"cron": "30 2 * * *"}, ["28 01:30 +0100", "29 02:30 +0200"]),  # there is no 02:30: an hour early
        (SPRING, {"cron": "0 3 * * *"}, ["28 03:00 +0200", "29 03:00 +0200"]),
        (SPRING, {"cron": "0 1 * * *"}, ["28 01:00 +0100", "29 01:00 +0200"]),
        (SPRING, {"cron": "0 * * * *"}, ["28 01:00 +0100", "28 03:00 +0200", "28 04:00 +0200"]),
        (AUTUMN, {"cron": "30 2 * * *"}, ["31 02:30 +0200", "01 02:30 +0100"]),  # the first of both: once
        (AUTUMN, {"cron": "0 3 * * *"}, ["31 03:00 +0100", "01 03:00 +0100"]),
        (AUTUMN, {"cron": "0 * * * *"}, ["31 01:00 +0200", "31 02:00 +0200", "31 03:00 +0100"]),  # one is left out
    ],
)  # fmt: skip
def test_in_a_time_zone(day: str, when: dict[str, Any], expected: list[str]) -> None:
    assert planned(day, len(expected), timezone="Europe/Berlin", **when) == expected


def test_in_utc_no_hour_is_left_out_or_doubled() -> None:
    assert planned(AUTUMN, 4, cron="0 * * * *") == [
        "31 01:00 +0200", "31 02:00 +0200", "31 02:00 +0100", "31 03:00 +0100",
    ]  # fmt: skip
    assert planned(SPRING, 3, cron="0 * * * *") == ["28 01:00 +0100", "28 03:00 +0200", "28 04:00 +0200"]


def test_an_interval_is_counted_in_utc() -> None:
    minutes = {moment[3:5] + moment[-5:] for moment in planned(AUTUMN, 4, every_s=3600.0)}
    assert len(minutes) == 4  # four hours in a row: one of them is the second 02:…
