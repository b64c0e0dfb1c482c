"""Ahead: a config -> what a run of it would fail at, as far as that is known before any document is read.

A run makes these checks before its first stage, so that it does not embed for an hour and then fail at a stop word.
A plan lists them. What only the documents show (a column, a damaged file) is found by the stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from topicflow.flows.planning.plans import PLANS, plan_of
from topicflow.tasks.errors import ConfigError, PipelineError

if TYPE_CHECKING:
    from topicflow.configs.flows.base import FlowConfig
    from topicflow.flows.planning.steps import Step


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
    from topicflow.flows.planning.checks import checks

    found = []
    for stage, check in checks(config, n_docs):
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
        found = of_plan(found, plan_of(config.flow)(config))
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
        steps = plan_of(config.flow)(config)
    except PipelineError as error:
        if not (found := problems(config)):
            raise
        lines = dict.fromkeys([*(each.message for each in found), str(error)])
        raise ConfigError("\n".join(lines)) from None
    documents = [step.found for step in steps if step.stage in {"load", "keep"}]
    n_docs = documents[-1].rows if documents and documents[-1] is not None else None
    if config.runtime.engine == "threads" and all(step.is_hit for step in steps):
        return steps, []  # nothing is missing, and the checks import much
    return steps, of_plan(problems(config, n_docs), steps)


def of_plan(found: Sequence[Problem], steps: Sequence[Step]) -> list[Problem]:
    """Return the problems of stages that a plan computes: a stage that is a hit needs nothing any more."""
    computed = {_plain(step.stage) for step in steps if not step.is_hit}
    return [each for each in found if each.stage in computed or each.stage == "runtime"]


def _plain(stage: str) -> str:
    """Return the stage of a step whose name says which documents it reads, such as `embed_against`."""
    return stage.removesuffix("_all").removesuffix("_against").removesuffix("_edited")
