"""kill -9 in a stage: the same command finishes the job, recomputes no artifact, and has the same result."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.kills import Ending, arguments, complete_artifacts, contents, finish, running
from tests.commands import PrefectServer, clean_environment, command, run_apart, write_corpus
from tests.fakes import Corpus

SLOW_STAGE = """
import sys, threading, time
from topicflow.tasks.store.artifact_store import ArtifactStore

commit = ArtifactStore._commit
def slow(self, recipe, writer, usage):
    if writer.folder.exists() and recipe.kind == KIND and N == len(list(self.root.glob(f"{KIND}/*"))):
        print("in the middle", file=sys.stderr, flush=True)
        time.sleep(600)
    commit(self, recipe, writer, usage)
ArtifactStore._commit = slow
from topicflow.flows.commands.cli import main
main()
"""
"""A run that stops for good when a stage has written its files and not yet made them an artifact."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """A config over documents with vectors."""
    return write_corpus(tmp_path_factory.mktemp("kills"), corpus)


@pytest.fixture(scope="module")
def alone(config: Path, prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Ending:
    """The result of a run without a kill."""
    ending = finish(config, tmp_path_factory.mktemp("alone"), prefect_server.environment)
    assert ending.outcome.code == 0, ending.outcome.err
    return ending


def assert_ends_as(alone: Ending, ending: Ending, recomputed: tuple[str, ...] = ()) -> None:
    assert ending.outcome.code == 0, ending.outcome.err
    assert ending.recomputed == list(recomputed)
    assert ending.n_damaged == 0
    assert ending.artifacts == alone.artifacts


@pytest.mark.parametrize(
    ("kind", "number", "n_complete"),
    [
        ("documents", 0, 0),
        ("sources", 0, 1),
        ("embeddings", 0, 2),
        ("neighbors", 0, 3),
        ("reduced", 0, 4),
        ("reduced", 1, 5),
        ("labels", 0, 6),
        ("counts", 0, 7),
        ("topics", 0, 8),
        ("metrics", 0, 9),
        ("reports", 0, 10),
    ],
)
@pytest.mark.slow
def test_a_kill_between_writing_and_committing(
    config: Path,
    alone: Ending,
    prefect_server: PrefectServer,
    tmp_path: Path,
    kind: str,
    number: int,
    n_complete: int,
) -> None:
    kill_in(config, prefect_server, tmp_path, kind, number)
    assert len(complete_artifacts(tmp_path / "store")) == n_complete
    assert list((tmp_path / "store/.staging").iterdir())  # what gc removes
    # load is complete with its source record: without it the input is read again, to the same documents
    again = ("load",) if kind == "sources" else ()
    assert_ends_as(alone, finish(config, tmp_path, prefect_server.environment), again)


@pytest.mark.parametrize(("kind", "number", "n_complete"), [("labels", 0, 6)])
def test_a_kill_in_a_stage(
    config: Path,
    alone: Ending,
    prefect_server: PrefectServer,
    tmp_path: Path,
    kind: str,
    number: int,
    n_complete: int,
) -> None:
    kill_in(config, prefect_server, tmp_path, kind, number)
    assert len(complete_artifacts(tmp_path / "store")) == n_complete
    assert_ends_as(alone, finish(config, tmp_path, prefect_server.environment))


def kill_in(config: Path, server: PrefectServer, folder: Path, kind: str, number: int) -> None:
    code = SLOW_STAGE.replace("KIND", repr(kind)).replace("N ==", f"{number} ==")
    code = f"import sys; sys.argv = ['topicflow', *{arguments(config, folder)!r}]\n{code}"
    process = subprocess.Popen(
        [command()[0], "-c", code], cwd=folder, env=clean_environment(**server.environment),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("in the middle"):
            break
        assert not line.startswith("error"), line
    process.kill()
    assert process.wait() == -9


def _wait_for(lines: Iterator[str], stage: str) -> None:
    assert any(line.startswith(stage) for line in lines)


def test_a_killed_run_takes_its_temporary_server_with_it(config: Path, tmp_path: Path) -> None:
    with running(config, tmp_path, {"PREFECT_HOME": str(tmp_path / "home")}) as process:
        assert process.stderr is not None
        _wait_for(process.stderr, "load")
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


def test_two_runs_at_once(config: Path, alone: Ending, prefect_server: PrefectServer, tmp_path: Path) -> None:
    with running(config, tmp_path, prefect_server.environment) as other:
        mine = run_apart(*arguments(config, tmp_path), cwd=tmp_path, **prefect_server.environment)
        _, said = other.communicate(timeout=120)
    assert (mine.code, other.returncode) == (0, 0), said
    assert [line for line in mine.errors if "another run is making it" not in line] == []
    assert contents(tmp_path / "store") == alone.artifacts
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs/trial").glob("2*/run.json")]
    assert len(records) == 2
    computed = [s["stage"] for record in records for s in record["stages"] if s["state"] == "computed"]
    assert sorted(computed) == sorted(s["stage"] for s in records[0]["stages"])  # each by one of both
    assert list((tmp_path / "store/.staging").iterdir()) == []
