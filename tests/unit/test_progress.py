"""Lines of a long stage: the first after seconds, then a few a minute, also on the page of a run that was served."""

import logging
import time

import pytest

from topicflow.tasks.execution import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test moves; nothing is sent to Prefect."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.Progress, "_send_to_prefect", lambda _self: None)
    return now


def test_the_first_line_comes_early_and_the_next_ones_seldom(
    clock: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("topicflow"), "propagate", True)
    caplog.set_level(logging.INFO, "topicflow")
    with progress.track("embed", 1000, "documents") as running:
        for second in range(1, 41):
            clock[0] = 100.0 + second
            running.advance(10)
    assert [record.getMessage() for record in caplog.records] == [
        "embed      30 of 1,000 documents, 10 per second, about 2 min left",
        "embed      180 of 1,000 documents, 10 per second, about 82 s left",
        "embed      330 of 1,000 documents, 10 per second, about 67 s left",
    ]


def test_a_log_without_a_terminal_says_what_runs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It once was silent until the first stage ended, which may take minutes."""
    monkeypatch.setattr(logging.getLogger("topicflow"), "propagate", True)
    monkeypatch.setattr(progress, "_FIRST_LINE_S", 0.05)
    monkeypatch.setattr(progress, "is_compiled", lambda stage: stage != "reduce")
    caplog.set_level(logging.INFO, "topicflow")
    with progress.display("preparing"):
        time.sleep(0.3)
        with progress.waiting("load"):
            pass  # a short stage has its own line only
        with progress.waiting("reduce"):
            time.sleep(0.3)
    assert [record.getMessage() for record in caplog.records] == [
        "preparing  running",
        "reduce     running (the first run compiles, once on this machine)",
    ]


def test_preparing_ends_with_the_first_stage(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("topicflow"), "propagate", True)
    monkeypatch.setattr(progress, "_FIRST_LINE_S", 0.1)
    caplog.set_level(logging.INFO, "topicflow")
    with progress.display("preparing"), progress.waiting("load"):
        pass
    time.sleep(0.3)
    assert caplog.records == []
