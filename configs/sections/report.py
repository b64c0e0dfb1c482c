"""Section `report`: how much the report shows."""

from __future__ import annotations

from pydantic import Field

from topicflow.configs.sections.base import Section


class ReportConfig(Section):
    """What the HTML report shows."""

    title: str | None = Field(default=None, description="Heading of the report; the run's name if none.")
    max_points: int = Field(
        default=100_000, ge=100, le=1_000_000, description="Points on the map; sampled evenly beyond it."
    )
    max_text: int = Field(
        default=300, ge=20, le=10_000, description="Characters of a document shown on the map."
    )
    n_examples: int = Field(default=3, ge=0, le=20, description="Example documents shown for each topic.")
