"""Start: how the command line starts a run with Prefect, or without it.

Seconds that a run of ten cached stages takes in addition to its own work, imports of Prefect and the stages included
(132 documents, two cores at a load of 2, 2026-11-21, median of 3; tests/benchmarks/orchestration.py):

| way | seconds |
|---|---|
| a server that runs already | 3.0 |
| our temporary server; with a new PREFECT_HOME, for which it makes a database | 6.4; 9.2 |
| the temporary server that Prefect starts automatically | 8.8 |
| a background server: its start, once; then it stays, as in the first row | 2.4 |
| no server, nothing to compute: the folder is written directly, in 0.5 s | 0 |

So:

- A server is configured (environment, Prefect profile, settings file): the run always uses it.
- No server is configured, and the run is long (`flows.running.direct`): a temporary server (`flows.running.server`) on
  the user's PREFECT_HOME; a server that is started later shows the run.
- No server is configured, and the run continues an earlier one: its stages are plain calls.
- No server is configured, every stage is a hit, and no gate failed: the folder is written without Prefect.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.flows.planning.plan import plan_topic_model
from topicflow.flows.running.current import CurrentRun, current_run
from topicflow.flows.running.direct import directly, needs_no_server
from topicflow.flows.running.log import RunLog
from topicflow.flows.running.modules import has_settings_file
from topicflow.tasks.errors import PipelineError, StageError, first_line
from topicflow.tasks.execution.memory import check_address_space
from topicflow.tasks.execution.progress import display, say, waiting
from topicflow.tasks.execution.reporting import is_away
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.history import check_series
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, open_store
from topicflow.tasks.store.in_use import in_use

if TYPE_CHECKING:
    from prefect import Flow

    from topicflow.flows.running.server import TemporaryServer

Server = Callable[[], "contextlib.AbstractContextManager[TemporaryServer]"]
"""Gives a server for one run."""

QUIET_PREFECT = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the run log has everything
    "PREFECT_LOGGING_EXTRA_LOGGERS": "topicflow",  # the UI shows our lines
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",  # one message for each event that a dead server did not receive
}
"""Settings of a run from the command line; the user's environment has precedence."""


def start_topic_model(
    config: TopicModelConfig,
    log: RunLog | None = None,
    server: Server | None = None,
    *,
    ends: bool = False,
) -> RunRecord:
    """Return the record of a run of a topic model; without Prefect if no server is configured and all is a hit.

    The parameters are those of `start_flow`; `ends` says that the process ends after the run, as a command does.

    Raises
    ------
    PipelineError
        When the run fails; the message is one line.
    """
    if not server_is_configured():
        steps = plan_topic_model(config)
        found = {step.stage: step.found for step in steps if step.found is not None}
        if len(found) == len(steps) and not _is_announced(config, found):
            if ends and "numpy" not in sys.modules:
                # nothing is multiplied any more; threads of BLAS take .1 s
                os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            return _publish(config, found)
    return start_flow(config, log, server)


def start_flow(config: FlowConfig, log: RunLog | None = None, server: Server | None = None) -> RunRecord:
    """Return the record of a run of a config's flow, with the configured server or a temporary one.

    Parameters
    ----------
    config : FlowConfig
        The resolved config.
    log : RunLog, optional
        Gets the messages of the libraries.
    server : callable, optional
        Gives the server if none is configured: by default a temporary one, or the one that this process keeps.

    Raises
    ------
    PipelineError
        When the run fails; the message is one line.
    """
    from topicflow.flows.running.compile_ahead import compiling_ahead

    check_address_space()
    for name, value in QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
    with current_run(config) as current, _outcome_of_the_work(current), compiling_ahead(config):
        if server_is_configured():
            with server_errors_in_one_line():
                current.record = _flow(config.flow, log)(config)
        elif needs_no_server(config):
            with directly():
                current.record = _work(config.flow, log)(config)
        else:
            current.record = _run_with_own_server(config, log, server)
    assert current.record is not None
    return current.record


