"""A run from Python: it can be stopped, it leaves the environment as it was, and it says what it raised."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl  # noqa: F401  (its handler of control-C lets a wait go on)
import pytest

from tests.commands import clean_environment
from tests.pages import ROOT
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.flows.python.quiet import run_quietly
from topicflow.flows.running.modules import SAFE_PATH
from topicflow.tasks.errors import DataError, StageError
from topicflow.tasks.execution.stopping import check_not_stopped
from topicflow.tasks.runs.history import list_runs

RECORD = {"name": "topics", "run_id": "20260101-000001-abcdef", "state": "completed"}


def the_config(folder: str) -> TopicModelConfig:
    return TopicModelConfig(load={"path": "a.csv"}, runtime={"runs": f"{folder}/runs"})


@pytest.fixture
def config(tmp_path: Path) -> TopicModelConfig:
    return the_config(str(tmp_path))


class Working:
    """A run that works until it is stopped."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()

    def __call__(self, *_: Any) -> dict[str, Any]:
        self.began.set()
        try:
            while not self.ended.wait(0.01):
                check_not_stopped("embed")
        finally:
            self.ended.set()
        return RECORD

    def interrupt(self) -> None:
        """Press control-C once the run works."""
        assert self.began.wait(30)
        os.kill(os.getpid(), signal.SIGINT)


def in_another_process(function: Callable[[TopicModelConfig], None], folder: Path) -> None:
    """Call a function with a config in a process that control-C may end, as it must not end that of the tests."""
    environment = clean_environment(PYTHONPATH=f"{ROOT}:{Path(__file__).parent}")
    said = subprocess.run(
        [sys.executable, "-c", CALL.format(module=__name__, function=function.__name__), str(folder)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stdout) == (0, "done\n"), said.stderr


CALL = """
import signal, sys
from {module} import {function}, the_config
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores control-C
{function}(the_config(sys.argv[1]))
print("done")
"""


def interrupt_and_run_again(config: TopicModelConfig) -> None:
    work = Working()
    threading.Thread(target=work.interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_quietly(config, start=work)
    assert work.ended.wait(30)
    assert run_quietly(config, start=lambda *_: RECORD) == RECORD


def interrupt_what_waits(config: TopicModelConfig) -> None:
    first, second = Working(), Working()

    def hold() -> None:
        with contextlib.suppress(StageError):
            run_quietly(config, start=first)

    holder = threading.Thread(target=hold)
    holder.start()
    assert first.began.wait(30)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_quietly(config, start=second)
    first.ended.set()
    holder.join(30)
    assert not holder.is_alive()
    assert run_quietly(config, start=lambda *_: RECORD) == RECORD
    assert not second.began.is_set()


def test_control_c_returns_at_once_and_the_next_run_begins_after_it(tmp_path: Path) -> None:
    in_another_process(interrupt_and_run_again, tmp_path)


def test_a_run_that_was_stopped_while_it_waited_does_not_begin(tmp_path: Path) -> None:
    in_another_process(interrupt_what_waits, tmp_path)


def test_an_error_is_raised_in_the_callers_thread_and_kept(config: TopicModelConfig, tmp_path: Path) -> None:
    def fail(*_: Any) -> Any:
        raise DataError("load: one line")

    def crash(*_: Any) -> Any:
        raise ZeroDivisionError("by zero")

    with pytest.raises(DataError, match=r"^load: one line$"):
        run_quietly(config, start=fail)
    with pytest.raises(
        StageError, match=r"^ZeroDivisionError: by zero \(not foreseen; the traceback is in \S+\)$"
    ):
        run_quietly(config, start=crash)
    errors = [record["error"] for record in list_runs(tmp_path / "runs")]
    assert errors == ["ZeroDivisionError: by zero", "load: one line"]


def test_the_environment_of_the_caller_stays(
    config: TopicModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SAFE_PATH, raising=False)
    seen = []

    def look(*_: Any) -> dict[str, Any]:
        seen.append(os.environ.get(SAFE_PATH))
        return RECORD

    run_quietly(config, start=look)
    assert (seen, SAFE_PATH in os.environ) == (["1"], False)
