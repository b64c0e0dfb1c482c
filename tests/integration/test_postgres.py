"""Prefect's server on a real PostgreSQL: a run and its rerun, and a schedule that starts a run."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import PrefectServer, run_apart, serving, write_corpus
from tests.fakes import Corpus
from tests.integration.test_prefect import states_of_scheduled_runs

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [
    pytest.mark.skipif(not BINARIES, reason="needs Debian's package postgresql"),
    pytest.mark.skipif(os.name != "posix", reason="PostgreSQL as another user"),
    pytest.mark.slow,
]


def as_postgres(*words: object) -> list[str]:
    """Return a command that runs as the user postgres if this is root, whom PostgreSQL refuses."""
    plain = [str(word) for word in words]
    return ["runuser", "-u", "postgres", "--", *plain] if os.geteuid() == 0 else plain


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a database in a separate cluster.

    Its folder is not below pytest's: any other pytest that starts closes that to all users but its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    folder.chmod(0o711)
    data, binaries = folder / "data", BINARIES[-1]
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c fsync=off"
    start = (binaries / "pg_ctl", "-D", data, "-o", options, "-l", data / "log", "-w", "start")
    for command in (
        (binaries / "initdb", "-D", data, "-U", "prefect", "--auth=trust", "--no-sync"),
        start,
        (binaries / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "prefect", "prefect"),
    ):
        done = subprocess.run(
            as_postgres(*command), cwd="/", stdout=subprocess.PIPE if command != start else None,
            stderr=subprocess.STDOUT if command != start else None, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout or b"").decode()
    yield f"postgresql+asyncpg://prefect:not-a-secret@127.0.0.1:{port}/prefect"
    subprocess.run(
        as_postgres(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"), cwd="/", check=True
    )
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server on that database."""
    home = tmp_path_factory.mktemp("prefect-on-postgres")
    with serving(home, PREFECT_API_DATABASE_CONNECTION_URL=database) as found:
        yield found
    assert not (home / "prefect.db").exists()


def test_a_run_and_its_rerun(server: PrefectServer, tmp_path: Path, corpus: Corpus) -> None:
    config = write_corpus(tmp_path, corpus)
    for state in ("Completed", "Cached"):
        outcome = run_apart("run", config, cwd=tmp_path, **server.environment)
        assert (outcome.code, outcome.errors) == (0, []), outcome.err
        run = server.newest_flow_run("trial")
        found = [task["state"]["name"] for task in server.task_runs(run, at_least=11)]
        assert (run["state"]["name"], found) == ("Completed", [state] * 10 + ["Completed"])


def test_a_schedule_is_acted_on(server: PrefectServer) -> None:
    assert states_of_scheduled_runs(server) == {"Scheduled"}
