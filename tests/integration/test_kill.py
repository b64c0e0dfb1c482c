"""kill -9: a slice of the campaign over all flows, the temporary server of a killed run, two runs at once."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.campaigns.kill_cases import CASES, KillCase
from tests.campaigns.kills import Campaign
from tests.campaigns.states import contents
from tests.commands import PrefectServer, clean_environment, command, run_apart, write_corpus
from tests.fakes import Corpus
from tests.forked_commands import ForkedCommands, forked_commands


@pytest.fixture(scope="module")
def commands(
    prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForkedCommands]:
    """A process that forks commands."""
    with forked_commands(tmp_path_factory.mktemp("said"), **prefect_server.environment) as process:
        yield process


SLICE = {"topic_model"}
"""Flows in the suite; the others are in `make test-slow`."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.flow, marks=[] if case.flow in SLICE else pytest.mark.slow)
        for case in CASES
    ],
)
def test_a_slice_of_the_campaign(case: KillCase, commands: ForkedCommands, tmp_path: Path) -> None:
    found = Campaign(case, tmp_path, commands).try_kill(seed=0, number=0)
    assert found.faults == {}, found.moment


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """A config over documents with vectors."""
    return write_corpus(tmp_path_factory.mktemp("kills"), corpus)


def arguments(config: Path, folder: Path) -> list[str]:
    """Return the words of the command that runs a config on a store in `folder`."""
    return ["run", str(config), "--store", str(folder / "store"), "--runs", str(folder / "runs"), "--json"]


@contextmanager
def running(config: Path, folder: Path, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Yield a run in a separate process, which is killed at the end of the block."""
    process = subprocess.Popen(
        command(*arguments(config, folder)), cwd=folder, env=clean_environment(**environment),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_killed_run_takes_its_temporary_server_with_it(config: Path, tmp_path: Path) -> None:
    with running(config, tmp_path, {"PREFECT_HOME": str(tmp_path / "home")}) as process:
        assert process.stderr is not None
        assert any(line.startswith("load") for line in process.stderr)
        (server,) = _children(process.pid)
    for _ in range(100):
        if not Path(f"/proc/{server}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{server}").exists()


def _children(pid: int) -> list[int]:
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc on this system")
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
def test_two_runs_at_once(config: Path, prefect_server: PrefectServer, tmp_path: Path) -> None:
    here, alone = tmp_path / "both", tmp_path / "alone"
    here.mkdir()
    with running(config, here, prefect_server.environment) as other:
        mine = run_apart(*arguments(config, here), cwd=here, **prefect_server.environment)
        _, said = other.communicate(timeout=120)
    assert (mine.code, other.returncode) == (0, 0), said
    assert [line for line in mine.errors if "another run is making it" not in line] == []
    assert run_apart(*arguments(config, alone), cwd=tmp_path, **prefect_server.environment).code == 0
    assert contents(here / "store") == contents(alone / "store")
    records = [json.loads(path.read_text()) for path in (here / "runs/trial").glob("2*/run.json")]
    assert len(records) == 2
    computed = [s["stage"] for record in records for s in record["stages"] if s["state"] == "computed"]
    assert sorted(computed) == sorted(s["stage"] for s in records[0]["stages"])  # each by one of both
    assert list((here / "store/.staging").iterdir()) == []
