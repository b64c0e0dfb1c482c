"""Config of the flow `topic_model`: from a corpus to topics."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator

from topicflow.configs.flows.base import RunName
from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.sections.deduplicate import DeduplicateSection, check_keep
from topicflow.configs.sections.gates import GatesConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.sweep import SweepSection
from topicflow.configs.sections.topics import TopicsConfig


class TopicModelConfig(TopicSections):
    """A topic model: from a corpus to topics."""

    model_config = ConfigDict(title="topic_model")

    name: RunName = "topics"
    topics: TopicsConfig | None = Field(
        default=None, description="Topics that are given beforehand (none without this section)."
    )
    deduplicate: DeduplicateSection | None = Field(
        default=None,
        description="Use only one document of each group of near-duplicates (off without this section).",
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
    def _newest_needs_times(self) -> TopicModelConfig:
        check_keep(self.deduplicate, self.load)
        return self
