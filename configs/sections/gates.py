"""Section `gates`: what a run must reach to be published, and who is told of one that does not."""

from __future__ import annotations

from pydantic import Field, model_validator

from topicflow.configs.sections.base import Section


class GatesConfig(Section):
    """What a run must reach for `latest` to move to it; what is not given is not asked."""

    max_outlier_share: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Largest share of documents without a topic."
    )
    min_npmi: float | None = Field(default=None, ge=-1.0, le=1.0, description="Least coherence, NPMI.")
    min_diversity: float | None = Field(default=None, ge=0.0, le=1.0, description="Least topic diversity.")
    min_topics: int | None = Field(default=None, ge=1, le=100_000, description="Least number of topics.")
    max_topics: int | None = Field(default=None, ge=1, le=100_000, description="Largest number of topics.")
    max_outlier_rise: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Outlier share, less that of the last published run; this and the three below are not asked of "
        "a first run.",
    )
    max_npmi_fall: float | None = Field(
        default=None, ge=0.0, le=2.0, description="NPMI of the last published run, less this one's."
    )
    max_diversity_fall: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Diversity of the last published run, less this one's."
    )
    max_topics_change: float | None = Field(
        default=None,
        ge=0.0,
        le=100.0,
        description="Change of the number of topics, as a share of the last published run's.",
    )
    webhook_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the environment variable that holds the URL to which a run that fails its gates is "
        "told (POST, JSON). The URL itself never enters a config or a record.",
    )
    webhook_block: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="Name of the Prefect Secret block that holds that URL, in place of webhook_env.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> GatesConfig:
        if self.min_topics and self.max_topics and self.min_topics > self.max_topics:
            msg = f"min_topics={self.min_topics} must not exceed max_topics={self.max_topics}"
            raise ValueError(msg)
        if self.webhook_env and self.webhook_block:
            msg = "give either webhook_env or webhook_block"
            raise ValueError(msg)
        return self
