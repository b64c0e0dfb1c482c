"""Run log: the messages of a run and its libraries -> our lines on the screen, all of them in run.log in its folder."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from topicflow.configs.flows.base import FlowConfig
from topicflow.flows.running.current import CurrentRun, current_run
from topicflow.tasks.errors import ArtifactError, ConfigError, PipelineError, StageError, first_line
from topicflow.tasks.execution.memory import memory_failure, out_of_memory
from topicflow.tasks.execution.prefect_runs import flow_run_id
from topicflow.tasks.log import DETAILS, LOG
from topicflow.tasks.runs.records import CANCELLED, RunId, record_failure


class _Screen(logging.Handler):
    """Writes lines to the current standard error; progress bars stay below them."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")


class RunLog:
    """The log file of a run that has no folder yet."""

    def __init__(self, path: Path, *, on_screen: bool = True) -> None:
        self.path, self._on_screen = path, on_screen
        self._screen, self._file = _Screen(), logging.FileHandler(path, encoding="utf-8")
        self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))

    def open(self) -> None:
        """Start to record our lines and Python's warnings."""
        LOG.setLevel(logging.INFO)
        self._propagated, LOG.propagate = LOG.propagate, False
        if self._on_screen:
            LOG.addHandler(self._screen)
        for logger in (LOG, DETAILS):
            logger.addHandler(self._file)
        logging.captureWarnings(capture=True)
        self.take_libraries()

    def take_libraries(self) -> None:
        """Record the other loggers too; call it again after the import of Prefect, which replaces all handlers."""
        for name in (None, "py.warnings"):
            logger = logging.getLogger(name)
            logger.removeHandler(self._file)
            logger.addHandler(self._file)
        logging.getLogger("py.warnings").propagate = False

    def close(self) -> None:
        """Stop recording."""
        for name in (LOG.name, DETAILS.name, "py.warnings", None):
            logging.getLogger(name).removeHandler(self._file)
        LOG.removeHandler(self._screen)
        LOG.propagate = self._propagated
        logging.captureWarnings(capture=False)
        self._file.close()

    def keep(self, folder: Path) -> None:
        """Copy the log into a run's folder."""
        if folder.is_dir():
            shutil.copyfile(self.path, folder / "run.log")


@contextlib.contextmanager
def quiet_run_log(config: FlowConfig, *, on_screen: bool = True) -> Iterator[RunLog]:
    """Yield the log of a run that is about to start; a failed run leaves its record, log and traceback.

    The run's id is made here, once. A refused run leaves nothing. Without `on_screen` our lines are only in the log.

    Raises
    ------
    PipelineError
        Whatever failed, as one line.
    """
    with tempfile.TemporaryDirectory(prefix="topicflow-") as folder, current_run(config) as current:
        log = RunLog(Path(folder) / "run.log", on_screen=on_screen)
        log.open()
        current.keep_log = log.keep
        try:
            yield log
        except ConfigError:
            raise
        except KeyboardInterrupt:
            keep_cancelled(config, current)
            raise
        except PipelineError as error:
            _keep_failure(log, config, current.run, str(error))
            raise
        except Exception as error:
            if (refused := memory_failure(error)) is not None:
                named = out_of_memory("run", refused)
                _keep_failure(log, config, current.run, str(named))
                raise named from error
            said = f"{type(error).__name__}: {first_line(error)}"
            kept = _keep_failure(log, config, current.run, said)
            msg = f"{said} (not foreseen; the traceback is in {kept})"
            raise StageError(msg) from error
        finally:
            log.close()


@contextlib.contextmanager
def own_log(config: FlowConfig, current: CurrentRun) -> Iterator[None]:
    """Keep the log of a run that no command started (`serve`, a worker), as `quiet_run_log` does for the others.

    Its lines are on the run's page in Prefect, too.
    """
    if current.keep_log is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="topicflow-") as folder:
        log = RunLog(Path(folder) / "run.log", on_screen=False)
        log.open()
        current.keep_log = log.keep
        try:
            with lines_in_prefect():
                yield
        finally:
            if current.error is not None:
                with log.path.open("a", encoding="utf-8") as file:
                    file.writelines(traceback.format_exception(current.error))
            log.close()
            log.keep(current.run.folder(Path(config.runtime.runs)))


@contextlib.contextmanager
def lines_in_prefect() -> Iterator[None]:
    """Send our lines to the page of the current flow run, unless Prefect's settings do that already.

    The lines of a thread that Prefect does not know go to the same page.
    """
    if (run_id := flow_run_id()) is None:
        yield
        return
    from prefect.logging.handlers import APILogHandler

    if any(isinstance(each, APILogHandler) for each in LOG.handlers):
        yield
        return

    def of_this_run(record: logging.LogRecord) -> bool:
        record.flow_run_id = run_id
        return True

    handler = APILogHandler()
    handler.addFilter(of_this_run)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)


def keep_cancelled(config: FlowConfig, current: CurrentRun) -> None:
    """Write the record and the log of a run that a person cancels; if even that fails, nothing is written."""
    with contextlib.suppress(OSError, ArtifactError):
        folder = record_failure(
            config, current.run, "cancelled; the next run continues from its finished stages", CANCELLED
        )
        if current.keep_log is not None:
            current.keep_log(folder)


def _keep_failure(log: RunLog, config: FlowConfig, run: RunId, error: str) -> Path:
    """Return the path of the log with its traceback: beside the record of the flow, or beside one that is made here.

    If the folder of runs cannot be written, the log stays in the folder for temporary files.
    """
    with log.path.open("a", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    try:
        folder = record_failure(config, run, error)
        log.keep(folder)
    except (OSError, ArtifactError):
        folder = Path(tempfile.gettempdir()) / f"topicflow-{run.run_id}"
        folder.mkdir()
        log.keep(folder)
    return folder / "run.log"
