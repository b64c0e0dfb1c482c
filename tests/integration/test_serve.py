"""`topicflow serve` as a separate process: schedules, runs that overtake, a cancel, a stop."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PrefectServer, clean_environment, command, run_apart, write_corpus
from tests.fakes import Corpus
from topicflow.configs.flows.names import FLOWS
from topicflow.flows.running.serving import unscheduled

STUCK = """
import os, pathlib, time
if kind := os.environ.get("STUCK_IN"):
    from topicflow.tasks.store.local import LocalFolder
    commit = LocalFolder.commit
    def stuck(self, staging, found, key, manifest):
        if found == kind:
            pathlib.Path(os.environ["STUCK_FILE"]).write_text(str(os.getpid()))
            time.sleep(600)
        commit(self, staging, found, key, manifest)
    LocalFolder.commit = stuck
if known_s := float(os.environ.get("KNOWN_LATE", 0)):
    import anyio
    from prefect.runner._process_manager import ProcessManager
    add = ProcessManager.add
    async def late(self, *run):
        await anyio.sleep(known_s)
        await add(self, *run)
    ProcessManager.add = late
if registered_s := float(os.environ.get("REGISTERED_LATE", 0)):
    import anyio
    from prefect.runner import Runner
    register = Runner.aadd_deployment
    async def slowly(self, deployment):
        found = await register(self, deployment)
        await anyio.sleep(registered_s if deployment.name == "often" else 0)
        return found
    Runner.aadd_deployment = slowly
"""
"""A process with this as its sitecustomize stays in a thread that nothing can stop, with an artifact half written; or
it learns late of a process that it started; or runs are due before it has registered the last deployment.
"""


@pytest.fixture
def folder(tmp_path: Path, corpus: Corpus) -> Path:
    """A config, a schedule for it every five seconds, and code that keeps its runs in a stage."""
    write_corpus(tmp_path, corpus)
    (tmp_path / "sitecustomize.py").write_text(STUCK)
    (tmp_path / "serve.toml").write_text(
        '[[schedules]]\nname = "often"\nconfig = "config.toml"\nevery_s = 5\noverlap = "skip"\n'
        '[retention]\ncron = "0 5 * * *"\n[retention.policy]\nkeep_runs = 3\n'
    )
    return tmp_path


def wait_for(what: str, found: Callable[[], Any], seconds: float = 200) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if result := found():
            return result
        time.sleep(0.2)
    raise AssertionError(f"no {what} in {seconds} s")


@contextlib.contextmanager
def serve(folder: Path, **changes: str) -> Iterator["subprocess.Popen[str]"]:
    """Yield the running command, with `changes` of its environment; its lines go to serve.log."""
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command("serve", "serve.toml"), cwd=folder, env=clean_environment(**changes), stdout=log,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def said(folder: Path) -> list[str]:
    """Return the lines of serve.log without their times."""
    return [line.split("  ", 1)[-1] for line in (folder / "serve.log").read_text().splitlines()]


@pytest.fixture
def stuck(folder: Path, prefect_server: PrefectServer) -> dict[str, str]:
    """The environment of a running command on the tests' server, with runs that stay in a stage."""
    path = str(folder)  # its sitecustomize.py
    at = {"STUCK_IN": "labels", "STUCK_FILE": str(folder / "stuck")}
    return {**prefect_server.environment, **at, "PYTHONPATH": path}


@pytest.fixture
def states(prefect_server: PrefectServer) -> Callable[..., list[Any]]:
    """A function that returns the scheduled runs in some states."""

    def found(*wanted: str) -> list[Any]:
        asked = {
            "deployments": {"name": {"any_": ["often"]}},
            "flow_runs": {"state": {"type": {"any_": wanted}}},
        }
        return list(prefect_server.ask("flow_runs/filter", asked))

    return found


@pytest.mark.slow
def test_schedules_overlaps_a_cancel_and_a_stop(
    folder: Path, prefect_server: PrefectServer, stuck: dict[str, str], states: Callable[..., list[Any]]
) -> None:
    with serve(folder, **stuck, REGISTERED_LATE="12") as served:
        check_a_cancel_and_a_stop(served, folder, prefect_server, states)
    lines = said(folder)
    for run in states("CANCELLED"):  # those too that were due before the last deployment was registered
        assert any(line.startswith(f"topic_model/often {run['name']}: ") for line in lines), run["name"]
    assert lines[: len(FLOWS) + 4] == [
        f"server: {prefect_server.url}",
        *(f"{flow}/{unscheduled(flow)}: from the UI" for flow in FLOWS),
        "topic_model/often: every 5 s, overlapping runs skipped",
        "clean_store/retention: cron 0 5 * * * (UTC), overlapping runs skipped",
        "serving; Ctrl-C or SIGTERM stops",
    ]
    assert "topic_model/often trial: Running" in lines
    assert any(line.endswith(": skipped, the run before is active") for line in lines)
    assert lines[-1] == "stopped; active runs continue from their finished stages when they are run again"
    assert "Traceback" not in "".join(lines)
    deployment = prefect_server.ask("deployments/name/topic_model/often")
    assert deployment["paused"]  # nothing piles up while nobody serves


