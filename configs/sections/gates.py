"""Section `gates`: limits that a run must pass to be published, and where a run that fails is reported."""

from __future__ import annotations

from pydantic import Field, model_validator

from topicflow.configs.fields.base import Section


class GatesConfig(Section):
    """Limits that a run must pass before `latest` moves to it; limits that are not set are not checked."""

    max_outlier_share: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Maximum share of outliers."
    )
    min_stability: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Minimum mean stability of the documents' topics."
    )
    min_npmi: float | None = Field(default=None, ge=-1.0, le=1.0, description="Minimum coherence (NPMI).")
    min_diversity: float | None = Field(default=None, ge=0.0, le=1.0, description="Minimum topic diversity.")
    min_topics: int | None = Field(default=None, ge=1, le=100_000, description="Minimum number of topics.")
    max_topics: int | None = Field(default=None, ge=1, le=100_000, description="Maximum number of topics.")
    max_outlier_rise: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Maximum rise of the outlier share since the last published run. This limit and the next three are "
        "not checked in a first run.",
    )
    max_npmi_fall: float | None = Field(
        default=None, ge=0.0, le=2.0, description="Maximum fall of NPMI since the last published run."
    )
    max_diversity_fall: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Maximum fall of diversity since the last published run."
    )
    max_topics_change: float | None = Field(
        default=None,
        ge=0.0,
        le=100.0,
        description="Maximum change of the number of topics, as a share of the number in the last published run.",
    )
    webhook_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the environment variable with the URL that gets a message (POST, JSON) about a run that "
        "fails its gates after one that passed, and about the first that passes again. The URL itself is never "
        "written to a config or a record.",
    )
    webhook_block: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="Name of the Prefect Secret block with that URL, instead of webhook_env.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> GatesConfig:
        if self.min_topics and self.max_topics and self.min_topics > self.max_topics:
            msg = f"min_topics={self.min_topics} must not exceed max_topics={self.max_topics}"
            raise ValueError(msg)
        if self.webhook_env and self.webhook_block:
            msg = "set either webhook_env or webhook_block"
            raise ValueError(msg)
        return self
