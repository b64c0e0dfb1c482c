"""Search servers for tests: an index with topics and odd values, and `topicflow serve --search` as a real process."""

import contextlib
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from tests.commands import clean_environment, command
from tests.fakes import tiny_model
from tests.indexes import build, documents_table
from tests.unit.test_index_topics import topic_run
from topicflow.tasks.search.index import SearchIndex

N = 60
TABLE = documents_table(N).with_columns(
    price=pl.Series([row / 4 if row % 3 else float("nan") for row in range(N)]),
    created=pl.Series([date(2010 + row % 5, 1 + row % 12, 1) for row in range(N)]),
)


def index_with_topics(folder: Path) -> SearchIndex:
    """Return the index `search` in folder/runs, of 60 texts by a small model, with three topics."""
    topic_run(folder / "runs", TABLE["id"].to_list())
    model = tiny_model(folder / "model", max_seq_length=32)
    table = TABLE.drop("vector")
    return build(folder, table, {"model": str(model), "precision": "float32"}, topics="topics")


@dataclass
class RunningServer:
    """A server that is at work."""

    address: str
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rpartition(":")[2])

    def post(self, path: str, headers: dict[str, str] | None = None, **values: Any) -> httpx.Response:
        """Return the answer to a POST of JSON."""
        return httpx.post(f"{self.address}/{path}", json=values, headers=headers, timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Return the exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextlib.contextmanager
def search_server(folder: Path, *arguments: object, **environment: str) -> Iterator[RunningServer]:
    """Yield a server of folder/runs at a free port, or at the one that `arguments` name."""
    words = [*arguments] if "--port" in arguments else [*arguments, "--port", 0]
    process = subprocess.Popen(
        command("serve", "--search", "--runs", folder / "runs", *words), cwd=folder, text=True,
        env=clean_environment(**environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    server = RunningServer("", process)
    serving = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            server.lines.append(line.rstrip("\n"))
            if found := re.search(r"HTTP: (http://\S+?), ", line):
                server.address = found[1]
            if "serving;" in line:
                serving.set()
        serving.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert serving.wait(120), server.lines
        assert server.address, server.lines
        yield server
    finally:
        process.kill()
        process.wait(30)
        reader.join(10)
