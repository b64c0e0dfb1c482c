"""Current run: its id and start time, made once, and the outcome of its work.

The command line makes the id before Prefect is imported; a deployed run makes it when its flow begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from topicflow.configs.flows.base import FlowConfig
from topicflow.tasks.runs.records import RunId, RunRecord


@dataclass
class CurrentRun:
    """A run and its outcome, if there is one: the record that the flow returned, or the error that ended it."""

    run: RunId
    record: RunRecord | None = None
    error: Exception | None = None
    keep_log: Callable[[Path], None] | None = None
    """Copies the log into the run's folder; None as long as nobody keeps a log of the run."""


_current: ContextVar[CurrentRun | None] = ContextVar("current_run", default=None)


_tried: ContextVar[tuple[str, ...]] = ContextVar("tried", default=())


@contextlib.contextmanager
def trying(values: Sequence[str]) -> Iterator[None]:
    """Make a run that begins during the block a trial of these values; an ordinary run if there are none."""
    token = _tried.set(tuple(values))
    try:
        yield
    finally:
        _tried.reset(token)


@contextlib.contextmanager
def current_run(config: FlowConfig) -> Iterator[CurrentRun]:
    """Yield the current run: the one that the caller began, or one that begins now."""
    if (given := _current.get()) is not None:
        yield given
        return
    begun = CurrentRun(replace(RunId.new(config.name), tried=_tried.get()))
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
