"""Flows: the name of each flow -> the model of its config."""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.classify import TrainClassifierConfig
from topicflow.configs.deduplicate import DeduplicateConfig
from topicflow.configs.index import BuildIndexConfig
from topicflow.configs.models import FlowConfig, TopicModelConfig
from topicflow.configs.tuning import TuneEmbeddingsConfig
from topicflow.configs.update import UpdateTopicsConfig

FLOWS: Mapping[str, type[FlowConfig]] = {
    "topic_model": TopicModelConfig,
    "train_classifier": TrainClassifierConfig,
    "deduplicate": DeduplicateConfig,
    "update_topics": UpdateTopicsConfig,
    "tune_embeddings": TuneEmbeddingsConfig,
    "build_index": BuildIndexConfig,
}
"""What `config explain --flow` knows; a shipped config of a side flow bears the flow's name, as in deduplicate.toml."""