@contextlib.contextmanager
def _outcome_of_the_work(current: CurrentRun) -> Iterator[None]:
    """Keep the outcome of the work if Prefect fails afterwards: its server may be away when the run reports."""
    try:
        yield
    except Exception as error:
        if current.record is not None:
            if not is_away():
                LOG.warning("Prefect did not record the end of this run: %s", first_line(error))
        elif current.error is not None:
            raise current.error from None
        else:
            raise


def server_is_configured() -> bool:
    """True when the environment, the active Prefect profile or a settings file names a server."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect"))
    if not (home / "profiles.toml").exists() and not has_settings_file():
        return False  # the import of Prefect takes a second
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


@contextlib.contextmanager
def server_errors_in_one_line() -> Iterator[None]:
    """Raise StageError, one line, if the server is away, is not Prefect's, or has another version."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        if (reason := _server_reason(error)) is None:
            raise
        from prefect.settings import PREFECT_API_URL

        msg = f"Prefect server {PREFECT_API_URL.value()} {reason}; start or upgrade it, or unset PREFECT_API_URL"
        raise StageError(msg) from error


def _server_reason(error: Exception) -> str | None:
    """Return in a few words what is wrong with the server; None if the error has another cause."""
    import httpx
    from prefect.exceptions import PrefectException

    said = (str(error).splitlines() or [""])[0]
    if "Failed to reach API" in said or isinstance(error, httpx.TransportError):
        return "does not answer"
    if "incompatible versions" in said or isinstance(error, httpx.HTTPStatusError | PrefectException):
        return f"said: {said.rstrip('.')}"
    return None


def _flow(name: str, log: RunLog | None) -> Flow[[FlowConfig], RunRecord]:
    """Return a flow after importing Prefect and every stage; the log gets their messages too."""
    found: Flow[[FlowConfig], RunRecord] = getattr(importlib.import_module(f"topicflow.flows.{name}"), name)
    if log is not None:
        log.take_libraries()
    return found


def _work(name: str, log: RunLog | None) -> Callable[[FlowConfig], RunRecord]:
    """Return what a flow does after importing every stage, without Prefect."""
    found: Callable[[FlowConfig], RunRecord] = getattr(
        importlib.import_module(f"topicflow.flows.work.{name}"), name
    )
    if log is not None:
        log.take_libraries()
    return found


def _run_with_own_server(config: FlowConfig, log: RunLog | None, start_server: Server | None) -> RunRecord:
    """Return the record of a run; its stages are imported while the server starts."""
    from topicflow.flows.running.server import temporary_server

    with (start_server or temporary_server)() as server:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker
        from prefect.settings import PREFECT_API_URL, temporary_settings

        run = _flow(config.flow, log)
        with display(), waiting("server"):
            server.wait()
        with temporary_settings({PREFECT_API_URL: server.url}):
            try:
                return run(config)
            finally:  # the server must receive what is still queued before it ends
                if not is_away():
                    EventsWorker.drain_all()
                    APILogWorker.drain_all()


def _is_announced(config: TopicModelConfig, found: Mapping[str, ArtifactRef]) -> bool:
    """True when gates hold the run back, or held back the run before and somebody is informed: that needs a server."""
    if config.gates is None or "gate" not in found:
        return False
    from topicflow.tasks.publish.announce import was_held

    informs = config.gates.webhook_env or config.gates.webhook_block
    return bool(open_store(config.runtime).meta(found["gate"])["failed"]) or bool(
        informs and was_held(Path(config.runtime.runs), config.name)
    )


def _publish(config: TopicModelConfig, found: Mapping[str, ArtifactRef]) -> RunRecord:
    from topicflow.tasks.publish.topic_folder import publish_run

    check_series(Path(config.runtime.runs), config.name, config.flow)
    store = open_store(config.runtime)
    with current_run(config) as current, in_use(store.backend):
        for stage, ref in found.items():
            say(stage, ref)
        return publish_run(store, config, found, current.run)
