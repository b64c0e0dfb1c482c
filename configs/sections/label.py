"""Section `label`: keywords, names and examples of topics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topicflow.configs.fields.base import Section


class LabelConfig(Section):
    """Keywords, names and example documents of topics."""

    top_n_words: int = Field(default=10, ge=1, le=100, description="Keywords of a topic (BERTopic: 10).")
    representation: Literal["ctfidf", "keybert", "mmr"] = Field(
        default="ctfidf",
        description="Order of keywords: by c-TF-IDF weight (ctfidf), by similarity to the topic in the encoder's space "
        "(keybert), or by weight and difference from each other (mmr).",
    )
    n_candidates: int = Field(
        default=40, ge=2, le=500, description="c-TF-IDF words that keybert and mmr select from."
    )
    diversity: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="mmr only: 0 takes the most relevant words, 1 the most different.",
    )
    spread: float = Field(
        default=1.0,
        ge=0.0,
        le=2.0,
        description="Exponent of the share of a topic's documents that contain a word. Higher values prefer words that "
        "most documents use to words that one document repeats. 0 is BERTopic's weighting; 1 was measured in "
        "tests/benchmarks.",
    )
    exclusivity: float = Field(
        default=0.45,
        ge=0.0,
        le=2.0,
        description="Exponent of the share of a word's occurrences that lie in the topic. Higher values prefer words "
        "that no other topic uses. 0 is BERTopic's weighting; .45 was measured in tests/benchmarks.",
    )
    reduce_frequent_words: bool = Field(
        default=False,
        description="Take the square root of the term frequency, which lowers the weight of frequent words (BERTopic).",
    )
    bm25_weighting: bool = Field(default=False, description="BM25-like idf in c-TF-IDF (BERTopic).")
    n_name_words: int = Field(default=4, ge=1, le=10, description="Keywords in the name of a topic.")
    n_representative: int = Field(default=5, ge=1, le=50, description="Example documents of each topic.")
