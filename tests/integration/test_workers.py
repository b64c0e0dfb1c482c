"""Chunks on a real Dask scheduler with two worker processes: the same bits as threads; a worker that is killed."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import polars as pl
import pytest

from tests.clusters import Cluster, dask_client
from tests.commands import Outcome, PrefectServer, write_table
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding import embed as stage
from topicflow.tasks.errors import ConfigError, StageError
from topicflow.tasks.execution import workers as module
from topicflow.tasks.execution.workers import map_chunks, started
from topicflow.tasks.store.artifact_store import ArtifactStore, open_store
from topicflow.tasks.topics import count_parts as tally
from topicflow.tasks.topics import nearest_fitted as lookup

TEXTS = [f"w{i} x{i * 7}" + " more" * (i % 9) for i in range(150)] + ["w1 x7 more", "w2 x14 more more"]

CUT = (
    "note: 114 of 152 documents are longer than the 16 tokens that the encoder reads; the rest of them is not in the "
    "vectors. To use all of the text, set load.split to model passages."
)
"""What a run says of the texts that the tiny model does not read to their end."""

CROWD = (
    "note: One topic holds 53% of all documents. If you expected more topics, raise cluster.n_clusters (now 3); if the "
    "documents are about one thing, this is the right answer."
)

PARTS = {"embed-chunks": 15, "neighbors-parts": 4, "count-parts": 4}
"""Task runs below the stages of the config: 150 distinct texts by 10, 152 documents by 50."""

PRELOAD = """
import os, time
from pathlib import Path
from topicflow.tasks.encoding.encoders import SentenceTransformersEncoder

encode = getattr(SentenceTransformersEncoder, "whole", SentenceTransformersEncoder.encode)  # Dask may load this twice
SentenceTransformersEncoder.whole = encode
def slow(self, texts):
    with open(os.environ["LOG"], "a") as file:
        file.write(f"{os.getpid()} {id(self)} {len(texts)}\\n")
    time.sleep(0.15)
    return self.whole(texts)
SentenceTransformersEncoder.encode = slow
"""
"""A worker that takes its time over each chunk and writes down who embeds how much."""


@pytest.fixture
def preload() -> str:
    """The code that the workers of `cluster` run first."""
    return PRELOAD


def encoded(cluster: Cluster) -> list[tuple[int, int, int]]:
    """Return process, model and number of texts of each chunk that the workers have embedded."""
    return [(int(process), int(model), int(n)) for process, model, n in cluster.lines]


@pytest.fixture
def config(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config that embeds 150 distinct texts in 15 chunks, in two parts; fits 100, assigns and counts in four."""
    monkeypatch.setitem(stage.CHUNK_TEXTS, "cpu", 10)
    monkeypatch.setattr(stage.text_parts, "__defaults__", (100,))
    for shared in (lookup, tally):
        monkeypatch.setattr(shared, "PART_ROWS", 50)
    stages = f'[embed]\nmodel = "{tiny}"\n[neighbors]\nfit_limit = 100\n[reduce]\nmethod = "pca"\n[map]\nn_epochs = 5\n'
    stages += "[count]\nngram_range = [1, 2]\nmax_features = 40\n"
    stages += '[cluster]\nmethod = "kmeans"\nn_clusters = 3\n'
    return write_table(tmp_path, pl.DataFrame({"text": TEXTS}), stages)


def digests(store: ArtifactStore) -> dict[tuple[str, str, str], str]:
    """Return the digest of every file of every artifact."""
    return {
        (entry.kind, entry.key, name): file["blake2b"]
        for entry in store.entries()
        for name, file in store.manifest(entry.kind, entry.key)["files"].items()
    }


def on_dask(config: Path, address: str, store: str) -> list[object]:
    """Return the words of a run on a cluster."""
    engine = (
        "--set",
        "runtime.engine=dask",
        "--set",
        f'runtime.address="{address}"',
        "--set",
        "runtime.device=cpu",
    )
    return ["run", config, "--store", config.parent / store, *engine, "--json"]


