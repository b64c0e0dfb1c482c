"""Progress of a stage: a bar for a person, lines for a log, an artifact in Prefect."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import UUID

from topicflow.tasks.execution.compiled import COMPILING, is_compiled
from topicflow.tasks.execution.prefect_runs import task_run_id
from topicflow.tasks.execution.reporting import report
from topicflow.tasks.execution.stopping import check_not_stopped
from topicflow.tasks.log import LOG

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from topicflow.tasks.store.artifact_store import ArtifactRef

_SEND_EVERY_S = 2.0
"""Seconds between two messages to Prefect; each message is a request."""

_LINE_EVERY_S = 15.0
"""Seconds between two log lines if there is no bar."""

_FIRST_LINE_S = 3.0
"""Seconds to the first of them: the run's page in Prefect and a log show early that a stage is at work."""

_bars: Bars | None = None
"""The bars on the screen while `display` is active; one process has one terminal."""


shows_bars: ContextVar[bool] = ContextVar("shows_bars", default=True)
"""Whether `display` may show bars; a call from Python shows them only if it is asked to."""


_beginning: TaskID | None = None
"""The line that is shown until the first stage begins."""

_timer: threading.Timer | None = None
"""What will log what runs, if there are no bars; one process does one thing at a time."""


@contextlib.contextmanager
def display(beginning: str = "") -> Iterator[None]:
    """Show bars on standard error during the block if standard error is a terminal; otherwise a log says what runs.

    A display inside another one adds nothing. `beginning` is a line that is shown until something else is.
    """
    global _bars, _beginning  # noqa: PLW0603  (one terminal, one display)
    if _bars is not None or not sys.stderr.isatty() or not shows_bars.get():
        with _said_in_time(beginning):
            yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[amount]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        _bars = bars
        _beginning = bars.add_task(beginning, total=None, amount="", left="") if beginning else None
        try:
            yield
        finally:
            _bars = _beginning = None


@contextlib.contextmanager
def waiting(stage: str) -> Iterator[None]:
    """Show during the block that a stage is running, and that it compiles if it may do so."""
    global _beginning  # noqa: PLW0603  (one terminal, one display)
    bars = _bars
    amount = "" if is_compiled(stage) else COMPILING
    if bars is None:
        with _said_in_time(stage, amount):
            yield
        return
    if _beginning is not None:
        bars.remove_task(_beginning)
        _beginning = None
    shown = bars.add_task(stage, total=None, amount=amount, left="")
    try:
        yield
    finally:
        bars.remove_task(shown)


@contextlib.contextmanager
def _said_in_time(stage: str, amount: str = "") -> Iterator[None]:
    """Log after some seconds, once, that a stage is running, unless it has ended or another one has begun."""
    global _timer  # noqa: PLW0603  (one process does one thing at a time)
    if _timer is not None:
        _timer.cancel()
    words = ["running", *([f"({amount})"] if amount else [])]
    own = _timer = threading.Timer(_FIRST_LINE_S, LOG.info, ("%-9s  %s", stage, " ".join(words)))
    own.daemon = True
    if stage:
        own.start()
    try:
        yield
    finally:
        own.cancel()


def _line_of(stage: str) -> TaskID | None:
    """Return the line of a stage that is shown as running, or None."""
    tasks = _bars.tasks if _bars is not None else []
    return next((task.id for task in tasks if task.description == stage), None)


def say(stage: str, ref: ArtifactRef) -> None:
    """Log one line about a finished stage."""
    state = "cached" if ref.cached else "computed"
    LOG.info("%-9s  %-8s  %9s rows  %7.1f s", stage, state, f"{ref.rows:,}", ref.seconds)


class Progress:
    """Counts finished units out of `total` and reports the share."""

    def __init__(self, stage: str, total: int, unit: str, *, lines: bool = True) -> None:
        self.stage = stage
        self.lines = lines
        self.total = max(1, total)
        self.unit = unit
        self.done = 0
        self._started = self._sent = time.monotonic()
        self._line = self._started - _LINE_EVERY_S + _FIRST_LINE_S
        self._bars = _bars
        self._shown = _line_of(stage)
        self._artifact: UUID | None = None
        self._show()

    def left(self) -> str:
        """Return an estimate of the time until the end by the mean speed; empty before the first unit."""
        if not 0 < self.done < self.total:
            return ""
        seconds = (time.monotonic() - self._started) * (self.total - self.done) / self.done
        return f"about {duration(seconds)} left"

    def _show(self) -> bool:
        """Update the bar, and return whether there is one."""
        if self._bars is None or self._shown is None:
            return False
        amount = f"{self.done:,} of {self.total:,} {self.unit}"
        self._bars.update(self._shown, completed=self.done, total=self.total, amount=amount, left=self.left())
        return True

    def advance(self, n: int) -> None:
        """Add `n` units."""
        self.reach(self.done + n)

    def reach(self, done: int) -> None:
        """Set the number of finished units; it never decreases. Raise StageError if the run was asked to stop."""
        check_not_stopped(self.stage)
        self.done = max(self.done, min(done, self.total))
        now = time.monotonic()
        if not self._show() and self.lines and now - self._line >= _LINE_EVERY_S:
            self._line = now
            rate = self.done / (now - self._started)
            LOG.info(
                "%-9s  %s of %s %s, %.0f per second%s",
                self.stage,
                f"{self.done:,}",
                f"{self.total:,}",
                self.unit,
                rate,
                f", {left}" if (left := self.left()) else "",
            )
        if now - self._sent >= _SEND_EVERY_S:
            self._sent = now
            self._send_to_prefect()

    def close(self) -> None:
        """Remove the amount and send the end to Prefect."""
        if self._bars is not None and self._shown is not None:
            self._bars.update(self._shown, amount="", left="")
        if self._artifact is not None:
            self._send_to_prefect()

    def _send_to_prefect(self) -> None:
        """Create or update the progress artifact, if this runs inside a Prefect task."""
        if task_run_id():
            report(f"the progress of {self.stage}", self._show_percent)

    def _show_percent(self) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        percent = 100.0 * self.done / self.total
        if self._artifact is None:
            made = create_progress_artifact(
                percent, key=artifact_key(self.stage), description=f"{self.stage}: {self.total:,} {self.unit}"
            )
            self._artifact = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._artifact, percent)


def duration(seconds: float) -> str:
    """Return a duration as people say it: 40 s, 3 min, 2 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def artifact_key(stage: str) -> str:
    """Return the key of a stage's progress in Prefect, which takes lower-case letters, digits and dashes."""
    return f"{stage.replace('_', '-')}-progress"


@contextlib.contextmanager
def track(stage: str, total: int, unit: str, *, lines: bool = True) -> Iterator[Progress]:
    """Yield a Progress for `total` units of work in `stage`; without `lines` the stage logs its own."""
    progress = Progress(stage, total, unit, lines=lines)
    try:
        yield progress
    finally:
        progress.close()
