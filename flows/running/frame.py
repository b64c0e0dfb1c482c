"""Line: what every flow does around its line of tasks: begin, hold workers, wait for a stage, record a failure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.running.interrupt import end_soon
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.execution.memory import naming_memory
from topicflow.tasks.execution.progress import display, say, waiting
from topicflow.tasks.execution.workers import started
from topicflow.tasks.runs.records import RunId, check_series, record_failure
from topicflow.tasks.store.artifact_store import ArtifactRef, local_folder


def begin(config: FlowConfig) -> RunId:
    """Return the id of a run that begins now.

    Raises
    ------
    ConfigError
        When runs of this name are another flow's.
    """
    check_series(Path(config.runtime.runs), config.name, config.flow)
    return RunId.new(config.name)


@contextlib.contextmanager
def at_work(config: FlowConfig) -> Iterator[RuntimeConfig]:
    """Show progress and keep workers while the block runs, and yield `config.runtime` with their address.

    A run that is cancelled meanwhile ends soon: Prefect waits for a stage's thread, which nothing can stop.
    """
    with display(), started(config.runtime) as runtime:
        try:
            yield runtime
        except TerminationSignal:
            end_soon(local_folder(config.runtime))
            raise


def finished(stage: str, future: PrefectFuture[Any]) -> ArtifactRef:
    """Return a stage's artifact when it is there, and say so; raise what the stage raised, in one line for memory."""
    with waiting(stage), naming_memory(stage):
        ref: ArtifactRef = future.result()
    say(stage, ref)
    return ref


def one_at_a_time() -> Any:  # noqa: ANN401  (a generic of Prefect's that nothing binds)
    """Return a runner of one stage at a time: each uses all cores by itself, and its peak of memory is its own."""
    return ThreadPoolTaskRunner(max_workers=1)


def record_failed_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Write the record of a run that failed; where even that fails the log has said why."""
    model: type[FlowConfig] = get_type_hints(flow.fn)["config"]
    config = model.model_validate(flow_run.parameters["config"])
    error = state.result(raise_on_failure=False)
    with contextlib.suppress(ArtifactError):
        record_failure(config, RunId.new(config.name), str(error))
