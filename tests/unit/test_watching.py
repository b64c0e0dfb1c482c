"""Watching the runs of `serve`: every page of the server's answer is read, and each change is said once."""

from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Running

from topicflow.flows.running.watching import Watch

PAGE = 200
"""The number of runs in an answer of a Prefect server."""

DEPLOYMENT = uuid4()


def run(number: int, state: Any) -> FlowRun:
    """Return a run of the deployment."""
    return FlowRun(
        id=UUID(int=number), flow_id=uuid4(), name=f"run-{number:03d}", state=state, deployment_id=DEPLOYMENT,
        expected_start_time=datetime.now(UTC),
    )  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[FlowRun]:
    """The runs of a server that answers with one page at a time."""
    runs: list[FlowRun] = []

    def read_flow_runs(*, offset: int = 0, **_others: object) -> Sequence[FlowRun]:
        return runs[offset : offset + PAGE]

    @contextmanager
    def get_client(*, sync_client: bool) -> Any:
        assert sync_client
        yield SimpleNamespace(read_flow_runs=read_flow_runs)

    monkeypatch.setattr("prefect.client.orchestration.get_client", get_client)
    return runs


def test_runs_beyond_the_first_page_are_said(
    server: list[FlowRun], capsys: pytest.CaptureFixture[str]
) -> None:
    """A service of many schedules was silent after 200 runs."""
    server += [run(number, Completed()) for number in range(2 * PAGE + 50)]
    watch = Watch({DEPLOYMENT: "often"}, datetime.now(UTC))
    assert watch.look()
    said = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert said == [f"often run-{number:03d}: Completed in 0 s" for number in range(450)]
    server += [run(450, Running())]
    assert not watch.look()
    assert [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "often run-450: Running"
    ]
