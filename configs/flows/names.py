"""Flows: the config model of each flow, by the flow's name."""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig

FLOWS: Mapping[str, type[FlowConfig]] = {
    "topic_model": TopicModelConfig,
    "train_classifier": TrainClassifierConfig,
    "deduplicate": DeduplicateConfig,
    "update_topics": UpdateTopicsConfig,
    "tune_embeddings": TuneEmbeddingsConfig,
    "build_index": BuildIndexConfig,
    "sweep": SweepConfig,
}
"""The flows of `config explain --flow`. A shipped config of a side flow has its name, such as deduplicate.toml."""
