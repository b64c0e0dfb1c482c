"""Serving: run configs on a schedule, and any flow from the Prefect UI, on this machine until a signal.

Prefect's runner asks the server for runs that are due and starts each run in its own process. A stop ends the runs
within seconds; finished stages are kept, and the next run continues from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from topicflow.configs.flows.names import FLOWS
from topicflow.configs.flows.serving import ScheduleConfig, ServeConfig, When
from topicflow.configs.paths import WORK_FOLDER
from topicflow.configs.read import load_config
from topicflow.flows.running.modules import in_empty_folder
from topicflow.flows.running.server import START_S
from topicflow.flows.running.start import QUIET_PREFECT, server_errors_in_one_line, server_is_configured
from topicflow.flows.running.watching import Watch, say_line
from topicflow.tasks.errors import ConfigError, StageError, first_line

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment
    from prefect.runner import Runner

POLL_S = 2.0
"""Seconds between two requests to the server: for runs that are due, and for the states of active runs."""

STOP_S = 20.0
"""Seconds for the server to end after a signal."""

LAST_LOOK_S = 10.0
"""Seconds to wait at the end until the server shows that all runs have ended."""

RUNS_STOP_S = 45.0
"""Seconds for the runs to end after a signal; Prefect kills a run that has not ended 30 s after its cancellation."""


def serve(config: ServeConfig, folder: Path) -> None:
    """Serve every flow and run the schedules until SIGTERM or SIGINT.

    Parameters
    ----------
    config : ServeConfig
        The schedules.
    folder : Path
        Paths of configs are relative to it.

    Raises
    ------
    ConfigError
        When a schedule names a flow that does not exist, or a config that cannot be read.
    StageError
        When there is no server and none can be started.
    """
    schedules = [(schedule, _parameters(schedule, folder)) for schedule in config.schedules]
    for name, value in QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", str(POLL_S))
    os.environ.setdefault(WORK_FOLDER, str(Path.cwd()))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with in_empty_folder(), _server(config.port):
        from prefect.runner import Runner

        runner = Runner(name="topicflow", limit=config.at_once, pause_on_shutdown=True)
        since = datetime.now(UTC)  # a run may be due before the last deployment is registered
        with server_errors_in_one_line():
            names = asyncio.run(_register(runner, config, schedules))
        say_line("serving; Ctrl-C or SIGTERM stops")
        watch = Watch(names, since)
        watch.pass_over_the_past()
        _run_until(stopped, runner, watch)
    say_line("stopped; active runs continue from their finished stages when they are run again")


# --- deployments --------------------------------------------------------------------------------------------


def _parameters(schedule: ScheduleConfig, folder: Path) -> dict[str, Any]:
    """Return the parameters of a schedule's runs: its resolved config."""
    if schedule.flow not in FLOWS:
        msg = f"schedule {schedule.name}: no flow {schedule.flow!r}; there are: {', '.join(FLOWS)}"
        raise ConfigError(msg)
    try:
        config = load_config(folder / schedule.config, schedule.set, FLOWS[schedule.flow])
    except ValueError as error:
        msg = f"schedule {schedule.name}: {error}"
        raise ConfigError(msg) from None
    return {"config": config.model_dump(mode="json", exclude_none=True)}


async def _register(
    runner: Runner, config: ServeConfig, schedules: Iterable[tuple[ScheduleConfig, dict[str, Any]]]
) -> dict[UUID, str]:
    """Return the names of the deployments by id after registering each at the server and printing it."""
    served: list[tuple[str, str, When | None, dict[str, Any]]] = [
        (name, unscheduled(name), None, {}) for name in FLOWS
    ]
    served += [(schedule.flow, schedule.name, schedule, values) for schedule, values in schedules]
    if config.retention is not None:
        policy = config.retention.policy.model_dump(mode="json", exclude_none=True)
        served.append(("clean_store", "retention", config.retention, {"config": policy}))
    names = {}
    for flow, name, when, parameters in served:
        deployment = await _deployment(_flow(flow), name, when, parameters)
        names[await runner.aadd_deployment(deployment)] = f"{flow}/{name}"
        say_line(f"{flow}/{name}: {_when(when) if when else 'from the UI'}")
    return names


def unscheduled(flow: str) -> str:
    """Return the name of a flow's deployment without a schedule: the UI lists deployments by their own names."""
    return f"{flow.replace('_', '-')}-served"


def _flow(name: str) -> Flow[..., Any]:
    flow: Flow[..., Any] = getattr(importlib.import_module(f"topicflow.flows.{name}"), name)
    return flow


