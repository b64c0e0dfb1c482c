"""Runs that are refused leave nothing; runs that fail leave one record with their true begin and seconds."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.commands import QUICK_STAGES, Outcome, write_corpus
from tests.fakes import Corpus

Topicflow = Callable[..., Outcome]


@pytest.fixture
def config(tmp_path: Path, corpus: Corpus) -> Path:
    return write_corpus(tmp_path, corpus)


def of(config: Path, sections: str) -> Path:
    """Return a config of another flow, with the same name and documents."""
    other = config.with_name("other.toml")
    head, _, tail = config.read_text().partition(QUICK_STAGES)
    other.write_text(f'{head}\n[embed]\nmethod = "precomputed"\ncolumn = "vector"\n{sections}\n{tail}')
    return other


def left(folder: Path) -> list[str]:
    """Return every file in the folder of runs."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_another_flow_with_the_same_name_is_refused_and_leaves_nothing(
    topicflow: Topicflow, config: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    assert topicflow("run", config).code == 0
    before = left(runs)
    refused = topicflow("dedup", of(config, ""))
    assert (refused.code, refused.errors) == (
        2,
        [f"error: {runs / 'trial'} contains runs of topic_model; give this config another name"],
    )
    assert left(runs) == before
    again = topicflow("run", config, "--json", "--set", "cluster.n_clusters=2")
    assert (again.code, again.record["n_topics"]) == (0, 2), again.err


@pytest.mark.parametrize(
    ("command", "sections", "said"),
    [
        ("index", '[index]\ntopics = "nothing"', "index.topics: no run nothing"),
        ("index", 'adapter = "nothing"', "embed.adapter: no run nothing"),
        (
            "classify",
            '[labels]\nrun = "nothing"\ntopics = "x.csv"\n[setfit]\nenabled = false',
            "labels.run: no run nothing",
        ),
    ],
)
def test_a_mistyped_run_leaves_nothing(
    topicflow: Topicflow, config: Path, tmp_path: Path, command: str, sections: str, said: str
) -> None:
    refused = topicflow(command, of(config, sections))
    assert refused.code == 2, refused.err
    assert refused.errors[-1].startswith(f"error: {said}")
    assert left(tmp_path / "runs") == []


def test_a_failed_run_leaves_one_record_with_its_begin_and_its_seconds(
    topicflow: Topicflow, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took_s = 0.5
    before = time.time()

    def slow_failure(*_arguments: Any) -> None:
        time.sleep(took_s)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("topicflow.tasks.store.artifact_store.file_digest", slow_failure)
    failed = topicflow("run", config, "--set", "runtime.retries=0")
    assert failed.code == 1
    (path,) = (tmp_path / "runs/trial").glob("2*/run.json")
    record = json.loads(path.read_text())
    assert record["state"] == "failed"
    assert record["seconds"] >= took_s
    began = datetime.fromisoformat(record["created"]).timestamp()
    assert before - 1 <= began <= time.time() - took_s
    assert f"{record['seconds']:.1f}" in topicflow("runs", "--runs", tmp_path / "runs").out
    prom = (tmp_path / "runs/metrics.prom").read_text()
    assert f'topicflow_run_seconds{{flow="topic_model",name="trial"}} {record["seconds"]}' in prom


def test_unreadable_records_are_reported_and_the_others_listed(
    topicflow: Topicflow, config: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    first = topicflow("run", config, "--json").record["run_id"]
    second = topicflow("run", config, "--json", "--publish", "--set", "cluster.n_clusters=2").record["run_id"]
    path = runs / "trial" / second / "run.json"
    path.write_bytes(path.read_bytes()[:200])
    listed = topicflow("runs", "--runs", runs)
    assert (listed.code, first in listed.out, second in listed.out) == (0, True, False)
    (line,) = listed.errors
    assert line.startswith(f"warning: runs: {path} cannot be read (not valid JSON")
    for words in (("show", "trial"), ("compare", "trial", first)):
        stopped = topicflow(*words, "--runs", runs)
        assert (stopped.code, stopped.out) == (1, "")
        assert stopped.errors[0].startswith(f"error: runs: {path} cannot be read")
    assert topicflow("show", first, "--runs", runs).code == 0
    kept = sorted(each.name for each in (tmp_path / "store").glob("*/*"))
    for words in (("--min-age-hours", 0), ("--min-age-hours", 0, "--keep-runs", 1)):
        stopped = topicflow("store", "gc", "--runs", runs, "--store", tmp_path / "store", *words)
        assert (stopped.code, stopped.out) == (1, "")
    assert sorted(each.name for each in (tmp_path / "store").glob("*/*")) == kept
    stopped = topicflow("run", config)
    assert stopped.errors[-1].startswith(f"error: runs: {path} cannot be read")
