"""Section `evaluate`: how topics are measured."""

from __future__ import annotations

from pydantic import Field

from topicflow.configs.fields.base import Section


class EvaluateConfig(Section):
    """What is measured, and the size of the sample if all documents would cost too much."""

    top_n_words: int = Field(
        default=10,
        ge=2,
        le=50,
        description="Keywords of each topic that count for coherence and diversity (literature: 10).",
    )
    sample: int = Field(
        default=5000,
        ge=10,
        le=100_000,
        description="Documents in the sample for trustworthiness and DBCV, whose cost is quadratic.",
    )
