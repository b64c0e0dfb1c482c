"""Ahead: a config -> what a run of it would fail at, as far as that is known before any document is read.

A run makes these checks before its first stage, so that it does not embed for an hour and then fail at a stop word.
A plan lists them. What only the documents show (a column, a damaged file) is found by the stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from topicflow.flows.planning.side_plans import PLANS
from topicflow.flows.planning.steps import Step
from topicflow.tasks.classify.classifier_files import find_classifier
from topicflow.tasks.edits.names_file import read_names
from topicflow.tasks.edits.wanted import edits_of
from topicflow.tasks.errors import ConfigError, PipelineError
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


@dataclass(frozen=True)
class Problem:
    """What a stage would fail at."""

    stage: str
    message: str


def problems(config: FlowConfig, n_docs: int | None = None) -> list[Problem]:
    """Return what the stages of a run would fail at, in order.

    Parameters
    ----------
    config : FlowConfig
        The resolved config.
    n_docs : int, optional
        Number of documents, if they are loaded already.
    """
    found = []
    for stage, check in _checks(config, n_docs):
        try:
            check()
        except PipelineError as error:
            found.append(Problem(stage, str(error)))
    return found


def check_ahead(config: FlowConfig) -> None:
    """Check what needs no document; a stage whose artifact is there already needs nothing any more.

    Raises
    ------
    ConfigError
        With one line for each problem.
    """
    found = problems(config)
    if found and config.flow in PLANS:
        found = of_plan(found, PLANS[config.flow](config))
    if found:
        raise ConfigError("\n".join(each.message for each in found))


def planned(config: FlowConfig) -> tuple[list[Step], list[Problem]]:
    """Return the steps of a config's plan, and what a run would fail at.

    Raises
    ------
    PipelineError
        If there can be no plan; with one line for each problem.
    """
    try:
        steps = PLANS[config.flow](config)
    except PipelineError as error:
        if not (found := problems(config)):
            raise
        lines = dict.fromkeys([*(each.message for each in found), str(error)])
        raise ConfigError("\n".join(lines)) from None
    documents = [step.found for step in steps if step.stage in {"load", "keep"}]
    n_docs = documents[-1].rows if documents and documents[-1] is not None else None
    return steps, of_plan(problems(config, n_docs), steps)


def of_plan(found: Sequence[Problem], steps: Sequence[Step]) -> list[Problem]:
    """Return the problems of stages that a plan computes: a stage that is a hit needs nothing any more."""
    computed = {_plain(step.stage) for step in steps if not step.is_hit}
    return [each for each in found if each.stage in computed or each.stage == "runtime"]


def _plain(stage: str) -> str:
    """Return the stage of a step whose name says which documents it reads, such as `embed_against`."""
    return stage.removesuffix("_all").removesuffix("_against").removesuffix("_edited")


def _checks(config: FlowConfig, n_docs: int | None) -> Iterator[Check]:
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
