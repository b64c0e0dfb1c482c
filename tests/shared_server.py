"""One Prefect server for all processes of a test run: the first that needs it starts it, the last one stops it."""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.commands import PrefectServer, start_server, wait_for


@contextlib.contextmanager
def shared_server(folder: Path) -> Iterator[PrefectServer]:
    """Yield the server of all processes that name this folder.

    A start costs ten processor seconds; the processes that find a server that is starting wait for it.
    """
    folder.mkdir(exist_ok=True)
    home, place = folder / "home", folder / "server.json"
    started = None
    with _alone(folder):
        if place.exists():
            known = json.loads(place.read_text())
        else:
            started = start_server(home)
            assert started.process is not None
            try:
                wait_for(started)
            except AssertionError:
                started.process.kill()
                raise
            known = {"address": started.address, "pid": started.process.pid, "users": 0}
        place.write_text(json.dumps({**known, "users": known["users"] + 1}))
    try:
        yield PrefectServer(known["address"], home)
    finally:
        with _alone(folder):
            known = json.loads(place.read_text())
            if known["users"] == 1:
                place.unlink()
                os.kill(known["pid"], signal.SIGTERM)
            else:
                place.write_text(json.dumps({**known, "users": known["users"] - 1}))
        if started is not None and started.process is not None and known["users"] == 1:
            started.process.wait(20)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is inside such a block of the folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
