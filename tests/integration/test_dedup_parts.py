"""Parts of a search for duplicates: kill -9 loses only the current part, and workers give the same bits as threads."""

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.campaigns.states import contents
from tests.clusters import Cluster
from tests.commands import Outcome, PrefectServer, clean_environment, command, write_table
from tests.fakes import Corpus
from topicflow.tasks.store.artifact_store import ArtifactStore

Topicflow = Callable[..., Outcome]

SMALL_PARTS = {
    "topicflow.tasks.duplicates.similar_vectors.SIGNED_ROWS": 40,
    "topicflow.tasks.duplicates.similar_vectors.TABLES_A_PART": 3,
    "topicflow.tasks.duplicates.similar_texts.SHINGLED_ROWS": 40,
    "topicflow.tasks.duplicates.similar_texts.BANDS_A_PART": 8,
}
"""Four parts of signatures, four of shingles, four of tables and four of bands for 140 documents."""

PRELOAD = f"""
import importlib, os, sys, time
from topicflow.tasks.store.artifact_store import ArtifactStore

for name, value in {SMALL_PARTS}.items():
    module, _, constant = name.rpartition(".")
    setattr(importlib.import_module(module), constant, value)

ArtifactStore.real_commit = getattr(ArtifactStore, "real_commit", ArtifactStore._commit)  # Dask may load this twice
stop, begun = os.environ.get("STOP"), []
def told(self, recipe, writer, usage):
    begun.append(f"{{recipe.stage}} {{recipe.kind}}")
    if begun.count(stop) == 2:
        print("in the middle", file=sys.stderr, flush=True)
        time.sleep(600)
    self.real_commit(recipe, writer, usage)
    with open(os.environ["LOG"], "a") as file:
        file.write(f"{{os.getpid()}} {{recipe.stage}} {{recipe.kind}} {{writer.key}}\\n")
    time.sleep(0 if "STOP" in os.environ else 0.15)
ArtifactStore._commit = told
"""
"""A process that works in small parts and writes down what it commits: one to be killed, which stops for good at the
second of a kind, or a worker, which leaves some to the other."""

SECTIONS = """
[embed]
method = "precomputed"
column = "vector"
[deduplicate]
method = "both"
search = "lsh"
recall = 0.999
shingle_words = 2
jaccard_threshold = 0.4
jaccard_floor = 0.3
"""


@pytest.fixture
def preload() -> str:
    """The code that the workers of `cluster` run first."""
    return PRELOAD


@pytest.fixture
def config(tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config that searches small parts by both methods; this process works in small parts as well."""
    for name, value in SMALL_PARTS.items():
        monkeypatch.setattr(name, value)
    texts = [*corpus.texts, *(f"{text} again" for text in corpus.texts[:8])]
    vectors = [*corpus.embeddings.tolist(), *corpus.embeddings[:8].tolist()]
    return write_table(tmp_path, pl.DataFrame({"text": texts, "vector": vectors}), SECTIONS)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stage, kind and key of every part that this process commits."""
    commit, parts = ArtifactStore._commit, []

    def told(self: ArtifactStore, recipe: Any, writer: Any, usage: Any) -> None:
        commit(self, recipe, writer, usage)
        parts.extend([f"{recipe.stage} {recipe.kind} {writer.key}"] if recipe.kind.endswith("-parts") else [])

    monkeypatch.setattr(ArtifactStore, "_commit", told)
    return parts


def words(config: Path, store: str) -> list[object]:
    return ["dedup", config, "--store", config.parent / store, "--set", "runtime.device=cpu", "--json"]


def keys(outcome: Outcome) -> list[str]:
    assert outcome.code == 0, outcome.err
    return [stage["key"] for stage in outcome.record["stages"]]


def kill_at_second(what: str, config: Path, server: PrefectServer) -> list[str]:
    """Kill a run with SIGKILL at the second part of a kind; return its finished parts, as in `made`."""
    log = config.parent / "committed"
    log.write_text("")
    code = f"import sys; sys.argv = ['topicflow', *{[str(word) for word in words(config, 'store')]!r}]\n{PRELOAD}"
    process = subprocess.Popen(
        [command()[0], "-c", f"{code}\nfrom topicflow.flows.commands.cli import main\nmain()"],
        env=clean_environment(**server.environment, LOG=str(log), STOP=what),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("in the middle"):
            break
    process.kill()
    assert process.wait() == -9, said
    lines = [line.partition(" ")[2] for line in log.read_text().splitlines()]
    return [line for line in lines if line.split()[1].endswith("-parts")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stops",
    [
        ("similar_vectors pair-parts", "similar_texts shingle-parts"),
        pytest.param(("similar_vectors signature-parts", "similar_texts pair-parts"), marks=pytest.mark.slow),
    ],
)
def test_a_kill_loses_only_the_current_part(
    config: Path, topicflow: Topicflow, prefect_server: PrefectServer, made: list[str], stops: tuple[str, str]
) -> None:
    alone = keys(topicflow(*words(config, "alone")))
    parts = sorted(made)
    kinds = {
        "similar_vectors signature-parts",
        "similar_vectors pair-parts",
        "similar_texts shingle-parts",
        "similar_texts pair-parts",
    }
    assert Counter(part.rpartition(" ")[0] for part in parts) == dict.fromkeys(kinds, 4)
    made.clear()
    left = [kill_at_second(stop, config, prefect_server) for stop in stops]
    for stop, run in zip(stops, left, strict=True):
        assert sum(part.startswith(stop) for part in run) == 1
    assert keys(topicflow(*words(config, "store"))) == alone
    assert sorted([*made, *left[0], *left[1]]) == parts  # each once, by one of three runs
    assert contents(config.parent / "store") == contents(config.parent / "alone")


@pytest.mark.slow
def test_two_workers_make_the_artifacts_of_threads_bit_for_bit(
    config: Path, cluster: Cluster, served: Topicflow, made: list[str]
) -> None:
    alone = keys(served(*words(config, "alone")))
    parts = sorted(made)
    made.clear()
    engine = ["--set", "runtime.engine=dask", "--set", f'runtime.address="{cluster.address}"']
    assert keys(served(*words(config, "store"), *engine)) == alone
    assert made == []
    assert sorted(" ".join(line[1:]) for line in cluster.lines) == parts
    assert {int(line[0]) for line in cluster.lines} == {worker.pid for worker in cluster.workers}
    assert contents(config.parent / "store") == contents(config.parent / "alone")