@pytest.mark.slow
def test_the_same_artifacts_as_on_threads_bit_for_bit(
    config: Path, cluster: Cluster, served: Callable[..., Outcome], prefect_server: PrefectServer
) -> None:
    here = served("run", config, "--json")
    there = served(*on_dask(config, cluster.address, "shared"))
    assert (here.code, there.code) == (0, 0), here.err + there.err
    assert [line for line in there.errors if "documents," not in line] == [CUT, CROWD]  # except progress
    assert digests(ArtifactStore(config.parent / "shared")) == digests(ArtifactStore(config.parent / "store"))
    chunks = encoded(cluster)
    assert [n for _, _, n in chunks] == [10] * 15
    assert {process for process, _, _ in chunks} == {worker.pid for worker in cluster.workers}
    assert len({(process, model) for process, model, _ in chunks}) == 2  # each loaded its model once
    shown = prefect_server.task_runs(prefect_server.newest_flow_run("trial"), at_least=33)
    parts = Counter(run["name"].rsplit("-", 1)[0] for run in shown)
    assert {name: parts[name] for name in PARTS} == PARTS


def test_a_killed_worker_loses_only_its_own_chunks(
    config: Path, cluster: Cluster, served: Callable[..., Outcome]
) -> None:
    victim = cluster.workers[0]

    def kill() -> None:
        while sum(process == victim.pid for process, _, _ in encoded(cluster)) < 3:
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    there = served(*on_dask(config, cluster.address, "shared"))
    killer.join(10)
    assert there.code == 0, there.err
    assert victim.wait(10) == -signal.SIGKILL
    done = encoded(cluster)  # again: its unfinished chunk, and vectors that the flow had not fetched yet
    again = sum(n for _, _, n in done) - 150
    assert 0 <= again <= sum(n for process, _, n in done if process == victim.pid)
    here = served("run", config, "--json")
    assert digests(ArtifactStore(config.parent / "shared")) == digests(ArtifactStore(config.parent / "store"))
    keys = [[stage["key"] for stage in run.record["stages"]] for run in (here, there)]
    assert keys[0] == keys[1]


@pytest.mark.slow
def test_workers_and_flow_meet_in_a_bucket(
    config: Path, s3: Any, cluster: Cluster, served: Callable[..., Outcome]
) -> None:
    s3.create_bucket(Bucket="artifacts")
    words = on_dask(config, cluster.address, "unused")
    words[words.index("--store") + 1] = "s3://artifacts/store"
    there = served(*words, "--set", f"runtime.cache={config.parent / 'cache'}")
    here = served("run", config, "--json")
    assert (here.code, there.code) == (0, 0), here.err + there.err
    runtime = RuntimeConfig(store="s3://artifacts/store", cache=str(config.parent / "another cache"))
    assert digests(open_store(runtime)) == digests(ArtifactStore(config.parent / "store"))
    assert sum(n for _, _, n in encoded(cluster)) == 150


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_cluster_of_this_machine_is_started_and_stopped(
    config: Path, served: Callable[..., Outcome], engine: str
) -> None:
    pytest.importorskip(f"prefect_{engine}", reason="ray is 70 MB and not among the packages of the tests")
    words = (
        "--set",
        f"runtime.engine={engine}",
        "--set",
        "runtime.n_workers=1",
        "--set",
        "runtime.device=cpu",
    )
    there = served("run", config, "--store", config.parent / "shared", *words, "--json")
    assert there.code == 0, there.err
    assert [line for line in there.errors if "documents," not in line] == [CUT, CROWD]  # except progress
    assert served("run", config, "--json").code == 0
    assert digests(ArtifactStore(config.parent / "shared")) == digests(ArtifactStore(config.parent / "store"))


def add_one(number: int) -> int:
    return number + 1


def test_a_worker_of_ray_has_the_threads_of_the_config() -> None:
    ray = pytest.importorskip("ray", reason="ray is 70 MB and not among the packages of the tests")
    with started(RuntimeConfig(engine="ray", n_workers=1, n_threads=3, device="cpu")):
        assert ray.get(ray.remote(lambda: os.environ["OMP_NUM_THREADS"]).remote()) == "3"


@pytest.mark.parametrize(
    ("n_threads", "n_workers", "expected"), [(3, 1, "3"), (None, 2, "4"), (None, 9, "1")]
)
def test_a_worker_on_this_machine_has_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, n_threads: int | None, n_workers: int, expected: str
) -> None:
    monkeypatch.setattr(module, "n_cores", lambda: 8)
    found = module._threads(RuntimeConfig(n_threads=n_threads), n_workers)
    assert found == dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), expected)


