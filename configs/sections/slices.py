"""Sections `periods`, `groups` and `shares`: topics over time, by the values of columns, and several in a document."""

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


class GroupsConfig(Section):
    """Topics by group: share, over-representation and words of each topic for each value of a column."""

    columns: tuple[str, ...] = Field(
        min_length=1,
        max_length=50,
        description="Columns of the input whose values are groups: product, country, author.",
    )
    max_values: int = Field(
        default=50,
        ge=2,
        le=1000,
        description="Values of a column that are shown, the most frequent ones. Documents with other values still "
        "count in the comparison.",
    )
    words: int = Field(default=5, ge=1, le=50, description="Words of a topic in each group (BERTopic: 5).")
    global_tuning: bool = Field(
        default=True,
        description="Average the word weights of a group with those of the whole topic (BERTopic).",
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="Confidence of the intervals of shares and ratios."
    )
    false_discovery: float = Field(
        default=0.05,
        gt=0.0,
        lt=1.0,
        description="Expected share of mistakes among the pairs of topic and group that are called over- or "
        "under-represented (Benjamini-Hochberg).",
    )

    @field_validator("columns")
    @classmethod
    def _are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            msg = f"{list(value)} names a column twice"
            raise ValueError(msg)
        return value


class SharesConfig(Section):
    """Shares of several topics in each document, from its words and its vector."""

    top: int = Field(
        default=5, ge=1, le=20, description="Maximum number of topics of a document; shares sum to 1."
    )
    words: bool = Field(
        default=False,
        description="Also write which words of a document speak for which topic, and show them in the report.",
    )
    vector_weight: float = Field(
        default=0.2,
        ge=0.0,
        le=100.0,
        description="Weight of the document's vector beside all its words, which have 1. Higher values follow the "
        "vector; .2 was measured in tests/benchmarks.",
    )
