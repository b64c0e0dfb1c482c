"""Frame: what every flow does around its stages: it begins, it ends in one way, and it leaves one record."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from topicflow.configs.fields.base import Section
from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.config_file import ConfigFile, FileOrFields
from topicflow.configs.paths import in_work_folder
from topicflow.configs.read import load_config
from topicflow.flows.planning.ahead import check_ahead
from topicflow.flows.running.current import CurrentRun, current_run
from topicflow.flows.running.log import keep_cancelled, own_log
from topicflow.tasks.errors import ArtifactError, ConfigError, PipelineError, first_line
from topicflow.tasks.execution.prefect_runs import flow_run_id
from topicflow.tasks.execution.reporting import server_is_there
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.history import check_series, is_held
from topicflow.tasks.runs.records import RunRecord, record_failure
from topicflow.tasks.runs.resolve import run_at
from topicflow.tasks.store.artifact_store import open_store
from topicflow.tasks.store.in_use import in_use

ConfigT = TypeVar("ConfigT", bound=FlowConfig)
SectionT = TypeVar("SectionT", bound=Section)

HELD = "Held"
"""Name of the state of a flow run that completed and that its gates hold back."""


def recorded(function: Callable[[ConfigT], RunRecord]) -> Callable[[ConfigT], RunRecord]:
    """Return the function of a flow so that every run ends in one of these ways.

    | the work | leaves |
    |---|---|
    | succeeds | the folder that it published, and its record |
    | is held back by its gates | the same; its state in Prefect is named `Held` and says why |
    | fails | a record with the error, and its true start and seconds |
    | is cancelled | a record that says so |
    | is refused (ConfigError) | nothing |
    | is published, and then something fails | what was published |
    """
    signature = inspect.signature(function, eval_str=True)
    model = signature.parameters["config"].annotation

    @functools.wraps(function)
    def run(config: ConfigT | ConfigFile) -> RunRecord:
        record: RunRecord = _recorded(function, _resolved(config, model))
        return record

    either = signature.parameters["config"].replace(annotation=Annotated[ConfigFile | model, FileOrFields()])
    vars(run)["__signature__"] = signature.replace(parameters=[either])  # Prefect reads the form from it
    return run


def _recorded(function: Callable[[ConfigT], RunRecord], config: ConfigT) -> Any:  # noqa: ANN401  (or its state)
    """Return the record of a run of a resolved config; to Prefect its state, if gates hold the run back."""
    with current_run(config) as current, own_log(config, current):
        try:
            check_series(Path(config.runtime.runs), config.name, config.flow)
            check_ahead(config)
            with in_use(open_store(config.runtime).backend):
                current.record = function(config)
        except Exception as error:  # noqa: BLE001  (raised below)
            _end_badly(config, current, error)
        except BaseException:  # Ctrl-C, or Prefect's signal that cancels a run
            keep_cancelled(config, current)
            raise
        _tell_in_time(current)
        if current.record is None:
            raise current.error or AssertionError(f"{config.flow} returned no record")
        return _held(current.record) if flow_run_id() else current.record


def _resolved(config: ConfigT | ConfigFile, model: type[ConfigT]) -> ConfigT:
    """Return a config with absolute paths, reading it from the file that a person named in Prefect's form.

    Raises
    ------
    ConfigError
        If the file cannot be read or is wrong, or if a path is relative and the folder of this process is deleted.
    """
    if not isinstance(config, ConfigFile):
        return placed(config)
    named = placed(config)
    try:
        return placed(load_config(Path(named.file), named.set, model))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def placed(config: SectionT) -> SectionT:
    """Return a config with all its paths absolute.

    Raises
    ------
    ConfigError
        If a path is relative, and the folder of this process is deleted when the run ends.
    """
    try:
        return in_work_folder(config)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _held(record: RunRecord) -> Any:  # noqa: ANN401  (Prefect takes a state for its data)
    """Return the state of a run that its gates hold back: Prefect's pages, its automations and `serve` show it."""
    if not is_held(record):
        return record
    from prefect.states import Completed

    message = f"not published: {'; '.join(record['gates']['failed'])}"
    return Completed(name=HELD, message=message, data=record)


def _end_badly(config: FlowConfig, current: CurrentRun, error: Exception) -> None:
    """Take a published folder as the outcome; record the failure if nothing was published."""
    current.record = published_record(config, current)
    if current.record is not None:
        LOG.warning("%s is published; a later step failed: %s", current.run.run_id, first_line(error))
        return
    current.error = error
    if not isinstance(error, ConfigError):
        said = (
            str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {first_line(error)}"
        )
        with contextlib.suppress(ArtifactError):  # if even that fails, the log has the reason
            record_failure(config, current.run, said)


def published_record(config: FlowConfig, current: CurrentRun) -> RunRecord | None:
    """Return the record in a run's folder; None if there is no folder."""
    with contextlib.suppress(ArtifactError):
        return run_at(current.run.folder(Path(config.runtime.runs)))
    return None


def _tell_in_time(current: CurrentRun) -> None:
    """If Prefect's server is away, make its client give up at once, and not after a minute for each request.

    A process that Prefect started for this run ends here: only reports to the server are left to do.
    """
    if not flow_run_id() or server_is_there():
        return
    LOG.warning("Prefect's server does not answer any more, and will not show how this run ended")
    if os.environ.get("PREFECT__FLOW_RUN_ID"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0 if current.record is not None else 1)
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    _for_good.enter_context(temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}))


_for_good = contextlib.ExitStack()
"""Settings that stay until the end of the process."""
