"""Section `evaluate`: how topics are measured."""

from __future__ import annotations

from pydantic import Field

from topicflow.configs.sections.base import Section


class EvaluateConfig(Section):
    """What is measured, and on how large a sample where exactness would cost too much."""

    top_n_words: int = Field(
        default=10,
        ge=2,
        le=50,
        description="Keywords of a topic that enter coherence and diversity (literature: 10).",
    )
    sample: int = Field(
        default=5000,
        ge=10,
        le=100_000,
        description="Documents sampled for trustworthiness and DBCV, both quadratic.",
    )
