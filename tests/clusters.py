"""A Dask scheduler and two worker processes, started as by a team, with a test's code in each worker."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.commands import PrefectServer, clean_environment


@dataclass(frozen=True)
class Cluster:
    """A scheduler and its workers, and the file that these write into."""

    address: str
    workers: list["subprocess.Popen[bytes]"]
    log: Path

    @property
    def lines(self) -> list[list[str]]:
        """The words of each line that the workers have written."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []


@contextlib.contextmanager
def dask_cluster(folder: Path, server: PrefectServer, preload: str) -> Iterator[Cluster]:
    """Yield a cluster whose workers run `preload` first and find in $LOG the name of a file for their lines."""
    (folder / "preload.py").write_text(preload)
    log, file = folder / "log", folder / "scheduler.json"
    environment = clean_environment(**server.environment, LOG=str(log))

    def start(*words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + words[0], "--no-dashboard", *words[1:]],
            cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    place = ("--scheduler-file", str(file))
    running = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *place)]
    try:
        for _ in range(300):
            if file.exists() and file.stat().st_size:
                break
            time.sleep(0.1)
        options = ("--no-nanny", "--nthreads", "1", "--preload", str(folder / "preload.py"))
        running += [start("dask_worker", *options, *place) for _ in range(2)]
        address = json.loads(file.read_text())["address"]
        _wait_for_workers(address, 2)
        yield Cluster(address, running[1:], log)
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()


def _wait_for_workers(address: str, n_workers: int) -> None:
    with dask_client(address) as client:
        client.wait_for_workers(n_workers, timeout=60)


def dask_client(address: str) -> Any:
    """Return a client; ask again if its thread did not start in ten seconds, as on a machine that stood still.

    distributed (2026.8) gives that thread ten seconds and then raises AssertionError.
    """
    import distributed

    for _ in range(2):
        with contextlib.suppress(AssertionError):
            return distributed.Client(address, set_as_default=False)
    return distributed.Client(address, set_as_default=False)
