"""Checks: a config -> what each stage needs before any document is read, as functions that raise what is missing.

Imports the modules of many stages; `ahead` imports this module if a stage would be computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.sections.cluster import ClassesCluster
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.configs.sections.tuning import FullTune, SyntheticExamples
from topicflow.tasks.classify.classifier_files import find_classifier
from topicflow.tasks.edits.names_file import read_names
from topicflow.tasks.edits.wanted import edits_of
from topicflow.tasks.execution.workers import check_engine
from topicflow.tasks.given.topics_file import given_topics
from topicflow.tasks.requirements.encoder import check_encoder
from topicflow.tasks.requirements.loading import check_loading
from topicflow.tasks.requirements.sizes import check_size
from topicflow.tasks.requirements.trainer import check_trainer
from topicflow.tasks.servers.endpoint import endpoint_of
from topicflow.tasks.topics.final import GIVEN, PULL
from topicflow.tasks.topics.tokenization import base_form, check_counting

Check = tuple[str, Callable[[], object]]
"""The stage that would fail, and a function that raises what the stage would raise."""


def checks(config: FlowConfig, n_docs: int | None) -> Iterator[Check]:
    """Yield the checks of a config's sections in the order of the stages."""
    sections: Any = config
    yield "runtime", lambda: check_engine(config.runtime)
    yield "load", lambda: check_loading(sections.load)
    yield "embed", lambda: check_encoder(sections.embed, config.runtime.device)
    if isinstance(config, TopicSections):
        yield from _of_topics(config, n_docs)
    if isinstance(config, BuildIndexConfig):
        yield "index", lambda: base_form(config.index.lemmas, "index.lemmas")
    if isinstance(config, TuneEmbeddingsConfig):
        server = config.examples.server if isinstance(config.examples, SyntheticExamples) else None
        if server is not None:
            yield "examples", lambda: endpoint_of(server, server.section)
        if isinstance(config.tune, FullTune):
            yield "tune", check_trainer


def _of_topics(config: TopicSections, n_docs: int | None) -> Iterator[Check]:
    known = [n for n in (n_docs, config.load.limit) if n is not None]
    if known and not isinstance(config, SweepConfig) and config.load.split is None:
        yield "cluster", lambda: check_size(config.cluster, min(known))
    if not isinstance(config, SweepConfig) and (section := config.topics) is not None:
        yield GIVEN if isinstance(section, ZeroShotTopics) else PULL, lambda: given_topics(section)
    if isinstance(classes := config.cluster, ClassesCluster):
        yield "cluster", lambda: find_classifier(classes.classifier)
    yield "count", lambda: check_counting(config.count)
    yield "edit", lambda: edits_of(config)
    if config.flow == "update_topics":
        yield "edit", lambda: read_names(Path(config.runtime.runs) / config.name)
    if (names := config.names) is not None and not isinstance(config, SweepConfig):
        yield "name", lambda: endpoint_of(names, names.section)