async def _deployment(
    flow: Flow[..., Any], name: str, when: When | None, parameters: dict[str, Any]
) -> RunnerDeployment:
    """Return a deployment of a flow; a scheduled one has one run at a time, and `overlap` decides about the next."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron, Interval
    from prefect.types.entrypoint import EntrypointType

    schedule = limit = None
    if when is not None:
        skips = when.overlap == "skip"
        strategy = ConcurrencyLimitStrategy.CANCEL_NEW if skips else ConcurrencyLimitStrategy.ENQUEUE
        limit = ConcurrencyLimitConfig(limit=1, collision_strategy=strategy)
        if when.cron is not None:
            schedule = Cron(when.cron, timezone=when.timezone)
        else:
            schedule = Interval(timedelta(seconds=when.every_s or 0.0), timezone=when.timezone)
    return await flow.ato_deployment(
        name=name, schedule=schedule, parameters=parameters, concurrency_limit=limit, paused=False,
        tags=["topicflow"], entrypoint_type=EntrypointType.MODULE_PATH,
    )  # fmt: skip


def _when(when: When) -> str:
    rhythm = f"cron {when.cron} ({when.timezone})" if when.cron else f"every {when.every_s:g} s"
    return f"{rhythm}, overlapping runs {'skipped' if when.overlap == 'skip' else 'queued'}"


# --- running ------------------------------------------------------------------------------------------------


def _run_until(stopped: threading.Event, runner: Runner, watch: Watch) -> None:
    """Run what is due until `stopped`, and print what happens to each run.

    The runner works in its own thread: in the main thread it would end the process at a signal, before it has finished.
    """
    failed: list[Exception] = []

    def work() -> None:
        try:
            asyncio.run(_start(stopped, runner))
        except Exception as error:  # noqa: BLE001  (raised below, in the main thread)
            failed.append(error)

    at_work = threading.Thread(target=work, name="runner", daemon=True)
    at_work.start()
    while at_work.is_alive() and not stopped.wait(POLL_S):
        watch.look()
    if stopped.is_set():
        say_line("stopping")
    at_work.join(RUNS_STOP_S)
    watch.look_to_the_end(LAST_LOOK_S)
    if failed:
        msg = f"serve: Prefect's runner ended ({first_line(failed[0])}); start it again"
        raise StageError(msg) from failed[0]


async def _start(stopped: threading.Event, runner: Runner) -> None:
    """Start the runner; stop it and the active runs when `stopped` is set."""
    running = asyncio.create_task(runner.start())
    while not stopped.is_set() and not running.done():
        await asyncio.sleep(0.1)
    if not running.done():
        if runner.started:
            await _cancel_runs(runner)
            await runner.astop()
        else:
            running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _cancel_runs(runner: Runner) -> None:
    """Cancel every run, also runs whose processes are just starting, and return when none is left.

    The runner's own stop cancels only the runs whose processes it knows at that moment, and waits for the others.
    """
    poller = runner._scheduled_run_poller  # noqa: SLF001  (there is no public list of starting runs)
    poller.stopping = True
    while poller._submitting_flow_run_ids:  # noqa: SLF001
        await runner.cancel_all()
        await asyncio.sleep(0.1)


# --- the server ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _server(port: int) -> Iterator[None]:
    """Print which Prefect server is configured; if none is, start one with its UI, and stop it at the end."""
    if server_is_configured():
        from prefect.settings import PREFECT_API_URL

        say_line(f"server: {PREFECT_API_URL.value()}")
        yield
        return
    address = f"http://127.0.0.1:{port}"
    _check_free(port)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603
            command, env={**_server_settings(address), **os.environ}, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C must reach only this process, which ends the server after the runs
        )  # fmt: skip
        os.environ["PREFECT_API_URL"] = f"{address}/api"
        try:
            _wait_for(f"{address}/api", process, output)
            say_line(f"server: {address}, started here")
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()


def _server_settings(address: str) -> dict[str, str]:
    """Return the settings of the server that `serve` starts; without the first its pages would ask port 4200."""
    return {
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    }


def _check_free(port: int) -> None:
    """Raise StageError if another program listens at a port of this machine."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        msg = (
            f"serve: port {port} is taken; if that is a Prefect server, set "
            f"PREFECT_API_URL=http://127.0.0.1:{port}/api; otherwise choose another `port`"
        )
        raise StageError(msg) from None


def _wait_for(url: str, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    """Return when the started server answers; raise StageError if it ends instead, or gives no answer in time."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), opener.open(f"{url}/health", timeout=5):
            return
        time.sleep(0.2)
    output.seek(0)
    said = output.read().decode(errors="replace").strip().splitlines() or ["no answer"]
    msg = f"serve: Prefect's server did not start ({said[-1].strip()}); choose another PREFECT_HOME or port"
    raise StageError(msg)
