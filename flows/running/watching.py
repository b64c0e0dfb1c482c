"""Watching: the runs of deployments on a Prefect server -> a line for each run that began, ended, or was skipped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from topicflow.tasks.errors import first_line

if TYPE_CHECKING:
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import FlowRun

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the server's clock may be ahead of this machine's clock."""

LATE = timedelta(days=30)
"""How long ago a run may have been due that begins only now: nobody served it when it was."""

LOOKED_AT_AGAIN = timedelta(hours=1)
"""How long a finished run is watched: a person may run it again in the UI."""


class Watch:
    """The last printed state of each run, so that each change is printed once."""

    def __init__(self, names: dict[UUID, str], since: datetime) -> None:
        self.names, self.since = names, since
        self.states = dict[UUID, str]()

    def pass_over_the_past(self) -> None:
        """Print nothing of runs that have ended already, and everything of runs that were due and did not begin."""
        began, self.since = self.since, self.since - LATE
        runs = self._runs() or []
        self.states = {
            run.id: str(run.state.name)
            for run in runs
            if run.state
            and run.state.is_final()
            and run.expected_start_time
            and run.expected_start_time < began
        }
        self._move_on(runs)

    def look_to_the_end(self, seconds: float) -> None:
        """Look until no run is active any more: a busy server learns late that a run has ended, or answers late."""
        until = time.monotonic() + seconds
        while not self.look() and time.monotonic() < until:
            time.sleep(1.0)

    def look(self) -> bool:
        """Print which of the deployments' runs have begun and ended since then; return whether none is active now.

        Returns False if the server does not answer.
        """
        from prefect.client.schemas.objects import StateType

        runs = self._runs()
        for run in runs or ():
            state = run.state
            if state is None or state.type in {StateType.SCHEDULED, StateType.PENDING}:
                continue
            if run.deployment_id is None or self.states.get(run.id) == state.name:
                continue
            self.states[run.id] = str(state.name)
            if "concurrency limit" in (state.message or ""):
                say_line(f"{self.names[run.deployment_id]} {run.name}: skipped, the run before is active")
                continue
            took = f" in {run.total_run_time.total_seconds():.0f} s" if state.is_completed() else ""
            why = f": {first_line(state.message)}" if state.message and state.is_final() else ""
            say_line(f"{self.names[run.deployment_id]} {run.name}: {state.name}{took}{why}")
        if runs is None:
            return False
        self._move_on(runs)
        active = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
        return not any(run.state is not None and run.state.type in active for run in runs)

    def _runs(self) -> list[FlowRun] | None:
        """Return the runs that were due since then, in order of time; None if the server gives no answer.

        A server returns a page at a time, 200 runs by default; this reads all pages.
        """
        import httpx
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.sorting import FlowRunSort
        from prefect.exceptions import PrefectException

        runs: list[FlowRun] = []
        with (
            contextlib.suppress(httpx.HTTPError, PrefectException),
            get_client(sync_client=True) as client,
        ):
            wanted = self._wanted()
            while page := client.read_flow_runs(
                flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, offset=len(runs)
            ):
                runs += page
            return runs
        return None

    def _wanted(self) -> FlowRunFilter:
        """Return the filter of the deployments' runs that were due since then, without runs of the future."""
        from prefect.client.schemas.filters import (
            FlowRunFilter,
            FlowRunFilterDeploymentId,
            FlowRunFilterExpectedStartTime,
        )

        due = FlowRunFilterExpectedStartTime(after_=self.since, before_=datetime.now(UTC) + CLOCKS_DIFFER)
        return FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=list(self.names)), expected_start_time=due
        )

    def _move_on(self, runs: Sequence[FlowRun]) -> None:
        """Forget runs that ended long ago, so that a look does not ask for all runs since the start."""
        at_work = [run.expected_start_time for run in runs if run.state is None or not run.state.is_final()]
        oldest = min([each for each in at_work if each], default=datetime.now(UTC))
        self.since = max(self.since, min(oldest, datetime.now(UTC) - LOOKED_AT_AGAIN))
        self.states = {run.id: self.states[run.id] for run in runs if run.id in self.states}


def say_line(line: str) -> None:
    """Print a line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)  # noqa: T201  (a command's output)
