"""As a flow: the function that a flow runs -> the Prefect flow, which workers, schedules and Prefect's pages start."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Flow, flow
from prefect.task_runners import ThreadPoolTaskRunner

from topicflow.configs.flows.base import FlowConfig
from topicflow.tasks.runs.records import RunRecord

ConfigT = TypeVar("ConfigT", bound=FlowConfig)


def as_flow(function: Callable[[ConfigT], RunRecord]) -> Flow[[ConfigT], RunRecord]:
    """Return the Prefect flow of a function of `flows.work` that `frame.recorded` made.

    It runs one stage at a time: each uses all cores, and its peak memory is measured alone. Deployments find it in the
    module of the same name in `flows`, which calls this function.
    """

    @functools.wraps(function)
    def run(config: ConfigT) -> RunRecord:
        return function(config)

    run.__module__ = f"topicflow.flows.{function.__name__}"
    one_at_a_time: Any = ThreadPoolTaskRunner(max_workers=1)  # a generic of Prefect's that nothing binds
    made: Flow[[ConfigT], RunRecord] = flow(
        name=function.__name__,
        flow_run_name="{config.name}",
        persist_result=False,
        task_runner=one_at_a_time,
    )(run)
    return made
