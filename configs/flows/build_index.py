"""Config of the flow `build_index`: from a corpus to an index."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from topicflow.configs.flows.base import FlowConfig, RunName
from topicflow.configs.sections.embed import EmbedConfig, SentenceTransformersEmbed, for_task
from topicflow.configs.sections.index import HypotheticalConfig, IndexConfig
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.runtime import RuntimeConfig


class BuildIndexConfig(FlowConfig):
    """An index: from a corpus to semantic and hybrid search over it."""

    model_config = ConfigDict(title="build_index")

    name: RunName = "search"
    load: LoadConfig
    embed: Annotated[EmbedConfig, for_task("document")] = Field(
        default_factory=SentenceTransformersEmbed, validate_default=True
    )
    index: IndexConfig = Field(default_factory=IndexConfig)
    hypothetical: HypotheticalConfig | None = Field(
        default=None,
        description="A language model for `search --expand hypothetical` (off without this section).",
    )
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)
