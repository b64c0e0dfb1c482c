"""Current run: its id and start time, made once, and the outcome of its work.

The command line makes the id before Prefect is imported; a deployed run makes it when its flow begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from topicflow.configs.flows.base import FlowConfig
from topicflow.tasks.errors import StageError
from topicflow.tasks.runs.records import RunId, RunRecord


@dataclass
class CurrentRun:
    """A run and its outcome, if there is one: the record that the flow returned, or the error that ended it.

    `is_stopped` is set from another thread: the stage that computes ends, and no further stage begins.
    """

    run: RunId
    record: RunRecord | None = None
    error: Exception | None = None
    is_stopped: bool = False


_current: ContextVar[CurrentRun | None] = ContextVar("current_run", default=None)


@contextlib.contextmanager
def current_run(config: FlowConfig) -> Iterator[CurrentRun]:
    """Yield the current run: the one that the caller began, or one that begins now."""
    if (given := _current.get()) is not None:
        yield given
        return
    begun = CurrentRun(RunId.new(config.name))
    token = _current.set(begun)
    try:
        yield begun
    finally:
        _current.reset(token)


def current_id() -> RunId:
    """Return the id of the current run."""
    found = _current.get()
    assert found is not None, "no run was begun"
    return found.run


def check_not_stopped() -> None:
    """Raise StageError if the current run was stopped."""
    found = _current.get()
    if found is not None and found.is_stopped:
        msg = f"{found.run.name}/{found.run.run_id}: stopped; the same call continues from here"
        raise StageError(msg)
