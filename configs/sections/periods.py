"""Section `periods`: topics over time, with words for each calendar period."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from topicflow.configs.fields.base import Section


class PeriodsConfig(Section):
    """Topics over time: counts, shares, words and trends in calendar periods, by `load.timestamp_column`."""

    every: Literal["auto", "hour", "day", "week", "month", "quarter", "year", "decade"] = Field(
        default="auto",
        description="Length of a period. Weeks begin on Monday. auto takes the shortest length with at most 60 periods "
        "and on average at least 10 documents in each.",
    )
    zone: str = Field(
        default="UTC",
        description="Time zone of the calendar, such as Europe/Berlin. Times without a zone are read as UTC; a column "
        "of dates without times of day is the same in every zone.",
    )
    words: int = Field(default=5, ge=1, le=50, description="Words of a topic in each period (BERTopic: 5).")
    global_tuning: bool = Field(
        default=True,
        description="Average the word weights of a period with those of the whole topic (BERTopic). With false only "
        "words of the period itself are shown.",
    )
    evolution_tuning: bool = Field(
        default=True,
        description="Average the word weights of a period with those of the period before, so that words change step "
        "by step (BERTopic).",
    )
    false_discovery: float = Field(
        default=0.05,
        gt=0.0,
        lt=1.0,
        description="Expected share of mistakes among the topics that are called rising or falling "
        "(Benjamini-Hochberg).",
    )

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):  # an unknown zone is a KeyError
            msg = f"no time zone {value!r}; expected a name such as UTC, Europe/Berlin or America/New_York"
            raise ValueError(msg) from None
        return value
