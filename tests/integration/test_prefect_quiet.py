"""The output of a run: stage lines, bars on a terminal, the result; nothing else, with or without a server."""

import http.server
import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import (
    Outcome,
    PrefectServer,
    clean_environment,
    command,
    run_apart,
    write_corpus,
)
from tests.fakes import Corpus

STAGES = ["load", "embed", "neighbors", "reduce", "map", "cluster", "count", "label", "evaluate", "report"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer) -> Path:
    """A Prefect home with a database without runs; test_package.py has a run that makes it, for ten seconds."""
    made = tmp_path_factory.mktemp("temporary")
    with (
        sqlite3.connect(prefect_server.home / "prefect.db") as source,
        sqlite3.connect(made / "prefect.db") as copy,
    ):
        source.backup(copy)
        copy.execute("delete from task_run")
    return made


def stage_lines(outcome: Outcome) -> list[str]:
    """Return the stages that have ended; on a slow machine some lines say before that a stage is running."""
    lines = [line.split() for line in outcome.err.splitlines()]
    return [words[0] for words in lines if words[1] != "running"]


def test_runs_without_a_server(
    tmp_path: Path,
    home: Path,
    corpus: Corpus,
    run_here: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = write_corpus(tmp_path, corpus)
    first = run_apart("run", config, "--json", cwd=tmp_path, PREFECT_HOME=str(home))
    assert (first.code, first.errors, stage_lines(first)) == (0, [], STAGES), first.err
    assert {stage["state"] for stage in first.record["stages"]} == {"computed"}
    log = (tmp_path / "runs/trial/latest/run.log").read_text()
    assert "Finished in state Completed()" in log
    own = [line for line in log.splitlines() if "topicflow: " in line and "  running" not in line]
    assert len(own) == len(STAGES)
    assert "topicflow_details: layout of 132 points by numba" in log

    monkeypatch.setenv("PREFECT_HOME", str(home))
    second = run_here("run", config, "--publish", "--set", "label.top_n_words=5")
    assert (second.code, second.errors, stage_lines(second)) == (0, [], STAGES), second.err
    assert "3 topics in 132 documents" in second.out
    assert second.out.splitlines()[-1].startswith("report: ")
    third = run_here("run", config)
    assert (third.code, third.errors, stage_lines(third)) == (0, [], STAGES)
    ended = [line for line in third.err.splitlines() if line.split()[1] != "running"]
    assert [line.split()[1] for line in ended] == ["cached"] * len(STAGES)
    assert states_kept_in(home) == {
        "Completed": 11
    }  # of the first run; the others continued it without a server


def states_kept_in(home: Path) -> dict[str, int]:
    """Return how many task runs ended in which state, as a server shows them that is started later."""
    with sqlite3.connect(home / "prefect.db") as database:
        return dict(database.execute("select state_name, count(*) from task_run group by state_name"))


@pytest.mark.slow
def test_runs_with_a_server(tmp_path: Path, prefect_server: PrefectServer, corpus: Corpus) -> None:
    config = write_corpus(tmp_path, corpus)
    for state in ("computed", "cached"):
        outcome = run_apart("run", config, "--json", cwd=tmp_path, **prefect_server.environment)
        assert (outcome.code, outcome.errors, stage_lines(outcome)) == (0, [], STAGES), outcome.err
        assert {stage["state"] for stage in outcome.record["stages"]} == {state}
        kept = json.loads((tmp_path / "runs/trial/latest/run.json").read_text())
        assert {name: kept[name] for name in outcome.record} == outcome.record
        assert kept.keys() - outcome.record.keys() == {"format", "digest", "files"}


def test_a_run_that_a_person_watches(tmp_path: Path, prefect_server: PrefectServer, corpus: Corpus) -> None:
    config = write_corpus(tmp_path, corpus)
    ours, theirs = pty.openpty()
    environment = clean_environment(**prefect_server.environment, TERM="xterm", COLUMNS="100")
    process = subprocess.Popen(
        command("run", config), cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the other side is closed
        pass
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] map ", text)  # a stage at work
    printed = [line.split("\r")[-1].split()[:2] for line in text.splitlines()]
    assert [words for words in printed if words and words[0] in STAGES and words[-1] == "computed"] == [
        [stage, "computed"] for stage in STAGES
    ]
    assert "3 topics in 132 documents" in text
    for noise in ("Traceback", "Warning", "prefect"):
        assert noise not in text


# --- servers that fail --------------------------------------------------------------------------------------


def assert_one_line(outcome: Outcome, *parts: str) -> None:
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.errors
    assert line.startswith("error: Prefect")
    for part in parts:
        assert part in line


def test_a_server_that_does_not_answer(tmp_path: Path, corpus: Corpus) -> None:
    config = write_corpus(tmp_path, corpus)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    outcome = run_apart("run", config, cwd=tmp_path, PREFECT_API_URL=url)
    assert_one_line(outcome, f"{url} does not answer", "unset PREFECT_API_URL")


class _OldServer(http.server.BaseHTTPRequestHandler):
    """Answers every question with its version."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'"2.20.0"')

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_a_server_of_another_version(
    tmp_path: Path, corpus: Corpus, run_here: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    config = write_corpus(tmp_path, corpus)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OldServer) as old:
        threading.Thread(target=old.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{old.server_port}/api"
        monkeypatch.setenv("PREFECT_API_URL", url)
        with temporary_settings({PREFECT_API_URL: url}):
            outcome = run_here("run", config)
        old.shutdown()
    assert_one_line(outcome, url, "server: 2.20.0", "upgrade it")


@pytest.mark.slow
def test_a_database_that_is_damaged(tmp_path: Path, corpus: Corpus) -> None:
    config = write_corpus(tmp_path, corpus)
    broken = tmp_path / "home"
    broken.mkdir()
    (broken / "prefect.db").write_bytes(b"no database at all" * 100)
    outcome = run_apart("run", config, cwd=tmp_path, PREFECT_HOME=str(broken))
    assert_one_line(outcome, "file is not a database", "PREFECT_HOME")


@pytest.mark.slow
def test_a_database_by_another_version(tmp_path: Path, home: Path, corpus: Corpus) -> None:
    config = write_corpus(tmp_path, corpus)
    other = tmp_path / "home"
    other.mkdir()
    with sqlite3.connect(home / "prefect.db") as source, sqlite3.connect(other / "prefect.db") as copy:
        source.backup(copy)
        copy.execute("update alembic_version set version_num = 'ffffffffffff'")
    outcome = run_apart("run", config, "--set", "seed=3", cwd=tmp_path, PREFECT_HOME=str(other))
    assert_one_line(outcome, "ffffffffffff", "PREFECT_HOME")


# --- the end of a run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_server", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ctrl_c(
    tmp_path: Path, home: Path, prefect_server: PrefectServer, corpus: Corpus, has_server: bool
) -> None:
    config = write_corpus(tmp_path, corpus)
    environment = prefect_server.environment if has_server else {"PREFECT_HOME": str(home)}
    process = subprocess.Popen(
        command("run", config), cwd=tmp_path, env=clean_environment(**environment), stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line.strip())
        if line.startswith(
            "reduce     computed"
        ):  # the map is being drawn, which takes seconds in a new process
            time.sleep(0.3)
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 130
    assert time.monotonic() - began < 8
    assert lines[-1] == "stopped; the same command continues from here"
    finished = [line.split()[0] for line in lines[:-1] if line.split()[1:2] != ["running"]]
    assert finished == STAGES[: len(finished)]
    assert list((tmp_path / "store").glob(".staging/*")) == []
    assert not (tmp_path / "runs/trial/latest").exists()
    (folder,) = (tmp_path / "runs/trial").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["state"] == "cancelled"
    assert "reduce     computed" in (folder / "run.log").read_text()
    listed = run_apart("runs", cwd=tmp_path).out.splitlines()[-1]
    assert listed.endswith(f"{folder.name} cancelled; the next run continues from its finished stages")


# --- the command itself -------------------------------------------------------------------------------------

HEAVY = (
    "prefect",
    "torch",
    "umap",
    "hdbscan",
    "bertopic",
    "numba",
    "sklearn",
    "sentence_transformers",
    "scipy",
)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["plan", "CONFIG"]])
def test_quick_commands_import_nothing_heavy(tmp_path: Path, corpus: Corpus, arguments: list[str]) -> None:
    config = write_corpus(tmp_path, corpus)
    words = [str(config) if word == "CONFIG" else word for word in arguments]
    code = (
        f"import sys; sys.argv = ['topicflow', *{words!r}]; from topicflow.flows.commands.cli import main\n"
        f"try: main()\nfinally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert done.stdout
    assert time.monotonic() - began < 5  # some tenths of a second on a machine at rest


def test_a_reader_that_stops_reading(tmp_path: Path) -> None:
    words = " ".join(command("config", "explain"))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{words} | head -1"], cwd=tmp_path, env=clean_environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("name: ")
    assert done.stderr == ""
