"""Config of the flow `tune_embeddings`: the examples, what is tuned, and how it is measured."""

from __future__ import annotations

from typing import Annotated, Any

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
    SyntheticExamples,
    TuneConfig,
)

LOSS_OF = {"pairs": "contrastive", "synthetic": "contrastive", "triplets": "triplet"}
"""The loss of examples that are not classes."""


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

    @model_validator(mode="before")
    @classmethod
    def _questions_are_for_search(cls, values: Any) -> Any:  # noqa: ANN401  (a dict, or what is no config)
        """Set the model's prompt for documents of a search, as an index does, if questions are made."""
        examples, embed = (
            (values.get(name) for name in ("examples", "embed")) if isinstance(values, dict) else (0, 0)
        )
        made = examples.get("method") if isinstance(examples, dict) else getattr(examples, "method", None)
        if made != "synthetic" or not isinstance(embed, dict | None):
            return values
        given = {} if embed is None else embed
        is_text = given.get("method", "sentence-transformers") == "sentence-transformers"
        if not is_text or given.get("task") is not None or given.get("prompt") is not None:
            return values
        return {**values, "embed": {**given, "task": "document"}}

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
        if isinstance(self.examples, SyntheticExamples) and self.embed.method == "precomputed":
            msg = "examples.method='synthetic' embeds questions; embed.method='precomputed' has no encoder for them"
            raise ValueError(msg)
        if isinstance(self.tune, FullTune) and self.embed.method != "sentence-transformers":
            msg = f"tune.method='full' trains a model; embed.method={self.embed.method!r} has none: use 'adapter'"
            raise ValueError(msg)
        if isinstance(self.tune, AdapterTune) and self.tune.loss != "auto":
            fits = LOSS_OF.get(self.examples.method)
            if fits is not None and self.tune.loss != fits:
                kind = self.examples.method
                msg = f"tune.loss={self.tune.loss!r} needs classes; examples.method={kind!r} takes {fits!r}"
                raise ValueError(msg)
        return self
