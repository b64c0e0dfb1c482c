"""Run and show: what every command that runs a flow does: its lines on the screen, its log, its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topicflow.flows.commands.options import FlowOptions, print_json

if TYPE_CHECKING:
    from topicflow.configs.flows.base import FlowConfig


def run_and_show(
    options: FlowOptions,
    config: FlowConfig,
    show_more: Callable[[dict[str, Any], Path], None] | None = None,
    start: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the record of a run after printing it: JSON and nothing else with --json, tables without.

    Parameters
    ----------
    options : FlowOptions
        The options of the command.
    config : FlowConfig
        The resolved config; it decides the flow.
    show_more : callable, optional
        Prints what the command has to add; it gets the record and the run's folder.
    start : callable, optional
        Starts the run, as in `run_flow`.

    Raises
    ------
    PipelineError
        When the run fails; the message is one line.
    """
    record = run_flow(config, start)
    if options.as_json:
        print_json(record)
        return record
    from topicflow.flows.screen.runs import print_run

    runs = Path(config.runtime.runs)
    print_run(record, runs)
    if show_more is not None:
        show_more(record, runs / record["name"] / record["run_id"])
    return record


def run_flow(config: FlowConfig, start: Callable[..., dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the record of a run of a config's flow; its lines are on the screen and its log is kept.

    Parameters
    ----------
    config : FlowConfig
        The resolved config.
    start : callable, optional
        Starts the run, given config and log; `flows.running.start.start_flow` if None.

    Raises
    ------
    PipelineError
        When the run fails; the message is one line.
    """
    from topicflow.tasks.execution.progress import display

    with display("preparing"):  # the imports of a first run take half a minute on a slow machine
        return _run(config, start)


def _run(config: FlowConfig, start: Callable[..., dict[str, Any]] | None) -> dict[str, Any]:
    """Return the record of a run, as `run_flow`."""
    from topicflow.flows.running.interrupt import ends_on_interrupt
    from topicflow.flows.running.log import quiet_run_log
    from topicflow.flows.running.start import start_flow
    from topicflow.tasks.execution.memory import aborts_in_one_line
    from topicflow.tasks.store.artifact_store import local_folder

    folder = Path(config.runtime.runs)
    with (
        aborts_in_one_line(),
        ends_on_interrupt(local_folder(config.runtime)),
        quiet_run_log(config) as log,
    ):
        record = (start or start_flow)(config, log)
        log.keep(folder / record["name"] / record["run_id"])
    return record
