"""Config of the flow `deduplicate`: from a corpus to its kept documents and its groups of duplicates."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from topicflow.configs.flows.base import FlowConfig, RunName
from topicflow.configs.sections.deduplicate import DeduplicateSection, EmbeddingDeduplicate, check_keep
from topicflow.configs.sections.embed import (
    EmbedConfig,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    for_task,
)
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.runtime import RuntimeConfig


class DeduplicateConfig(FlowConfig):
    """Near-duplicates: groups of similar documents, which one is kept, and which are also in another corpus."""

    model_config = ConfigDict(title="deduplicate")

    name: RunName = "duplicates"
    load: LoadConfig
    against: LoadConfig | None = Field(
        default=None,
        description="Another corpus: documents that are near-duplicates of one of its documents are not kept (test "
        "documents that are in the training set, new documents that are known already). Duplicates inside the other "
        "corpus are not searched.",
    )
    embed: Annotated[EmbedConfig, for_task("clustering")] = Field(
        default_factory=SentenceTransformersEmbed, validate_default=True
    )
    deduplicate: DeduplicateSection = Field(default_factory=EmbeddingDeduplicate)
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)

    @model_validator(mode="after")
    def _newest_needs_times(self) -> DeduplicateConfig:
        check_keep(self.deduplicate, self.load)
        return self

    @model_validator(mode="after")
    def _one_file_of_vectors_is_one_corpus(self) -> DeduplicateConfig:
        if (
            self.against is not None
            and isinstance(self.embed, PrecomputedEmbed)
            and self.embed.path is not None
        ):
            msg = (
                "embed.path has the vectors of one corpus; with [against] set embed.column, a column of "
                "both corpora"
            )
            raise ValueError(msg)
        return self


def with_against(config: DeduplicateConfig, path: str) -> DeduplicateConfig:
    """Return the config with another corpus, at an absolute path, that is read as the documents are."""
    changes = {"path": path, "query": None, "connection_env": None}
    return config.model_copy(update={"against": config.load.model_copy(update=changes)})
