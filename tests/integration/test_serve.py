"""`topicflow serve` as a process of its own: schedules, runs that overtake, a cancel, a stop."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.flows import FLOWS
from tests.commands import PrefectServer, clean_environment, command, run_apart, write_corpus
from tests.fakes import Corpus

STUCK = """
import os, pathlib, time
if kind := os.environ.get("STUCK_IN"):
    from tasks.folder import LocalFolder
    commit = LocalFolder.commit
    def stuck(self, staging, found, key, manifest):
        if found == kind:
            pathlib.Path(os.environ["STUCK_FILE"]).write_text(str(os.getpid()))
            time.sleep(600)
        commit(self, staging, found, key, manifest)
    LocalFolder.commit = stuck
"""
"""A process with this as its sitecustomize stays in a thread that nothing can stop, with an artifact half written."""


@pytest.fixture
def folder(tmp_path: Path, corpus: Corpus) -> Path:
    """A config, a schedule of it every five seconds, and what makes its runs stay in a stage."""
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


@pytest.fixture
def served(folder: Path, prefect_server: PrefectServer) -> Iterator["subprocess.Popen[str]"]:
    """The command at work; its lines go to serve.log."""
    environment = clean_environment(
        **prefect_server.environment, STUCK_IN="labels", STUCK_FILE=str(folder / "stuck")
    )
    environment["PYTHONPATH"] = f"{folder}{os.pathsep}{environment['PYTHONPATH']}"
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command("serve", "serve.toml"), cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def test_schedules_overlaps_a_cancel_and_a_stop(
    served: "subprocess.Popen[str]", folder: Path, prefect_server: PrefectServer
) -> None:
    def states(*wanted: str) -> list[Any]:
        asked = {
            "deployments": {"name": {"any_": ["often"]}},
            "flow_runs": {"state": {"type": {"any_": wanted}}},
        }
        return list(prefect_server.ask("flow_runs/filter", asked))

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
    assert list((folder / "store/.staging").iterdir()) == []
    kept = run_apart("store", "verify", cwd=folder)
    assert (kept.code, kept.out) == (0, "6 artifacts read, 0 damaged\n")

    served.send_signal(signal.SIGTERM)
    assert served.wait(60) == 0
    assert list((folder / "store/.staging").iterdir()) == []
    lines = [line.split("  ", 1)[-1] for line in (folder / "serve.log").read_text().splitlines()]
    assert lines[: len(FLOWS) + 4] == [
        f"server: {prefect_server.url}",
        *(f"{flow}/served: from the UI" for flow in FLOWS),
        "topic_model/often: every 5 s, overlapping runs skipped",
        "clean_store/retention: cron 0 5 * * * (UTC), overlapping runs skipped",
        "serving; Ctrl-C or SIGTERM stops",
    ]
    assert "topic_model/often trial: Running" in lines
    assert any(line.endswith(": skipped, the run before is at work") for line in lines)
    assert (
        lines[-1] == "stopped; runs that were at work go on from what they finished when they are run again"
    )
    assert "Traceback" not in "".join(lines)
    deployment = prefect_server.ask("deployments/name/topic_model/often")
    assert deployment["paused"]  # nothing piles up while nobody serves


def test_a_schedule_that_cannot_run_is_one_line(folder: Path) -> None:
    (folder / "config.toml").write_text("[load]\npath = 3\n")
    outcome = run_apart("serve", "serve.toml", cwd=folder)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: schedule often: config.toml: load.path: ")
    assert json.dumps(outcome.err).count("\\n") == 1
