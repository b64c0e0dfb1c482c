"""A run from Python: it can be stopped, it leaves the environment as it was, and it says what it raised."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl  # noqa: F401  (its handler of control-C lets a wait go on)
import pytest

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.flows.python.quiet import run_quietly
from topicflow.flows.running.modules import SAFE_PATH
from topicflow.tasks.errors import DataError, StageError
from topicflow.tasks.execution.stopping import check_not_stopped
from topicflow.tasks.runs.history import list_runs

RECORD = {"name": "topics", "run_id": "20260101-000001-abcdef", "state": "completed"}


@pytest.fixture
def config(tmp_path: Path) -> TopicModelConfig:
    return TopicModelConfig(load={"path": "a.csv"}, runtime={"runs": str(tmp_path / "runs")})


@pytest.fixture(autouse=True)
def _control_c() -> Iterator[None]:
    """Let control-C raise KeyboardInterrupt, also where a shell started the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        yield


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


def test_control_c_returns_at_once_and_the_next_run_begins_after_it(config: TopicModelConfig) -> None:
    work = Working()
    threading.Thread(target=work.interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_quietly(config, start=work)
    assert work.ended.wait(30)
    assert run_quietly(config, start=lambda *_: RECORD) == RECORD


def test_a_run_that_was_stopped_while_it_waited_does_not_begin(config: TopicModelConfig) -> None:
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
