"""Config of the flow `tune_embeddings`: the examples, what is tuned, and how it is measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from topicflow.configs.flows.base import FlowConfig, RunName
from topicflow.configs.sections.embed import SentenceTransformersEmbed, TextEmbedConfig, for_task
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import (
    AdapterTune,
    ClassExamples,
    ExamplesConfig,
    FullTune,
    MeasureConfig,
    SplitExamples,
    TuneConfig,
)


class TuneEmbeddingsConfig(FlowConfig):
    """Tuned embeddings: examples of similar documents train an adapter or a model that later runs can use."""

    model_config = ConfigDict(title="tune_embeddings")

    name: RunName = "tuned"
    load: LoadConfig
    examples: ExamplesConfig = Field(default_factory=ClassExamples)
    split: SplitExamples = Field(default_factory=SplitExamples)
    embed: Annotated[TextEmbedConfig, for_task("clustering")] = Field(
        default_factory=SentenceTransformersEmbed, validate_default=True
    )
    tune: TuneConfig = Field(default_factory=AdapterTune)
    measure: MeasureConfig = Field(
        default_factory=MeasureConfig,
        validation_alias=AliasChoices("measure", "judge"),  # its name in 0.1.0
    )
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> TuneEmbeddingsConfig:
        if self.embed.adapter is not None:
            msg = "embed.adapter: tuning starts from the encoder's own vectors; remove the key"
            raise ValueError(msg)
        if self.load.split is not None:
            msg = (
                "load.split: examples are whole documents; tune without it, then use the adapter in a run "
                "with passages"
            )
            raise ValueError(msg)
        if isinstance(self.examples, ClassExamples) and not (self.examples.path or self.load.label_column):
            msg = (
                "examples: no labels; set load.label_column, or examples.path to a file with doc_id and label"
            )
            raise ValueError(msg)
        if isinstance(self.tune, FullTune) and self.embed.method != "sentence-transformers":
            msg = f"tune.method='full' trains a model; embed.method={self.embed.method!r} has none: use 'adapter'"
            raise ValueError(msg)
        if isinstance(self.tune, AdapterTune) and self.tune.loss != "auto":
            fits = {"pairs": {"contrastive"}, "triplets": {"triplet"}}.get(self.examples.method)
            if fits is not None and self.tune.loss not in fits:
                kind = self.examples.method
                msg = f"tune.loss={self.tune.loss!r} needs classes; examples.method={kind!r} takes {min(fits)!r}"
                raise ValueError(msg)
        return self