def check_a_cancel_and_a_stop(
    served: "subprocess.Popen[str]",
    folder: Path,
    prefect_server: PrefectServer,
    states: Callable[..., list[Any]],
) -> None:
    pid = int(wait_for("run at work", lambda: (folder / "stuck").exists() and (folder / "stuck").read_text()))
    (run,) = states("RUNNING")
    assert len(list((folder / "store/.staging").iterdir())) == 1

    (skipped,) = wait_for("run skipped", lambda: states("CANCELLED"))[:1]
    assert "concurrency" in skipped["state"]["message"].lower()
    assert [found["id"] for found in states("RUNNING", "PENDING")] == [run["id"]]

    began = time.monotonic()
    cancel = {"state": {"type": "CANCELLING", "message": "by a person"}}
    prefect_server.ask(f"flow_runs/{run['id']}/set_state", cancel)
    wait_for("end of the cancelled run", lambda: not Path(f"/proc/{pid}").exists(), 30)
    assert time.monotonic() - began < 15  # 4 to 7 s on a machine at rest
    wait_for("state", lambda: run["id"] in [found["id"] for found in states("CANCELLED")], 30)
    (record,) = (json.loads(path.read_text()) for path in folder.glob("runs/trial/*/run.json"))
    assert (record["state"], record["error"][:10]) == ("cancelled", "cancelled;")
    assert "load       computed" in (folder / "runs/trial" / record["run_id"] / "run.log").read_text()
    assert list((folder / "store/.staging").iterdir()) == []
    kept = run_apart("store", "verify", "--runs", "none", cwd=folder)
    assert (kept.code, kept.out) == (0, "6 artifacts read, 0 damaged\n")

    served.send_signal(signal.SIGTERM)
    assert served.wait(60) == 0
    assert list((folder / "store/.staging").iterdir()) == []


@pytest.mark.slow
def test_a_stop_ends_a_run_that_was_just_being_started(
    folder: Path, stuck: dict[str, str], states: Callable[..., list[Any]]
) -> None:
    with serve(folder, **stuck, KNOWN_LATE="3") as served:
        wait_for("run's process", lambda: states("PENDING", "RUNNING") and runs_at_work(folder))
        served.send_signal(signal.SIGTERM)
        assert served.wait(60) == 0
        assert runs_at_work(folder) == []
    assert list((folder / "store/.staging").glob("*")) == []
    assert "Traceback" not in "".join(said(folder))


def runs_at_work(folder: Path) -> list[str]:
    """Return the commands of the processes of runs that `serve` started in a folder."""
    found = processes_with("STUCK_FILE", folder / "stuck")
    return [command for command in found if "-m topicflow" not in command]


def processes_with(variable: str, path: Path) -> list[str]:
    """Return the commands of the processes in whose environment a variable is this path."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if f"{variable}={path}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.slow
def test_without_a_server_one_is_started_serves_and_ends_too(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = PrefectServer(f"http://127.0.0.1:{port}", folder / "home")
    (folder / "serve.toml").write_text(
        f'port = {port}\n[[schedules]]\nname = "yearly"\nconfig = "config.toml"\ncron = "0 5 1 1 *"\n'
    )
    with serve(folder, PREFECT_HOME=str(server.home)) as process:
        wait_for("deployments", lambda: "serving; Ctrl-C or SIGTERM stops" in said(folder) or process.poll())
        assert said(folder)[0] == f"server: {server.address}, started here"
        deployments = {each["name"]: each for each in server.ask("deployments/filter", {})}
        assert set(deployments) == {*map(unscheduled, FLOWS), "yearly"}
        with urllib.request.urlopen(f"{server.address}/ui-settings") as settings:
            assert json.load(settings)["api_url"] == server.url  # the pages ask this server, not port 4200
        (schedule,) = deployments["yearly"]["schedules"]
        assert (schedule["active"], schedule["schedule"]["cron"]) == (True, "0 5 1 1 *")

        run = server.ask(f"deployments/{deployments['yearly']['id']}/create_flow_run", {})
        path = f"flow_runs/{run['id']}"
        wait_for("end of the run", lambda: server.ask(path)["state"]["type"] == "COMPLETED")
        latest = folder / "runs/trial/latest"
        assert (latest / "report.html").exists()
        log = (latest / "run.log").read_text()
        assert "cluster    computed" in log  # as the log of a run from the command line
        logged = server.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})
        assert "cluster    computed" in "".join(line["message"] for line in logged)

        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - began < 20
        assert processes_with("PREFECT_HOME", server.home) == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert said(folder)[-1].startswith("stopped; ")
    assert "Traceback" not in "".join(said(folder))


def test_a_schedule_that_cannot_run_is_one_line(folder: Path) -> None:
    (folder / "config.toml").write_text("[load]\npath = 3\n")
    outcome = run_apart("serve", "serve.toml", cwd=folder)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: schedule often: config.toml: load.path: ")
    assert json.dumps(outcome.err).count("\\n") == 1
