"""Prefect's server is killed during a run: one correct record, and an end within 30 s."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PrefectServer, clean_environment, command, serving, write_corpus
from tests.fakes import Corpus
from tests.halting import halting, started

ROOT = Path(__file__).parents[2]

LONGEST_S = 30.0


@pytest.fixture
def config(tmp_path: Path, corpus: Corpus) -> Path:
    return write_corpus(tmp_path, corpus)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PrefectServer]:
    """A server that a test may kill."""
    with serving(tmp_path / "home") as server:
        yield server


def ended(
    process: "subprocess.Popen[str]", folder: Path, kill: Callable[[], Any]
) -> tuple[int, str, list[str]]:
    """Return exit code, output and errors of a run whose server was killed; it must end in time."""
    kill()
    (folder / "go").touch()
    began = time.monotonic()
    out, _ = process.communicate(timeout=120)
    assert time.monotonic() - began < LONGEST_S
    return process.returncode, out, (folder / "err").read_text().splitlines()


def records(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in (folder / "runs/trial").glob("2*/run.json")]


def killed(server: PrefectServer) -> Callable[[], Any]:
    def kill() -> None:
        assert server.process is not None
        server.process.kill()
        server.process.wait()

    return kill


def assert_published(folder: Path, code: int, lines: list[str]) -> None:
    assert code == 0, lines
    (record,) = records(folder)
    assert (record["state"], record["n_topics"]) == ("completed", 3)
    assert (folder / "runs/trial/latest").resolve().name == record["run_id"]
    assert [line for line in lines if "Traceback" in line or "ERROR" in line] == []


@pytest.mark.slow
def test_the_server_of_a_team(config: Path, tmp_path: Path, own_server: PrefectServer) -> None:
    process = started(command("run", config), tmp_path, halting(tmp_path, **own_server.environment))
    code, out, lines = ended(process, tmp_path, killed(own_server))
    assert_published(tmp_path, code, lines)
    assert out.splitlines()[-1].startswith("report: ")
    assert lines[-2:] == [
        "Prefect's server does not answer and did not receive the run's tables",
        "Prefect's server does not answer any more, and will not show how this run ended",
    ]
    assert "Prefect's server does not answer" in (tmp_path / "runs/trial/latest/run.log").read_text()


@pytest.mark.slow
def test_the_server_of_a_team_where_the_work_fails_too(
    config: Path, tmp_path: Path, own_server: PrefectServer
) -> None:
    (tmp_path / "fail").touch()
    began = time.time()
    process = started(command("run", config), tmp_path, halting(tmp_path, **own_server.environment))
    code, out, lines = ended(process, tmp_path, killed(own_server))
    assert (code, out, lines[-1]) == (1, "", "error: cluster: planted")
    (record,) = records(tmp_path)
    assert (record["state"], record["error"]) == ("failed", "cluster: planted")
    assert 0 < record["seconds"] < time.time() - began
    (log,) = (tmp_path / "runs/trial").glob("2*/run.log")
    assert "StageError: cluster: planted" in log.read_text()


@pytest.mark.slow
def test_the_temporary_server(config: Path, tmp_path: Path) -> None:
    process = started(
        command("run", config), tmp_path, halting(tmp_path, PREFECT_HOME=str(tmp_path / "home"))
    )
    code, _, lines = ended(
        process, tmp_path, lambda: os.kill(temporary_server_of(process.pid), signal.SIGKILL)
    )
    assert_published(tmp_path, code, lines)


def temporary_server_of(pid: int) -> int:
    """Return the process id of the server that a run has started."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        parent = path.read_text().rsplit(")", 1)[1].split()[1]
        if int(parent) == pid and b"topicflow.flows.running.server" in (path.parent / "cmdline").read_bytes():
            return int(path.parent.name)
    raise AssertionError("no server")


@pytest.mark.slow
def test_the_server_of_a_deployed_run(config: Path, tmp_path: Path, own_server: PrefectServer) -> None:
    """The process that a worker starts ends alone; nothing in it keeps asking the server."""
    environment = clean_environment(**own_server.environment)
    for words in (
        ["work-pool", "create", "topicflow", "--type", "process"],
        ["--no-prompt", "deploy", "--name", "topic-model", "--prefect-file", "deployments/prefect.yaml"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *words], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    deployment = own_server.ask("deployments/name/topic_model/topic-model")["id"]
    parameters = {"config": tomllib.loads(config.read_text())}
    run = own_server.ask(f"deployments/{deployment}/create_flow_run", {"parameters": parameters})
    engine = [sys.executable, "-m", "prefect.engine"]
    asked = halting(tmp_path, **own_server.environment, PREFECT__FLOW_RUN_ID=run["id"])
    code, _, lines = ended(started(engine, tmp_path, asked), tmp_path, killed(own_server))
    assert code == 0, lines
    (record,) = records(tmp_path)
    assert record["state"] == "completed"
