"""Config of the flow `topic_model`: from a corpus to topics."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field, model_validator

from topicflow.configs.flows.base import RunName
from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.sections.deduplicate import DeduplicateSection, check_keep
from topicflow.configs.sections.gates import GatesConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.sweep import SweepSection


class TopicModelConfig(TopicSections):
    """A topic model: from a corpus to topics."""

    model_config = ConfigDict(title="topic_model")

    OF_OTHERS: ClassVar[frozenset[str]] = frozenset({"period", "new_documents", "arrive", "drift", "match"})

    name: RunName = "topics"
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
    def _newest_needs_times(self) -> TopicModelConfig:
        check_keep(self.deduplicate, self.load)
        return self