def test_on_threads_chunks_are_mapped_here() -> None:
    with started(RuntimeConfig()) as runtime:
        assert list(map_chunks("add", add_one, range(4), runtime)) == [1, 2, 3, 4]


def test_many_chunks_are_few_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = []

    class Runner:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, _task: object, parameters: dict[str, object]) -> object:
            submitted.append(parameters["chunks"])
            done = module._each(**parameters)  # type: ignore[arg-type]
            return type("Future", (), {"result": lambda _, timeout: done})()

    monkeypatch.setattr(module, "_runner", lambda _: Runner())
    runtime = RuntimeConfig(engine="dask", address="tcp://x:1", device="cpu")
    assert list(map_chunks("add", add_one, range(1000), runtime)) == list(range(1, 1001))
    assert (len(submitted), {len(chunks) for chunks in submitted}) == (250, {4})
    assert list(map_chunks("add", add_one, [], runtime)) == []


# --- errors ---


def test_a_ray_cluster_that_is_not_there_is_one_line() -> None:
    pytest.importorskip("prefect_ray", reason="ray is 70 MB and not among the packages of the tests")
    with (
        pytest.raises(StageError, match=r"^runtime.address: no Ray cluster answers at 127.0.0.1:9 \([^\n]*$"),
        started(RuntimeConfig(engine="ray", address="127.0.0.1:9")),
    ):
        pass


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as error, started(RuntimeConfig(engine=engine)):
        pass
    assert str(error.value) == (
        f"runtime.engine='{engine}' needs the package prefect-{engine}; pip install 'topicflow[{engine}]'"
    )


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "tcp://no.such.host.invalid:1"])
def test_an_address_where_nobody_answers_is_one_line(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 1)
    with pytest.raises(StageError) as error, started(RuntimeConfig(engine="dask", address=address)):
        pass
    said = str(error.value)
    assert said.startswith(f"runtime.address: no Dask scheduler answers at {address} (")
    assert "\n" not in said


def test_a_client_whose_thread_did_not_start_in_time_is_asked_for_once_more(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    real, asked = distributed.Client, []

    def late(*args: object, **options: object) -> object:
        asked.append(args)
        if len(asked) == 1:
            raise AssertionError
        return real(*args, **options)

    monkeypatch.setattr(distributed, "Client", late)
    with started(RuntimeConfig(engine="dask", address=cluster.address)) as runtime:
        assert runtime.address == cluster.address
    assert len(asked) == 2


def without_workers(address: str) -> None:
    """Return when the scheduler has noticed that it has no workers."""
    wait_until = time.monotonic() + 60
    with dask_client(address) as client:
        while client.scheduler_info(n_workers=-1)["workers"]:
            assert time.monotonic() < wait_until, "the scheduler still counts workers that were killed"
            time.sleep(0.1)


def test_a_cluster_without_workers_is_one_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORKERS_S", 1)
    for worker in cluster.workers:
        worker.kill()
        worker.wait()
    without_workers(cluster.address)
    with (
        pytest.raises(StageError, match=r"has no worker after 1 s; start workers$"),
        started(RuntimeConfig(engine="dask", address=cluster.address)),
    ):
        pass


def test_a_cluster_that_lost_all_its_workers_is_one_line(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORKERS_S", 1)
    runtime = RuntimeConfig(engine="dask", address=cluster.address)
    with dask_client(cluster.address) as client:
        assert module._awaited(client.submit(abs, -2), "add", runtime) == 2
        for worker in cluster.workers:
            worker.kill()
            worker.wait()
        without_workers(cluster.address)
        with pytest.raises(
            StageError, match=r"^add: the cluster at \S+ has had no worker for 1 s; start workers"
        ):
            module._awaited(client.submit(abs, -3), "add", runtime)


@pytest.mark.slow
def test_a_worker_with_another_model_says_so(
    config: Path, cluster: Cluster, served: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from topicflow.tasks.encoding.encoder_files import find_encoder

    monkeypatch.setattr(stage, "find_encoder", lambda *given: replace(find_encoder(*given), key="f" * 32))
    there = served(*on_dask(config, cluster.address, "shared"))
    assert there.code == 1
    assert "embed: a worker found" in there.err
    assert "the flow has ffffffffffff" in there.err
