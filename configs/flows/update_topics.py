"""Config of the flow `update_topics`: topics that persist while documents arrive."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from topicflow.configs.flows.base import RunName
from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.sections.embed import PrecomputedEmbed
from topicflow.configs.sections.gates import GatesConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.shaping import SeededTopics
from topicflow.configs.sections.update import DriftConfig, MatchConfig, NewDocumentsConfig

DURATION = r"^[1-9][0-9]{0,3}(h|d|w|mo|q|y)$"
"""A length of time in the notation of polars: 12h, 1d, 1w, 1mo, 1q, 1y."""


class UpdateTopicsConfig(TopicSections):
    """Topics that persist: new documents are assigned to the topics of the last run, which keep their ids."""

    model_config = ConfigDict(title="update_topics")

    OF_OTHERS: ClassVar[frozenset[str]] = frozenset({"sweep"})

    name: RunName = "updates"
    period: str = Field(
        default="1mo", pattern=DURATION, description="Length of a period for --backfill: 1d, 1w, 1mo, 1q, 1y."
    )
    new_documents: NewDocumentsConfig = Field(
        default_factory=NewDocumentsConfig,
        validation_alias=AliasChoices("new_documents", "arrive"),  # its name in 0.1.0
    )
    drift: DriftConfig = Field(default_factory=DriftConfig)
    match: MatchConfig = Field(default_factory=MatchConfig)
    gates: GatesConfig = Field(default_factory=GatesConfig)
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)

    @model_validator(mode="before")
    @classmethod
    def _keeps_all_documents(cls, values: Any) -> Any:  # noqa: ANN401  (whatever a caller gives)
        if isinstance(values, dict) and "deduplicate" in values:
            msg = (
                "deduplicate: an update does not look for near-duplicates of new documents; give the updates a config "
                "of their own without this section, with the same name"
            )
            raise ValueError(msg)
        return values

    @model_validator(mode="after")
    def _can_go_on(self) -> UpdateTopicsConfig:
        if self.load.split is not None:
            msg = "load.split: update_topics reads whole documents; remove the section"
            raise ValueError(msg)
        if isinstance(self.embed, PrecomputedEmbed) and self.embed.path is not None:
            msg = "embed.path has the rows of one input; for updates put the vectors into a column (embed.column)"
            raise ValueError(msg)
        if isinstance(self.topics, SeededTopics):
            msg = (
                "topics.method='seeded': updates fit without seeds so far; use 'zero-shot', or remove [topics] from "
                "the config of the updates"
            )
            raise ValueError(msg)
        return self
