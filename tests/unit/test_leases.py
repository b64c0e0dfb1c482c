"""Leases: a run that finds nothing makes it, the others wait for it; a failed or killed run frees its lease."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.commands import clean_environment
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.store import leases
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.store.artifacts import ArtifactRef, Recipe

RECIPE = Recipe(stage="cluster", kind="labels", version=1, config={"n": 1})
OTHER = Recipe(stage="reduce", kind="reduced", version=1, config={"n": 2})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "POLL_S", 0.01)


@pytest.fixture
def asked_again(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that returns after a waiting thread has asked for its lease twice more."""
    asked = threading.Semaphore(0)

    def sleep(seconds: float) -> None:
        asked.release()
        time.sleep(seconds)

    def twice_more() -> None:
        while asked.acquire(blocking=False):
            pass
        assert all(asked.acquire(timeout=20) for _ in range(3))  # one may have begun before

    monkeypatch.setattr(leases, "time", SimpleNamespace(sleep=sleep))
    return twice_more


def make(store: ArtifactStore, recipe: Recipe = RECIPE, seconds: float = 0.0) -> tuple[ArtifactRef, bool]:
    """Return the artifact and whether it was made here, like every stage."""
    if found := store.find(recipe):
        return found, False
    with store.writing(recipe) as writer:
        time.sleep(seconds)
        writer.save_array("labels", np.arange(3))
        writer.rows = 3
    return store.committed(recipe, writer), True


def at_once(n: int, function: Callable[[], Any]) -> list[Any]:
    """Return the results of a function in n threads that start together."""
    results: list[Any] = []
    gate = threading.Barrier(n)

    def one() -> None:
        gate.wait()
        results.append(function())

    threads = [threading.Thread(target=one) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results


@pytest.mark.parametrize("n", [2, 8])
def test_only_one_of_several_runs_computes(store: ArtifactStore, n: int) -> None:
    results = at_once(n, lambda: make(ArtifactStore(store.root), seconds=0.2))
    assert sorted(made for _, made in results) == [False] * (n - 1) + [True]
    assert len({ref.key for ref, _ in results}) == 1
    assert [ref.cached for ref, made in results if not made] == [True] * (n - 1)
    assert list((store.root / ".leases").iterdir()) == []


def test_a_run_waits_for_another_ones_artifact_and_a_plan_does_not(
    store: ArtifactStore, asked_again: Callable[[], None]
) -> None:
    assert store.find(RECIPE) is None  # this thread is to make it
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(store.find(RECIPE)))
    waiting.start()
    began = time.monotonic()
    at_once(1, lambda: answers.append(store.find(RECIPE, claim=False)))
    assert (answers, time.monotonic() - began < 1) == ([None], True)
    at_once(1, lambda: make(store, OTHER))  # another artifact
    asked_again()
    assert waiting.is_alive()
    made, _ = make(store)
    waiting.join(5)
    assert answers == [None, made]


def test_a_stage_that_fails_frees_its_lease(store: ArtifactStore) -> None:
    assert store.find(RECIPE) is None
    with pytest.raises(ZeroDivisionError), store.writing(RECIPE):
        _ = 1 / 0
    assert at_once(1, lambda: make(store)[1]) == [True]


def test_an_unused_claim_is_released_at_the_next(store: ArtifactStore) -> None:
    """A stage that fails before it writes has no lease afterwards, so that no two wait for each other."""
    assert store.find(RECIPE) is None
    assert store.find(OTHER) is None
    assert at_once(1, lambda: make(store)[1]) == [True]
    make(store, OTHER)


def test_a_writer_never_waits(store: ArtifactStore) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        assert store.find(OTHER) is None
        held.set()
        done.wait(20)
        make(store, OTHER)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(20)
    assert store.find(RECIPE) is None
    with store.writing(RECIPE) as writer:
        assert make(store, OTHER)[1]  # though another has the lease
        writer.rows = 0
    done.set()
    other.join(20)
    assert at_once(1, lambda: make(store, OTHER)[1]) == [False]


HOLDER = """
import sys, time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.artifact_store import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
recipe = Recipe(stage="cluster", kind="labels", version=1, config={"n": 1})
assert store.find(recipe) is None
with store.writing(recipe) as writer:
    print("at work", flush=True)
    time.sleep(600)
"""


def test_a_killed_holder_frees_it(store: ArtifactStore, asked_again: Callable[[], None]) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.root)], env=clean_environment(), stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"at work\n"
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(make(store)[1]))
    waiting.start()
    asked_again()
    assert waiting.is_alive()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    waiting.join(10)
    assert answers == [True]


def test_a_long_wait_is_logged_once(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(leases, "SAY_AFTER_S", 0.05)
    monkeypatch.setattr(leases.LOG, "info", lambda line, *values: said.append(line % values))
    at_once(2, lambda: make(store, seconds=0.4))
    assert said == [f"labels/{RECIPE.key[:12]}: another run is making it; waiting for that"]


def test_a_place_without_locks_computes(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    assert make(store)[1]
    assert not make(store)[1]


def test_gc_clears_old_lock_files_but_none_that_is_held(store: ArtifactStore, tmp_path: Path) -> None:
    assert store.find(RECIPE) is None
    left = store.root / ".leases" / "labels-left"
    left.write_bytes(b"")
    assert len(list(left.parent.iterdir())) == 2
    collect_garbage(store, [tmp_path], 0.0)
    assert [path.name for path in left.parent.iterdir()] == [f"labels-{RECIPE.key}"]
    make(store)
