"""The sections that the flows topic_model and update_topics share."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.sections.cluster import ClusterConfig, HdbscanCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import EmbedConfig, SentenceTransformersEmbed
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.names import NamesConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import MapConfig, ParallelUmapReduce, ReduceConfig
from topicflow.configs.sections.report import ReportConfig


class TopicSections(FlowConfig):
    """All sections from loading documents to the report of their topics."""

    load: LoadConfig
    embed: EmbedConfig = Field(default_factory=SentenceTransformersEmbed)
    neighbors: NeighborsConfig = Field(default_factory=NeighborsConfig)
    reduce: ReduceConfig = Field(default_factory=ParallelUmapReduce)
    map: MapConfig = Field(default_factory=MapConfig)
    cluster: ClusterConfig = Field(default_factory=HdbscanCluster)
    count: CountConfig = Field(default_factory=CountConfig)
    label: LabelConfig = Field(default_factory=LabelConfig)
    names: NamesConfig | None = Field(
        default=None,
        description="Names of topics by a language model. Without this section topics are named by their keywords and "
        "nothing is sent.",
    )
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

    @model_validator(mode="after")
    def _classes_have_names(self) -> Self:
        if self.names is not None and self.cluster.method == "classes":
            msg = "names: topics of cluster.method='classes' have the names of their classes; remove [names]"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _words_need_an_encoder(self) -> Self:
        if self.label.representation != "ctfidf" and self.embed.method in {"precomputed", "images"}:
            msg = (
                f"label.representation={self.label.representation!r} embeds words and needs an encoder; "
                f"embed.method={self.embed.method!r} has none: use 'ctfidf'"
            )
            raise ValueError(msg)
        return self
