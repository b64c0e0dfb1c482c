"""Quiet: a run from Python: nothing on the screen unless it is asked for, errors as exceptions, one server a process.

The flow runs in a thread of its own: a notebook has an event loop in its main thread, which Prefect must not find, and
control-C then returns at once. The stage that computes ends soon and keeps its finished chunks; no other stage begins.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.flows.running.log import RunLog, quiet_run_log
from topicflow.flows.running.modules import SAFE_PATH, trust_no_folder
from topicflow.flows.running.server import kept_server
from topicflow.flows.running.start import start_flow
from topicflow.tasks.execution.progress import shows_bars
from topicflow.tasks.execution.stopping import ask_to_stop, begin_again, check_not_stopped
from topicflow.tasks.runs.records import RunRecord

Start = Callable[..., RunRecord]
"""Starts a run, given config, log and server, as `flows.running.start.start_flow` does."""

POLL_S = 0.1
"""Seconds between two looks at the thread of a run: control-C is noticed after them."""

_one_run_at_a_time = threading.Lock()


def run_quietly(config: FlowConfig, *, verbose: bool = False, start: Start = start_flow) -> RunRecord:
    """Return the record of a run of a config's flow.

    Parameters
    ----------
    config : FlowConfig
        The resolved config.
    verbose : bool
        Whether the lines of the stages, and bars on a terminal, are written to standard error.
    start : callable
        Starts the run.

    Raises
    ------
    PipelineError
        When the run fails; the message is one line.
    KeyboardInterrupt
        At control-C, at once.
    """
    with (
        _trusting_no_folder(),
        quiet_run_log(config, on_screen=verbose) as log,
        _bars(shown=verbose),
    ):
        given_up = threading.Event()
        try:
            record = _in_a_thread(lambda: _started(start, config, log, given_up))
        except KeyboardInterrupt:
            given_up.set()
            ask_to_stop()
            raise
        log.keep(Path(config.runtime.runs) / record["name"] / record["run_id"])
    return record


def _started(start: Start, config: FlowConfig, log: RunLog, given_up: threading.Event) -> RunRecord:
    """Return the record of a run; it begins when the run before it in this process has ended."""
    with _one_run_at_a_time:
        if not given_up.is_set():  # the caller may have stopped while it waited
            begin_again()
        check_not_stopped(config.name)
        return start(config, log, kept_server)


def _in_a_thread(work: Callable[[], RunRecord]) -> RunRecord:
    """Return the result of work in a thread with the context of this one; raise what it raises."""
    done: dict[str, Any] = {}

    def body() -> None:
        try:
            done["record"] = work()
        except BaseException as error:  # noqa: BLE001  (raised below, in the caller's thread)
            done["error"] = error

    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(body), name="topicflow", daemon=True)
    thread.start()
    while (
        thread.is_alive()
    ):  # polars restarts system calls after control-C (its #21739): a wait without an end goes on
        thread.join(POLL_S)
    if "error" in done:
        raise done["error"]
    record: RunRecord = done["record"]
    return record


@contextlib.contextmanager
def _trusting_no_folder() -> Iterator[None]:
    """Keep child processes of the block from importing modules of the working folder."""
    before = os.environ.get(SAFE_PATH)
    trust_no_folder()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SAFE_PATH, None)


@contextlib.contextmanager
def _bars(*, shown: bool) -> Iterator[None]:
    token = shows_bars.set(shown)
    try:
        yield
    finally:
        shows_bars.reset(token)
