"""Direct runs: which runs start no Prefect server, and that a plain call gives what Prefect's task gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.commands import HEAVY, OTHER_FLOWS, imported_by, write_corpus
from tests.fakes import planted_corpus
from topicflow.configs.flows.names import FLOWS
from topicflow.configs.read import dump_config, parse_config
from topicflow.flows.running import start
from topicflow.flows.running.direct import directly, is_direct, needs_no_server
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.runs.history import seal_of
from topicflow.tasks.store.artifact_store import ArtifactRef


def config_of(folder: Path, flow: str = "topic_model", **changes: Any) -> Any:
    values: dict[str, Any] = {
        "name": "reviews",
        "load": {"path": str(folder / "reviews.csv"), "text_column": "text"},
        "runtime": {"store": str(folder / "store"), "runs": str(folder / "runs")},
    }
    for section, keys in changes.items():
        values[section] = {**values.get(section, {}), **keys} if isinstance(keys, dict) else keys
    return parse_config(values, FLOWS[flow], "test")


def leave_run(folder: Path, config: Any, **values: Any) -> None:
    """Write the record of a completed run of a config."""
    run_id = "20260101-000000-aaaaaaaa"
    record = {"run_id": run_id, "name": config.name, "flow": config.flow, "state": "completed",
              "config": dump_config(config), "stages": [], "metrics": {}, **values}  # fmt: skip
    path = folder / "runs" / config.name / run_id / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**record, **seal_of(record)}))


def test_the_first_run_of_a_corpus_has_a_server(tmp_path: Path) -> None:
    assert not needs_no_server(config_of(tmp_path))


@pytest.mark.parametrize(
    ("flow", "changes"),
    [
        ("topic_model", {"label": {"top_n_words": 12}}),
        ("topic_model", {"load": {"path": "/elsewhere/more.csv"}}),  # the next run of this name
        ("build_index", {"name": "search"}),  # the same documents
        ("update_topics", {"name": "daily"}),
    ],
)
def test_a_run_that_continues_an_earlier_one_has_none(
    flow: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    leave_run(tmp_path, config_of(tmp_path))
    assert needs_no_server(config_of(tmp_path, flow, **changes))


@pytest.mark.parametrize(
    ("flow", "changes"),
    [
        ("topic_model", {"embed": {"model": "LaBSE"}}),
        ("topic_model", {"name": "other", "load": {"path": "/elsewhere/more.csv"}}),
        ("topic_model", {"load": {"path": "https://example.org/more.csv"}}),
        ("topic_model", {"runtime": {"engine": "dask", "address": "tcp://example:8786"}}),
        ("topic_model", {"runtime": {"engine": "dask"}}),  # the run starts the cluster
        ("update_topics", {"gates": {"webhook_block": "chat"}}),
        ("train_classifier", {"load": {"label_column": "label"}}),
    ],
)
def test_a_run_that_prefect_helps_has_a_server(flow: str, changes: dict[str, Any], tmp_path: Path) -> None:
    leave_run(tmp_path, config_of(tmp_path))
    assert not needs_no_server(config_of(tmp_path, flow, **changes))


def test_a_failed_run_has_embedded_nothing(tmp_path: Path) -> None:
    leave_run(tmp_path, config_of(tmp_path), state="failed", error="no")
    assert not needs_no_server(config_of(tmp_path))


def test_a_damaged_record_of_another_series_keeps_no_run_from_starting(tmp_path: Path) -> None:
    leave_run(tmp_path, config_of(tmp_path, name="abc"))
    leave_run(tmp_path, config_of(tmp_path))
    (damaged,) = tmp_path.glob("runs/abc/*/run.json")
    damaged.write_text("{")
    assert needs_no_server(config_of(tmp_path))


def test_a_stage_is_a_function_and_a_task_whose_state_says_that_nothing_was_computed() -> None:
    @stage("cluster", retries=2)
    def found(cached: bool) -> ArtifactRef:
        """Return labels."""
        return ArtifactRef("labels", "k", "cluster", cached=cached)

    assert (found.name, found.task.name, found.task.retries, found.task.description) == (
        "cluster", "cluster", 2, "Return labels.",
    )  # fmt: skip
    assert found.named("against").task.name == "against"
    state: Any = found.task.fn(True)
    assert (state.name, state.data, state.data.cached) == ("Cached", found.fn(True), True)
    assert not found.task.fn(False).cached


def test_stages_are_called_directly_inside_the_block_only() -> None:
    assert not is_direct()
    with directly():
        assert is_direct()
    assert not is_direct()


def test_an_index_of_embedded_documents_starts_no_server(tmp_path: Path) -> None:
    write_corpus(tmp_path, planted_corpus())
    load = {"path": str(tmp_path / "documents.parquet"), "text_column": "text"}
    index = config_of(tmp_path, "build_index", name="search", load=load)
    leave_run(tmp_path, config_of(tmp_path, load=load))
    server = mock.Mock(side_effect=AssertionError("a server was started"))
    with mock.patch.object(start, "server_is_configured", return_value=False):
        record = start.start_flow(index, None, server)
    assert [stage["state"] for stage in record["stages"]] == ["computed"] * 3
    assert (tmp_path / "runs/search/latest/run.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "model.toml", "--set", "label.top_n_words=5"),
        ("index", "search.toml"),
        ("update", "daily.toml"),
        ("dedup", "copies.toml"),
    ],
)
def test_a_run_that_continues_another_imports_no_prefect(words: tuple[str, ...], tmp_path: Path) -> None:
    write_corpus(tmp_path, planted_corpus())
    load = {"path": str(tmp_path / "documents.parquet"), "text_column": "text"}
    embed = {"method": "precomputed", "column": "vector"}
    configs = {
        "model": config_of(tmp_path, load=load, embed=embed),
        "search": config_of(tmp_path, "build_index", name="search", load=load, embed=embed),
        "daily": config_of(tmp_path, "update_topics", name="daily", load=load, embed=embed),
        "copies": config_of(tmp_path, "deduplicate", name="copies", load=load, embed=embed),
    }
    for name, config in configs.items():
        (tmp_path / f"{name}.toml").write_text(dump_config(config), encoding="utf-8")
    leave_run(tmp_path, configs["model"])  # so that no server is needed
    assert imported_by([*words, "--json"], tmp_path, {"prefect"})[-1] == "[]"


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = """
import sys
def loaded(*names):
    return sorted(set(names) & set(sys.modules))
