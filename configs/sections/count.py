"""Section `count`: what a word is, and which words are counted."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from topicflow.configs.fields.base import Section


class CountConfig(Section):
    """Word counts of the texts: one sparse matrix that every relabelling shares."""

    stop_words: str | tuple[str, ...] = Field(
        default="english",
        description="Languages whose function words are left out: a name or code (english, de, thai, …), a list of "
        "them, none, or auto: the languages found in the texts (with the extra `words`).",
    )
    extra_stop_words: tuple[str, ...] = Field(default=(), description="Additional words to leave out.")
    ngram_range: tuple[int, int] = Field(default=(1, 1), description="Shortest and longest phrase, in words.")
    min_df: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Minimum number of documents that contain a word (BERTopic: 1).",
    )
    max_features: int | None = Field(
        default=None, ge=10, description="Keep only this many words, the most frequent ones. If not set: all."
    )
    lowercase: bool = Field(default=True, description="Convert texts to lower case before counting.")
    token_pattern: str | None = Field(
        default=None,
        description="Regular expression of a word, as in scikit-learn. If not set: the words of every script, such as "
        "x-ray, isn't, C++ and मानक; scripts without spaces are cut by the extra `words`.",
    )

    lemmas: tuple[str, ...] = Field(
        default=(),
        description="Languages by code (en, de, …) whose inflected words are counted as one word, shown in its most "
        "frequent form: with en topic and topics are one. With the extra `words`. If empty: each form is a word.",
    )

    @model_validator(mode="after")
    def _lemmas_need_words(self) -> CountConfig:
        if self.lemmas and self.token_pattern is not None:
            msg = "lemmas joins the words of the default rule; remove token_pattern or lemmas"
            raise ValueError(msg)
        return self

    @field_validator("ngram_range")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 5:
            msg = f"ngram_range={list(value)} must be [shortest, longest] within 1 and 5"
            raise ValueError(msg)
        return value
