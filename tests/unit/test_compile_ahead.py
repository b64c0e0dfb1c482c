"""Kernels are compiled ahead: by a process that ends with the run, and for exactly what the run needs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tests.pages import ROOT
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.read import load_config
from topicflow.flows.running import compile_ahead
from topicflow.flows.running.compile_ahead import _compile, _practice, _write_documents, compiling_ahead
from topicflow.tasks.runs.history import list_runs

CONFIG = TopicModelConfig(load={"path": "a.csv"})


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The processes that are started, on a machine of two cores where nothing is compiled."""
    processes: list[Any] = []

    def start(*words: Any, **named: Any) -> Any:
        processes.append(subprocess.Popen(*words, **named))
        return processes[-1]

    names = {name: getattr(subprocess, name) for name in ("PIPE", "DEVNULL")}
    monkeypatch.setattr(
        compile_ahead, "subprocess", type("Watched", (), {**names, "Popen": staticmethod(start)})
    )
    monkeypatch.setattr(compile_ahead, "is_compiled", lambda _: False)
    monkeypatch.setattr(compile_ahead, "n_cores", lambda: 2)
    yield processes
    for process in processes:
        process.kill()


def test_a_process_compiles_during_the_run_and_ends_with_it(started: list[Any]) -> None:
    def run() -> Path:
        with compiling_ahead(CONFIG):
            folder = Path(started[0].args[-1]).parent
            assert started[0].poll() is None
            assert load_config(folder / "config.toml").embed.method == "precomputed"
        return folder

    folder = run()
    (process,) = started
    assert process.poll() is not None
    assert not folder.exists()


def test_it_ends_with_a_run_that_is_killed(started: list[Any]) -> None:
    with compiling_ahead(CONFIG):
        started[0].stdin.close()  # as the end of the run's process does
        assert started[0].wait(60) == 0
        assert not Path(started[0].args[-1]).parent.exists()


@pytest.mark.parametrize("lacking", ["cores", "kernels", "threads"])
def test_nothing_is_started_where_it_would_not_pay(
    started: list[Any], monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    config = CONFIG
    if lacking == "cores":
        monkeypatch.setattr(compile_ahead, "n_cores", lambda: 1)
    elif lacking == "kernels":
        monkeypatch.setattr(compile_ahead, "is_compiled", lambda _: True)
    else:
        config = TopicModelConfig(load={"path": "a.csv"}, runtime={"engine": "dask"})
    with compiling_ahead(config):
        assert started == []


def test_the_stages_run_with_the_configs_own_values(tmp_path: Path) -> None:
    given = TopicModelConfig(
        load={"path": "a.csv"}, cluster={"min_cluster_size": 30}, label={"top_n_words": 7}, name="mine"
    )
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(_practice(given, tmp_path)))
    _write_documents(tmp_path / "documents.parquet")
    practice = load_config(path)
    assert (practice.cluster, practice.label) == (given.cluster, given.label)
    _compile(practice)
    (record,) = list_runs(tmp_path / "runs")
    assert (record["n_documents"], record["n_topics"]) == (603, 6)


@pytest.mark.parametrize(
    "name", ["draft", "gpu", "multilingual", "newsgroups", "production", "update_topics"]
)
def test_each_config_has_a_practice(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    model = UpdateTopicsConfig if name == "update_topics" else TopicModelConfig
    config = load_config(ROOT / f"configs/{name}.toml", model=model)
    assert TopicModelConfig.model_validate(_practice(config, tmp_path)).count == config.count


def test_one_that_fails_leaves_the_run_alone(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_ahead, "sys", type("Other", (), {"executable": "/bin/false"}))
    with compiling_ahead(CONFIG):
        assert started[0].wait(30) != 0
