"""Temporary server: Prefect's API for one run if no server is configured; it ends with the run.

A Python session keeps one for all of its runs, because a start takes seconds; that server ends with the process.

Prefect can start a temporary server too. This one starts while the stages are imported, writes nothing to the terminal,
says why it did not start (Prefect's own never gives up on a database that it cannot read), and also ends if the run is
killed: it waits for the end of its standard input.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator

from topicflow.flows.running.modules import SAFE_PATH, in_empty_folder
from topicflow.tasks.errors import StageError

SERVER_SETTINGS = {
    "PREFECT_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # takes 2 to 3 s; a server that is started later does it
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",  # one run needs no automations
}

ONLY_ERRORS = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}

START_S = 120.0
"""Seconds until the server must answer; the first start on a PREFECT_HOME makes its database (10 to 30 s)."""

STOP_S = 10.0
"""Seconds until the server must have ended; then it is killed."""


class TemporaryServer:
    """The process of a server; `url` is the address at which it answers once it has started."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
            self._output = tempfile.TemporaryFile()  # noqa: SIM115  (closed in stop)
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "topicflow.flows.running.server", str(listening.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=[listening.fileno()],
                env={**SERVER_SETTINGS, SAFE_PATH: "1", **os.environ, **ONLY_ERRORS},
                start_new_session=True,  # Ctrl-C must reach only the run, which ends the server after its last report
            )

    def wait(self) -> None:
        """Return when the server answers.

        Raises
        ------
        StageError
            When it ended instead, or gave no answer in time; the message has its last line.
        """
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(f"{self.url}/health", timeout=START_S).close()
        except OSError:
            self.stop()
            msg = (
                f"Prefect's temporary server did not start ({self._said}); choose another PREFECT_HOME, or start "
                "a server and name it in PREFECT_API_URL"
            )
            raise StageError(msg) from None

    @property
    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the server and wait for it."""
        if self._process.stdin is None or self._process.stdin.closed:
            return
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.seek(0)
        self._said = _reason(self._output.read().decode(errors="replace"))
        self._output.close()


@contextlib.contextmanager
def temporary_server() -> Iterator[TemporaryServer]:
    """Yield a server that is starting, and end it after the block."""
    server = TemporaryServer()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def kept_server() -> Iterator[TemporaryServer]:
    """Yield the server that this process keeps until it ends; start it if there is none, or if it has ended."""
    server = _kept.get(os.getpid())  # a forked child cannot end its parent's server
    if server is None or not server.is_running:
        _kept[os.getpid()] = server = TemporaryServer()
        atexit.register(server.stop)
    yield server


_kept: dict[int, TemporaryServer] = {}
"""The server of this process, by the process's id."""


def _reason(output: str) -> str:
    """Return the message of the last exception in a server's output."""
    raised = re.findall(r"^[\w.]+(?:Error|Exception|Exit): (.+)$", output, re.MULTILINE)
    return raised[-1].removeprefix("(sqlite3.").replace(")", ":", 1) if raised else "no answer"


def _end_with_input() -> None:
    """Ask this process to end when its standard input ends: its parent has closed it or has ended."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve Prefect's API on the listening socket; its file number is the first argument."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    with in_empty_folder():
        import uvicorn
        from prefect.server.api.server import create_app

        app = create_app(ephemeral=True, final=True)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
