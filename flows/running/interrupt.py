"""Interrupt: Ctrl-C, or a cancel in the UI -> the run ends within seconds and leaves nothing incomplete."""

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

from topicflow.tasks.execution.prefect_runs import has_prefect
from topicflow.tasks.store.local import STAGING
from topicflow.tasks.store.process import process_token

GRACE_S = 4.0
"""Seconds for the stage to end and for the report to Prefect; a second Ctrl-C ends the process at once."""

CANCEL_GRACE_S = 2.0
"""The same after SIGTERM, with which Prefect cancels a run; Prefect checks every 3 s whether the run has ended."""

EXIT_CODE = 130
"""Exit code of a program that Ctrl-C ended, as in shells."""

CANCEL_EXIT_CODE = 143
"""Exit code of a program that SIGTERM ended, as in shells."""

STOPPED = "stopped; the same command continues from here"
CANCELLED = "cancelled; the next run continues from here"


@contextlib.contextmanager
def ends_on_interrupt(store: Path) -> Iterator[None]:
    """End the work of the block at Ctrl-C, and after GRACE_S the process.

    Nothing can stop a thread that computes, and Prefect waits for it; the files that it was writing are in the staging
    folder of the store and are deleted.
    """

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        """Raise in the main thread; end the process at a second Ctrl-C or after GRACE_S."""
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


def is_cancelled(error: BaseException) -> bool:
    """Return whether an error is the signal by which Prefect cancels a run."""
    if not has_prefect():
        return False
    from prefect.exceptions import TerminationSignal

    return isinstance(error, TerminationSignal)


def end_soon(store: Path) -> None:
    """End this process after CANCEL_GRACE_S; until then the current stage may end and report to Prefect."""
    timer = threading.Timer(CANCEL_GRACE_S, _end, [store, CANCEL_EXIT_CODE])
    timer.daemon = True
    timer.start()


def _end(store: Path, code: int = EXIT_CODE) -> None:
    """Delete the files that this process was writing and end it at once, even if nobody reads its output any more.

    It finds its own staging folders by its token: a process of another container may have the same id.
    """
    try:
        for _ in range(3):  # the stage may still be writing
            for folder in (store / STAGING).glob(f"{process_token()}-*"):
                shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write(f"{STOPPED if code == EXIT_CODE else CANCELLED}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)
