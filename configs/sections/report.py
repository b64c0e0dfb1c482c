"""Section `report`: what the report shows."""

from __future__ import annotations

from pydantic import Field

from topicflow.configs.fields.base import Section


class ReportConfig(Section):
    """What the HTML report shows."""

    title: str | None = Field(default=None, description="Title of the report. If not set: the run's name.")
    max_points: int = Field(
        default=100_000,
        ge=100,
        le=1_000_000,
        description="Maximum number of points on the map; more are sampled evenly.",
    )
    max_text: int = Field(
        default=300, ge=20, le=10_000, description="Characters of each document that the map shows."
    )
    n_examples: int = Field(
        default=3, ge=0, le=20, description="Example documents that the report shows for each topic."
    )
