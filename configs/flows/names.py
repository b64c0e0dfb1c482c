"""Flows: the config model of each flow, by the flow's name; a model is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topicflow.configs.flows.base import FlowConfig

_MODELS: Mapping[str, str] = {
    "topic_model": "TopicModelConfig",
    "train_classifier": "TrainClassifierConfig",
    "deduplicate": "DeduplicateConfig",
    "update_topics": "UpdateTopicsConfig",
    "tune_embeddings": "TuneEmbeddingsConfig",
    "build_index": "BuildIndexConfig",
    "sweep": "SweepConfig",
}
"""The model of each flow, in the module of the flow's name."""


class _Flows(Mapping[str, "type[FlowConfig]"]):
    """The models by the names of their flows; importing all of them takes a tenth of a second."""

    def __getitem__(self, name: str) -> type[FlowConfig]:
        model: type[FlowConfig] = getattr(import_module(f"topicflow.configs.flows.{name}"), _MODELS[name])
        return model

    def __contains__(self, name: object) -> bool:
        return name in _MODELS

    def __iter__(self) -> Iterator[str]:
        return iter(_MODELS)

    def __len__(self) -> int:
        return len(_MODELS)


FLOWS: Mapping[str, type[FlowConfig]] = _Flows()
"""The flows of `config explain --flow`. A shipped config of a side flow has its name, such as deduplicate.toml."""
