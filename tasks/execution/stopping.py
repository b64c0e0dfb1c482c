"""Stopping: a person asks a run in this process to stop -> its stage ends at the next chunk, and no further one begins.

A process has one run at a time. The command line ends its process at control-C and does not need this.
"""

from __future__ import annotations

import threading

from topicflow.tasks.errors import StageError

_asked = threading.Event()


def ask_to_stop() -> None:
    """Ask the run of this process to stop."""
    _asked.set()


def begin_again() -> None:
    """Forget that an earlier run was asked to stop."""
    _asked.clear()


def check_not_stopped(where: str) -> None:
    """Raise StageError, which begins with `where`, if the run of this process was asked to stop."""
    if _asked.is_set():
        msg = f"{where}: stopped; the same call continues from here"
        raise StageError(msg)
