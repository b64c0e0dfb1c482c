"""What a run would fail at is said before its first stage, and by its plan."""

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.commands import Outcome
from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.names import FLOWS
from topicflow.flows.planning.ahead import check_ahead, problems
from topicflow.tasks.errors import ConfigError

find_spec = importlib.util.find_spec


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    pl.DataFrame({"text": ["one", "two", "three"], "stars": ["a", "b", "a"]}).write_parquet(
        tmp_path / "d.parquet"
    )
    (tmp_path / "book.xlsx").write_bytes(b"")
    return tmp_path


def config_of(folder: Path, tiny: Path, flow: str = "topic_model", **sections: Any) -> FlowConfig:
    places = {"store": str(folder / "store"), "runs": str(folder / "runs")}
    values: dict[str, Any] = {
        "load": {"path": str(folder / "d.parquet")}, "embed": {"model": str(tiny)}, "runtime": places,
    }  # fmt: skip
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return FLOWS[flow](**values)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Hide packages, as if they were not installed."""

    def found(name: str, *others: Any) -> ModuleSpec | None:
        return None if name in packages else find_spec(name, *others)

    monkeypatch.setattr("importlib.util.find_spec", found)
    for module in (
        "requirements.loading", "requirements.encoder", "requirements.trainer", "execution.workers",
        "topics.stop_words",
    ):  # fmt: skip
        monkeypatch.setattr(f"topicflow.tasks.{module}.find_spec", found)


def test_a_config_that_fits_has_no_problem(folder: Path, tiny: Path) -> None:
    for flow in FLOWS:
        labelled = {"label_column": "stars"} if flow in {"train_classifier", "tune_embeddings"} else {}
        config = config_of(folder, tiny, flow, load=labelled)
        assert problems(config) == []
        check_ahead(config)


@pytest.mark.parametrize(
    ("stage", "sections", "message"),
    [
        ("count", {"count": {"stop_words": "klingon"}}, "count.stop_words: no list for 'klingon'; available: auto"),
        ("count", {"count": {"stop_words": ["de", "klingon"]}}, "no list for 'klingon'"),
        ("count", {"count": {"stop_words": "auto"}}, "'auto' needs the package py3langid"),
        ("count", {"count": {"token_pattern": "("}}, "count.token_pattern: not a regular expression"),
        ("count", {"count": {"lemmas": ["xx"]}}, "count.lemmas: "),
        ("embed", {"runtime": {"device": "mps"}}, "runtime.device='mps': only Apple's machines have it"),
        ("embed", {"runtime": {"device": "cuda"}}, "runtime.device='cuda': this machine has no NVIDIA GPU"),
        ("embed", {"embed": {"max_seq_length": 4096}}, r"embed.max_seq_length=4096 exceeds the \d+ tokens"),
        ("embed", {"embed": {"model": "no/such-model"}}, "embed: .*no/such-model"),
        ("embed", {"embed": {"precision": "int8"}}, "needs OpenVINO"),
        ("embed", {"embed": {"precision": "int16"}}, "embed.precision='int16': "),
        ("load", {"load": {"path": "book.xlsx"}}, "book.xlsx: needs the package 'fastexcel'"),
        ("load", {"load": {"clean": ["html"]}}, "load.clean: needs the package 'selectolax'"),
        ("runtime", {"runtime": {"engine": "dask"}}, "needs the package prefect-dask"),
        ("cluster", {"load": {"limit": 3}, "cluster": {"min_cluster_size": 5}}, "min_cluster_size=5 exceeds n_docs=3"),
        ("given", {"topics": {"path": "none.toml"}}, "topics.path: "),
        ("pull", {"topics": {"method": "seeded", "path": "none.toml"}}, "topics.path: "),
        ("edit", {"edits": {"path": "none.toml"}}, "edits"),
        ("name", {"names": {"url": "http://127.0.0.1:1/v1", "model": "m", "key_env": "NO_KEY_HERE"}},
         "names.key_env: the environment variable NO_KEY_HERE is not set"),
    ],
)  # fmt: skip
def test_each_problem_is_found_before_any_stage(
    folder: Path,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    sections: dict[str, Any],
    message: str,
) -> None:
    without(monkeypatch, "py3langid", "openvino", "fastexcel", "selectolax", "prefect_dask")
    for section in sections.values():
        if "path" in section:
            section["path"] = str(folder / section["path"])
    config = config_of(folder, tiny, **sections)
    if sections.get("runtime", {}).get("device") == "cuda":  # on a machine with one, too
        monkeypatch.setattr("topicflow.tasks.execution.devices.Path.exists", lambda _path: False)
    (found,) = problems(config)
    assert found.stage == stage
    with pytest.raises(ConfigError, match=message):
        check_ahead(config)


def test_other_flows(folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "accelerate")
    full = config_of(folder, tiny, "tune_embeddings", load={"label_column": "stars"}, tune={"method": "full"})
    (found,) = problems(full)
    assert (found.stage, found.message[:17]) == ("tune", "tune.method='full")
    server = {"url": "http://127.0.0.1:1/v1", "model": "m", "key_env": "NO_KEY_HERE"}
    asked = {"method": "synthetic", "server": server}
    (found,) = problems(config_of(folder, tiny, "tune_embeddings", examples=asked))
    assert (found.stage, found.message[:23]) == ("examples", "examples.server.key_env")
    (found,) = problems(config_of(folder, tiny, "build_index", index={"lemmas": ["xx"]}))
    assert (found.stage, found.message[:14]) == ("index", "index.lemmas: ")
    queried = {"path": None, "query": "select 1", "connection_env": "NO_DATABASE_HERE"}
    for flow in ("build_index", "deduplicate", "update_topics"):
        (found,) = problems(config_of(folder, tiny, flow, load=queried))
        assert "the environment variable NO_DATABASE_HERE is not set" in found.message
    (found,) = problems(config_of(folder, tiny, "update_topics", topics={"path": str(folder / "none.toml")}))
    assert (found.stage, found.message[:13]) == ("given", "topics.path: ")


def test_a_stage_that_is_a_hit_needs_nothing_any_more(
    folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hit:
        stage, is_hit = "count", True

    config = config_of(folder, tiny, count={"stop_words": "klingon"})
    monkeypatch.setattr("topicflow.flows.planning.plan.plan_topic_model", lambda _config: [Hit()])
    check_ahead(config)


def test_a_plan_says_all_that_would_fail(folder: Path, tiny: Path, topicflow: Callable[..., Outcome]) -> None:
    path = folder / "c.toml"
    path.write_text(
        f'[load]\npath = "d.parquet"\n[embed]\nmodel = "{tiny}"\n[count]\nstop_words = "klingon"\n'
        f'[runtime]\nstore = "{folder / "store"}"\nruns = "{folder / "runs"}"\n'
    )
    planned = topicflow("plan", path, "--set", "embed.max_seq_length=9999")
    assert planned.code == 2
    lines = [line for line in planned.out.splitlines() if line.startswith("would fail: ")]
    assert [line.split()[2][:16] for line in lines] == ["embed.max_seq_le", "count.stop_words"]
    refused = topicflow("run", path, "--set", "embed.max_seq_length=9999")
    assert refused.code == 2
    assert [f"would fail: {line.removeprefix('error: ')}" for line in refused.errors] == lines
    assert not (folder / "runs").exists()
    as_json = topicflow("plan", path, "--json").record
    assert [step["stage"] for step in as_json if "would_fail" in step] == ["count"]
    assert topicflow("plan", path, "--set", "count.stop_words=german").code == 0
