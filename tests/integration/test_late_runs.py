"""Runs that were due while nothing served them: what Prefect makes of them, as docs/operations.md says."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PrefectServer, clean_environment, write_corpus
from tests.fakes import Corpus
from tests.integration.test_serve import said, serve, wait_for

pytestmark = pytest.mark.slow

COPIED = (
    "flow_id",
    "entrypoint",
    "pull_steps",
    "parameter_openapi_schema",
    "work_pool_name",
    "work_queue_name",
)


@pytest.fixture
def folder(tmp_path: Path, corpus: Corpus) -> Path:
    write_corpus(tmp_path, corpus)
    (tmp_path / "serve.toml").write_text(
        '[[schedules]]\nname = "late"\nconfig = "config.toml"\nevery_s = 300\n'
    )
    return tmp_path


@pytest.fixture
def worker(prefect_server: PrefectServer, deployment: str, folder: Path) -> Iterator[Any]:
    """A function that starts a worker of the pool; it is stopped at the end."""
    started = []

    def start() -> None:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "topicflow"]
        environment = clean_environment(**prefect_server.environment, PREFECT_WORKER_QUERY_SECONDS="1")
        with (folder / "worker.log").open("w") as log:
            started.append(subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            ))  # fmt: skip

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def ended(server: PrefectServer, deployment: str) -> list[str]:
    """Return the names of the states of a deployment's runs when all have ended, else nothing."""
    found = server.ask("flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
    final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    return sorted(run["state"]["name"] for run in found) if all(
        run["state"]["type"] in final for run in found
    ) else []  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "states"), [("CANCEL_NEW", ["Cancelled", "Cancelled", "Completed"]), ("ENQUEUE", ["Completed"] * 3)]
)  # fmt: skip
def test_a_worker_makes_up_for_all_late_runs(
    prefect_server: PrefectServer,
    deployment: str,
    worker: Any,
    folder: Path,
    strategy: str,
    states: list[str],
) -> None:
    """With `skip` one of them runs, and those whose turn comes meanwhile are dropped."""
    from topicflow.configs.read import load_config

    theirs = prefect_server.ask(f"deployments/{deployment}")
    values = load_config(folder / "config.toml").model_dump(mode="json", exclude_none=True)
    late = prefect_server.ask("deployments/", {
        **{name: theirs[name] for name in COPIED}, "name": f"late-{strategy.lower()}",
        "parameters": {"config": values}, "concurrency_limit": 1,
        "concurrency_options": {"collision_strategy": strategy},
    })["id"]  # fmt: skip
    for hours in (3, 2, 1):
        due = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
        prefect_server.ask(f"deployments/{late}/create_flow_run", {"state": state})
    worker()
    assert wait_for("end of all runs", lambda: ended(prefect_server, late), 400) == states


def test_serve_makes_up_for_runs_that_were_due_while_it_was_killed(
    prefect_server: PrefectServer, folder: Path
) -> None:
    """A stop pauses its schedules, so that nothing is due meanwhile; a kill cannot do that."""
    with serve(folder, **prefect_server.environment) as process:
        wait_for("schedules", lambda: "serving; Ctrl-C or SIGTERM stops" in said(folder))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    late = prefect_server.ask("deployments/name/topic_model/late")
    assert not late["paused"]
    for hours in (30, 1):
        due = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        asked = {
            "name": f"due-{hours}",
            "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": due}},
        }
        prefect_server.ask(f"deployments/{late['id']}/create_flow_run", asked)
    with serve(folder, **prefect_server.environment) as process:
        ran = wait_for(
            "end of a late run", lambda: [line for line in said(folder) if ": Completed in " in line]
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [line.split(": ")[0] for line in ran] == ["topic_model/late trial"]  # a run has its config's name
    skipped = [line for line in said(folder) if line.endswith(": skipped, the run before is active")]
    assert [line.split(" ")[1][:4] for line in skipped] == ["due-"]
