"""Stages: how a flow runs a stage: Prefect runs it, or the flow calls it, and the artifact has a name.

A flow is a list of stages with named arguments:

    with at_work(config) as stages:
        documents = stages.run(load, config=config.load)
        embeddings = stages.run(embed, documents=documents, config=config.embed)
    return stages.publish(publish_index, config)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from topicflow.configs.flows.base import FlowConfig
from topicflow.flows.running.current import current_id
from topicflow.flows.running.direct import is_direct
from topicflow.flows.running.interrupt import end_soon, is_cancelled
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.memory import naming_memory
from topicflow.tasks.execution.progress import display, say, waiting
from topicflow.tasks.execution.stage import Stage
from topicflow.tasks.execution.stopping import check_not_stopped
from topicflow.tasks.execution.workers import started
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, local_folder, open_store

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

Inputs = ParamSpec("Inputs")

READING = "load"
"""Name of the tasks that read from outside; only they are tried again (`runtime.retries`)."""


class Stages:
    """The stages of one run: the context that each one gets, and the artifacts that they made, by name, in order."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.made: dict[str, ArtifactRef] = {}

    def run(
        self,
        stage: Stage[Concatenate[Context, Inputs], ArtifactRef],
        /,
        *inputs: Inputs.args,
        **named: Inputs.kwargs,
    ) -> ArtifactRef:
        """Return a stage's artifact when it is there; the artifact has the name of the stage.

        Raises
        ------
        PipelineError
            What the stage raised; one line that names the stage if memory ran out.
        """
        return self.run_as(stage.name, stage, *inputs, **named)

    def run_as(
        self,
        name: str,
        stage: Stage[Concatenate[Context, Inputs], ArtifactRef],
        /,
        *inputs: Inputs.args,
        **named: Inputs.kwargs,
    ) -> ArtifactRef:
        """Return a stage's artifact as `run` does, under another name than the stage's."""
        check_not_stopped(name)
        if is_direct():
            with waiting(name), naming_memory(name):
                self.made[name] = stage.fn(self.context, *inputs, **named)
            say(name, self.made[name])
            return self.made[name]
        task = stage.task
        if stage.name == READING:
            task = task.with_options(retries=self.context.runtime.retries)
        self.made[name] = finished(name, task.submit(self.context, *inputs, **named))
        return self.made[name]

    def publish(self, stage: Stage[..., RunRecord], config: FlowConfig, *others: object) -> RunRecord:
        """Return the record of the run after `stage` has written its folder from everything that was made."""
        given = self.context.store, config, self.made, *others, current_id()
        if is_direct():
            return stage.fn(*given)
        return stage.task.submit(*given).result()


@contextlib.contextmanager
def at_work(config: FlowConfig) -> Iterator[Stages]:
    """Show progress and keep workers while the block runs, and yield the stages with their context.

    A run that is cancelled meanwhile ends soon: Prefect waits for the thread of a stage, which nothing can stop.
    """
    with display(), started(config.runtime) as runtime:
        try:
            yield Stages(Context(open_store(config.runtime), config.seed, runtime))
        except BaseException as error:
            if is_cancelled(error):
                end_soon(local_folder(config.runtime))
            raise


def finished(name: str, future: PrefectFuture[Any]) -> ArtifactRef:
    """Return the artifact of a stage when it is there, and print its line; raise what the stage raised."""
    with waiting(name), naming_memory(name):
        ref: ArtifactRef = future.result()
    say(name, ref)
    return ref