import topicflow.flows.commands.cli
print(loaded("numpy", "polars", "prefect", "torch"))
import topicflow.flows.running.start, topicflow.tasks.publish.topic_folder  # a run of hits needs no more
print(loaded("prefect", "torch", "numba", "scipy", "sklearn", "httpx"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_a_run_of_hits_imports_no_heavy_library_and_no_other_flow(tmp_path: Path) -> None:
    write_corpus(tmp_path, planted_corpus())
    config = config_of(tmp_path, load={"path": str(tmp_path / "documents.parquet"), "text_column": "text"})
    leave_run(tmp_path, config)  # so that no server is needed
    with mock.patch.object(start, "server_is_configured", return_value=False):
        start.start_flow(config)
    path = tmp_path / "hits.toml"
    path.write_text(dump_config(config), encoding="utf-8")
    others = {f"topicflow.configs.flows.{flow}" for flow in OTHER_FLOWS}
    others |= {f"topicflow.flows.running.{module}" for module in ("compile_ahead", "server")}
    shown = imported_by(["run", str(path), "--json"], tmp_path, HEAVY | others)
    assert json.loads("".join(shown[:-1]))["n_documents"] == 132
    assert {stage["state"] for stage in json.loads("".join(shown[:-1]))["stages"]} == {"cached"}
    assert shown[-1] == "[]"
