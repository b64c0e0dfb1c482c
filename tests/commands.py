"""The command line as tests type it, in this process or in a separate one, and the Prefect server behind it."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tests.fakes import Corpus

QUICK_STAGES = """
[embed]
method = "precomputed"
column = "vector"
[reduce]
method = "pca"
[map]
n_epochs = 5
[cluster]
method = "kmeans"
n_clusters = 3
"""
"""Stages that take the vectors from the documents and need no encoder and no second layout."""


@dataclass(frozen=True)
class Outcome:
    """The result of a command: its exit code and its lines."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of standard error without stage lines and progress, which slow machines show."""
        return [line for line in self.err.splitlines() if not _is_stage_line(line)]

    @property
    def record(self) -> Any:
        """The JSON on standard output."""
        return json.loads(self.out)


def _is_stage_line(line: str) -> bool:
    words = line.split()
    if re.search(r" of [\d,]+ \w+, [\d,]+ per second(, about \S+ \w+ left)?$", line):
        return True
    if words[1:2] == ["running"]:
        return True
    return len(words) == 6 and words[1] in {"computed", "cached"} and words[3] == "rows" and words[5] == "s"


def write_corpus(folder: Path, corpus: Corpus) -> Path:
    """Return a config for a corpus written beside it, with its vectors as a column."""
    table = pl.DataFrame({"text": corpus.texts, "truth": corpus.truth, "vector": corpus.embeddings.tolist()})
    return write_table(folder, table)


def write_table(folder: Path, table: pl.DataFrame, stages: str = QUICK_STAGES) -> Path:
    """Return a config for a table written beside it."""
    table.write_parquet(folder / "documents.parquet")
    return write_config(folder, f'path = "{folder / "documents.parquet"}"', stages)


def write_config(folder: Path, load: str, stages: str = QUICK_STAGES) -> Path:
    """Return a config with the lines of a load section."""
    config = folder / "config.toml"
    places = f'[runtime]\nstore = "{folder / "store"}"\nruns = "{folder / "runs"}"\n'
    config.write_text(f'name = "trial"\n[load]\n{load}\n{stages}\n{places}', encoding="utf-8")
    return config


def run_apart(*arguments: object, cwd: Path, **environment: str) -> Outcome:
    """Return the result of a command in a separate process."""
    done = subprocess.run(
        command(*arguments), cwd=cwd, env=clean_environment(**environment), capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def command(*arguments: object) -> list[str]:
    """Return the words that start the command line."""
    return [sys.executable, "-P", "-m", "topicflow", *map(str, arguments)]  # -P: as the installed script does


def clean_environment(**changes: str) -> dict[str, str]:
    """Return the environment without Prefect's settings and the tests' own, with `changes`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT", "PYTEST", "PYTHONSAFE"))
    }
    return {**kept, **changes}


def all_ready(folder: Path, n: int) -> None:
    """Return when `n` processes have each left a file `ready-<pid>` in a folder, so that a race starts fairly."""
    wait_until = time.monotonic() + 120
    while len(list(folder.glob("ready-*"))) < n:
        assert time.monotonic() < wait_until, f"{n} processes did not start within two minutes"
        time.sleep(0.01)


# --- a server -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PrefectServer:
    """A running server."""

    address: str
    home: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"{self.address}/api"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that uses it."""
        return {"PREFECT_API_URL": self.url, "PREFECT_HOME": str(self.home)}

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        """Return the answer of the API to a GET, or to a POST of `body`; raise AssertionError with a refusal.

        A server whose SQLite file is locked for a moment answers 503, and Prefect's own clients then ask again.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/{path}", data, {"Content-Type": "application/json"}, method=method
        )
        for wait_s in (0.5, 1, 2, 4, 8, 0):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                refusal = f"{error.code}: {error.read().decode()}"
                if error.code != 503:
                    break
                time.sleep(wait_s)
        raise AssertionError(refusal)

    def newest_flow_run(self, name: str) -> Any:
        """Return the flow run of that name that was expected last."""
        wanted = {"flow_runs": {"name": {"any_": [name]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
        (found,) = self.ask("flow_runs/filter", wanted)
        return found

    def task_runs(self, flow_run: Any, at_least: int) -> list[Any]:
        """Return the task runs of a flow run in the order they began; the last arrive a moment after its end."""
        wanted = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}, "limit": 200}
        for _ in range(300):
            found = self.ask("task_runs/filter", wanted)
            if len(found) >= at_least and all(run["end_time"] for run in found):
                break
            time.sleep(0.2)
        return sorted(found, key=lambda run: run["start_time"] or "")


@contextlib.contextmanager
def serving(home: Path, **changes: str) -> Iterator[PrefectServer]:
    """Yield a Prefect server with its UI on a free port with its own home, with `changes` of its settings."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "PREFECT_HOME": str(home),
        "PREFECT_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        **changes,
    }
    start = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            start, env=clean_environment(**settings), stdout=log, stderr=subprocess.STDOUT
        )
    server = PrefectServer(address, home, process)
    try:
        _wait_for(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(server: PrefectServer, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert process.poll() is None, (server.home / "server.log").read_text()
        with contextlib.suppress(OSError):
            if server.ask("health") is True:
                return
        time.sleep(0.2)
    raise AssertionError((server.home / "server.log").read_text())


# --- what a command imports ---

HEAVY = {
    "prefect", "torch", "umap", "hdbscan", "bertopic", "sentence_transformers", "transformers", "sklearn", "scipy",
    "numba", "plotly", "pynndescent", "httpx",
}  # fmt: skip
OTHER_FLOWS = ("sweep", "build_index", "tune_embeddings", "update_topics", "train_classifier")

_COMMAND = """
import atexit, sys
sys.argv = ["topicflow", *{words!r}]
from topicflow.flows.commands.cli import main
atexit.register(lambda: print(sorted({avoided!r} & set(sys.modules))))
main()
"""


def imported_by(words: Sequence[str], folder: Path, avoided: set[str]) -> list[str]:
    """Return the lines that a command prints; the last one has the modules of `avoided` that it has imported."""
    code = _COMMAND.format(words=list(words), avoided=avoided)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder,
        env=clean_environment(PREFECT_HOME=str(folder / "prefect")),
    )  # fmt: skip
    return done.stdout.splitlines()
