"""Config of the flow `train_classifier`: where labels come from, what is trained, compared and predicted."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from topicflow.configs.flows.base import FlowConfig, RunName
from topicflow.configs.sections.classify import (
    CompareConfig,
    FeaturesConfig,
    HeadConfig,
    LabelsConfig,
    PredictConfig,
    SetFitConfig,
)
from topicflow.configs.sections.embed import EmbedConfig, SentenceTransformersEmbed, for_task
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.runtime import RuntimeConfig


class TrainClassifierConfig(FlowConfig):
    """A classifier from few labels: SetFit compared with a linear probe."""

    model_config = ConfigDict(title="train_classifier")

    name: RunName = "classes"
    load: LoadConfig
    embed: Annotated[EmbedConfig, for_task("classification")] = Field(
        default_factory=SentenceTransformersEmbed, validate_default=True
    )
    labels: LabelsConfig = Field(default_factory=LabelsConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    head: HeadConfig = Field(default_factory=HeadConfig)
    setfit: SetFitConfig = Field(default_factory=SetFitConfig)
    compare: CompareConfig = Field(default_factory=CompareConfig)
    predict: PredictConfig = Field(default_factory=PredictConfig)
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)

    @model_validator(mode="after")
    def _sections_fit(self) -> TrainClassifierConfig:
        if self.load.split is not None:
            msg = (
                "load.split cuts documents into passages; a classifier learns from whole documents: "
                "remove the section"
            )
            raise ValueError(msg)
        if self.labels.path is None and self.labels.run is None and self.load.label_column is None:
            msg = "no labels: set load.label_column, labels.path, or labels.run with labels.topics"
            raise ValueError(msg)
        if self.setfit.enabled and self.embed.method != "sentence-transformers":
            msg = (
                f"setfit trains an encoder, and embed.method={self.embed.method!r} has none that can be trained: "
                "set setfit.enabled = false to train only the probe"
            )
            raise ValueError(msg)
        if self.predict.method == "setfit" and not self.setfit.enabled:
            msg = "predict.method='setfit' needs setfit.enabled = true"
            raise ValueError(msg)
        if unread := [name for name in self.features.columns if name not in (self.load.columns or (name,))]:
            msg = f"features reads column {unread[0]!r} and load.columns leaves it out; add it there"
            raise ValueError(msg)
        if self.load.label_column is not None and self.load.label_column in self.features.columns:
            msg = f"features reads column {self.load.label_column!r}, which is the label; leave it out"
            raise ValueError(msg)
        return self
