"""Section `count`: what a word is, and which words count."""

from __future__ import annotations

from pydantic import Field, field_validator

from topicflow.configs.sections.base import Section


class CountConfig(Section):
    """How texts become word counts: one sparse matrix that every relabelling shares."""

    stop_words: str | tuple[str, ...] = Field(
        default="english",
        description="Languages whose function words are left out: a name (english, german, french, spanish, …, "
        "as in the stop-words package), a list of names, or none.",
    )
    extra_stop_words: tuple[str, ...] = Field(default=(), description="Further words left out.")
    ngram_range: tuple[int, int] = Field(default=(1, 1), description="Shortest and longest phrase, in words.")
    min_df: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="A word counts from so many documents on (BERTopic: 1).",
    )
    max_features: int | None = Field(
        default=None, ge=10, description="Keep the most frequent words only; no bound if none."
    )
    lowercase: bool = Field(default=True, description="Fold case before counting.")
    token_pattern: str = Field(
        default=r"(?u)\b\w[\w-]*\w\b",
        description="Regular expression of a word: two letters on, hyphens inside kept (scikit-learn's default "
        "cuts x-ray in two).",
    )

    @field_validator("ngram_range")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 5:
            msg = f"ngram_range={list(value)} must be [shortest, longest] within 1 and 5"
            raise ValueError(msg)
        return value
