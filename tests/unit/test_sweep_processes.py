"""Processes of a sweep: how many there are, what a process remembers, and what a dead one is reported as."""

import os
import signal

import numpy as np
import pytest

from tests.fakes import save
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.memo import MOST, remembered, remembering
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.sweeps import processes
from topicflow.tasks.sweeps.processes import PROCESS_BYTES, n_processes_for
from topicflow.tasks.topics import neighbors as stage
from topicflow.tasks.topics.neighbors import find_neighbors

GIB = 1 << 30


@pytest.mark.parametrize(
    ("rows", "units", "cores", "free", "wanted", "n"),
    [
        (20_000, 60, 8, 64 * GIB, None, 8),
        (20_000, 60, 8, 4 * GIB, None, 4),  # what memory has place for
        (20_000, 60, 8, None, None, 8),  # unknown memory
        (20_000, 9, 8, 64 * GIB, None, 3),  # what is worth its start
        (500, 60, 8, 64 * GIB, None, 1),
        (500, 60, 8, 64 * GIB, 5, 5),  # runtime.n_workers
        (20_000, 1, 8, 64 * GIB, 5, 1),
        (20_000, 60, 8, PROCESS_BYTES // 2, None, 1),
    ],
)
def test_there_are_as_many_processes_as_cores_memory_and_work_allow(
    store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    units: int,
    cores: int,
    free: int | None,
    wanted: int | None,
    n: int,
) -> None:
    monkeypatch.setattr(processes, "n_cores", lambda: cores)
    monkeypatch.setattr(processes, "available_bytes", lambda: free)
    embeddings = save(store, "embeddings", {"embeddings": np.zeros((rows, 2), np.float32)})
    context = Context(store, runtime=RuntimeConfig(n_workers=wanted))
    assert n_processes_for(context, embeddings, units) == n
    assert processes.threads_of(context, 4) == cores // 4
    assert processes.threads_of(context, 1) is None


def test_a_graph_is_computed_once_while_results_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    exact = stage.exact_neighbors
    monkeypatch.setattr(stage, "exact_neighbors", lambda *args: calls.append(1) or exact(*args))
    points = np.eye(8, dtype=np.float32)
    config, runtime = NeighborsConfig(n_neighbors=3), RuntimeConfig()
    with remembering():
        graphs = [find_neighbors(each, config, 0, runtime) for each in (points, points.copy(), points[::-1])]
    assert len(calls) == 2
    assert graphs[0].indices.tolist() == graphs[1].indices.tolist()
    find_neighbors(points, config, 0, runtime)
    assert len(calls) == 3  # a stage outside a sweep remembers nothing


def test_the_last_results_are_kept() -> None:
    made: list[int] = []

    def made_by(number: int) -> int:
        return remembered(lambda: number, lambda: made.append(number) or number * 10)

    with remembering():
        assert [made_by(number) for number in (*range(MOST), 0, MOST, 0, 1)] == [
            *(10 * number for number in range(MOST)), 0, 10 * MOST, 0, 10,
        ]  # fmt: skip
    assert made == [*range(MOST), MOST, 1]  # 0 was used in between, 1 was not


def test_a_process_that_dies_is_one_line() -> None:
    common = {"runtime": RuntimeConfig(n_threads=1).model_dump(mode="json")}
    with processes._started(common) as process:
        os.kill(process.process.pid, signal.SIGKILL)
        with pytest.raises(
            StageError, match=r"^sweep: a process that fits settings was killed by signal 9 .*"
        ):
            process.ask({"settings": []})
