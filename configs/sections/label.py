"""Section `label`: keywords, names and examples of topics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topicflow.configs.sections.base import Section


class LabelConfig(Section):
    """How topics get their keywords, names and example documents."""

    top_n_words: int = Field(default=10, ge=1, le=100, description="Keywords of a topic (BERTopic: 10).")
    representation: Literal["ctfidf", "keybert", "mmr"] = Field(
        default="ctfidf",
        description="Keywords by c-TF-IDF weight, by closeness to the topic in the encoder's space (keybert), or by "
        "weight and mutual difference (mmr).",
    )
    n_candidates: int = Field(
        default=40, ge=2, le=500, description="c-TF-IDF words that keybert and mmr choose from."
    )
    diversity: float = Field(
        default=0.3, ge=0.0, le=1.0, description="mmr: 0 takes the most relevant words, 1 the most different."
    )
    spread: float = Field(
        default=1.0,
        ge=0.0,
        le=2.0,
        description="Exponent of the share of a topic's documents that hold a word: raises words that most of them "
        "use over words that one repeats. 0 is BERTopic's weighting; 1 measured in tests/benchmarks.",
    )
    exclusivity: float = Field(
        default=0.45,
        ge=0.0,
        le=2.0,
        description="Exponent of the share of a word's occurrences that fall into the topic: raises words that no "
        "other topic uses. 0 is BERTopic's weighting; .45 measured in tests/benchmarks.",
    )
    reduce_frequent_words: bool = Field(
        default=False,
        description="Take the square root of term frequency, which tames frequent words (BERTopic).",
    )
    bm25_weighting: bool = Field(default=False, description="BM25-like idf in c-TF-IDF (BERTopic).")
    n_name_words: int = Field(default=4, ge=1, le=10, description="Keywords that make a topic's name.")
    n_representative: int = Field(default=5, ge=1, le=50, description="Example documents of a topic.")
