"""Section `groups`: topics by the values of columns."""

from __future__ import annotations

from pydantic import Field, field_validator

from topicflow.configs.fields.base import Section


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
