"""Config of the flow `topic_model`: from a corpus to topics."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator

from topicflow.configs.flows.base import RunName
from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.sections.deduplicate import DeduplicateSection, check_keep
from topicflow.configs.sections.gates import GatesConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.shaping import TopicsConfig
from topicflow.configs.sections.slices import GroupsConfig, PeriodsConfig, SharesConfig
from topicflow.configs.sections.sweep import SweepSection


class TopicModelConfig(TopicSections):
    """A topic model: from a corpus to topics."""

    model_config = ConfigDict(title="topic_model")

    name: RunName = "topics"
    topics: TopicsConfig | None = Field(
        default=None,
        description="Topics that are known beforehand, as given topics or as seeds (none without this section).",
    )
    deduplicate: DeduplicateSection | None = Field(
        default=None,
        description="Use only one document of each group of near-duplicates (off without this section).",
    )
    periods: PeriodsConfig | None = Field(
        default=None,
        description="Words, shares and trends of topics in calendar periods. Without this section the report only "
        "shows counts over time.",
    )
    groups: GroupsConfig | None = Field(
        default=None, description="Topics by the values of columns (off without this section)."
    )
    shares: SharesConfig | None = Field(
        default=None, description="Several topics of each document (off without this section)."
    )
    gates: GatesConfig | None = Field(
        default=None,
        description="Limits that a run must pass before `latest` moves to it (off without this section).",
    )
    sweep: SweepSection | None = Field(
        default=None, description="What `topicflow sweep` varies; a topic model does not read this section."
    )
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)

    @model_validator(mode="after")
    def _given_topics_need_an_encoder(self) -> TopicModelConfig:
        if self.topics is None:
            return self
        if self.embed.method in {"precomputed", "images"}:
            msg = f"topics: given topics are embedded as texts; embed.method={self.embed.method!r} cannot embed texts"
            raise ValueError(msg)
        if self.cluster.method == "classes":
            raise ValueError(
                "topics: cluster.method='classes' has the topics of its classes; remove [topics]"
            )
        return self

    @model_validator(mode="after")
    def _periods_need_times(self) -> TopicModelConfig:
        if self.periods is not None and self.load.timestamp_column is None:
            msg = "periods needs dates; set load.timestamp_column, or remove [periods]"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _groups_are_kept(self) -> TopicModelConfig:
        kept, wanted = self.load.columns, () if self.groups is None else self.groups.columns
        left = [column for column in wanted if kept is not None and column not in kept]
        if left:
            msg = (
                f"groups.columns: {left[0]!r} is not among load.columns; add it there, or remove load.columns"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _newest_needs_times(self) -> TopicModelConfig:
        check_keep(self.deduplicate, self.load)
        return self
