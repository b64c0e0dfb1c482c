"""Interrupt: Ctrl-C, or a cancel in the UI -> an end within seconds with nothing half made, whatever is computed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from topicflow.tasks.store.local import STAGING
from topicflow.tasks.store.process import process_token

GRACE_S = 4.0
"""Seconds that a stage has to come to its end and Prefect to be told; a second Ctrl-C ends them."""

CANCEL_GRACE_S = 2.0
"""The same after SIGTERM, which is how Prefect cancels a run; it looks every 3 s whether that has ended."""

EXIT_CODE = 130
"""What shells give for a program that Ctrl-C ended."""

CANCEL_EXIT_CODE = 143
"""What shells give for a program that SIGTERM ended."""

STOPPED = "stopped; the same command goes on where this one was"
CANCELLED = "cancelled; the next run goes on where this one was"


@contextlib.contextmanager
def ends_on_interrupt(store: Path) -> Iterator[None]:
    """Let Ctrl-C end the block's work, and after a grace the process.

    A thread that computes cannot be stopped from outside, and Prefect waits for it; what it was writing lies in
    the store's staging folder and is removed.
    """

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        """Raise in the main thread, and end the process at a second Ctrl-C or when the grace is over."""
        signal.signal(signal.SIGINT, lambda *_: _end(store))
        timer = threading.Timer(GRACE_S, _end, [store])
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    except KeyboardInterrupt:
        _end(store)
    finally:
        signal.signal(signal.SIGINT, before)


def end_soon(store: Path) -> None:
    """End this process after a grace, in which the stage at work may come to its end and Prefect be told."""
    timer = threading.Timer(CANCEL_GRACE_S, _end, [store, CANCEL_EXIT_CODE])
    timer.daemon = True
    timer.start()


def _end(store: Path, code: int = EXIT_CODE) -> None:
    """Delete what this process was writing and end it at once, even where nobody reads what it says any more.

    It knows its own staging folders by its token: another container's process may have the same id.
    """
    try:
        for _ in range(3):  # the stage may be writing on
            for folder in (store / STAGING).glob(f"{process_token()}-*"):
                shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write(f"{STOPPED if code == EXIT_CODE else CANCELLED}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)
