"""The flow in a real Prefect server: states, artifacts, refusals, schema, deployments."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.commands import Outcome, PrefectServer, clean_environment, write_corpus, write_table
from tests.fakes import Corpus
from topicflow.flows.topic_model import topic_model

Topicflow = Callable[..., Outcome]
STAGES = ["load", "embed", "neighbors", "reduce", "map", "cluster", "count", "label", "evaluate", "report"]


def task_states(server: PrefectServer, flow_run: Any) -> dict[str, str]:
    """Return the name of each task run's state, in the order they began."""
    found = server.task_runs(flow_run, at_least=len(STAGES) + 1)
    return {run["name"].rsplit("-", 1)[0]: run["state"]["name"] for run in found}


def artifacts(server: PrefectServer, flow_run: Any) -> dict[str, Any]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run["id"]]}}, "limit": 50}
    return {artifact["key"]: artifact for artifact in server.ask("artifacts/filter", wanted)}


def test_a_run_and_its_rerun(
    served: Topicflow, prefect_server: PrefectServer, tmp_path: Path, corpus: Corpus
) -> None:
    config = write_corpus(tmp_path, corpus)
    config.write_text(config.read_text().replace('"trial"', '"rerun"'))
    assert served("run", config).errors == []
    first = prefect_server.newest_flow_run("rerun")
    assert first["state"]["name"] == "Completed"
    assert task_states(prefect_server, first) == dict.fromkeys([*STAGES, "publish"], "Completed")

    assert served("run", config).errors == []
    second = prefect_server.newest_flow_run("rerun")
    assert second["id"] != first["id"]
    assert task_states(prefect_server, second) == {**dict.fromkeys(STAGES, "Cached"), "publish": "Completed"}
    assert second["parameters"]["config"]["name"] == "rerun"


def test_what_a_run_leaves_in_the_ui(
    served: Topicflow, prefect_server: PrefectServer, tmp_path: Path, corpus: Corpus
) -> None:
    config = write_corpus(tmp_path, corpus)
    config.write_text(config.read_text().replace('"trial"', '"shown"'))
    record = served("run", config, "--json").record
    left = artifacts(prefect_server, prefect_server.newest_flow_run("shown"))
    assert set(left) == {"shown-topics", "shown-metrics", "shown-config", "shown-report"}
    topics = pl.read_json(left["shown-topics"]["data"].encode())
    assert topics["size"].to_list() == [
        count for _, count in sorted(zip(topics["topic"], topics["size"], strict=True))
    ]
    assert topics["size"].sum() == record["n_documents"]
    assert "outlier_share" in left["shown-metrics"]["data"]
    assert "n_clusters = 3" in left["shown-config"]["data"]
    folder = (tmp_path / "runs/shown" / record["run_id"]).resolve()
    report = left["shown-report"]["data"].splitlines()
    assert report[0] == "# 3 topics in 132 documents"
    assert f"| 0 | {topics['size'][0]} |" in "".join(report)
    assert str(folder / "report.html") in report  # a page of the browser cannot open a file: it has the head


def test_progress_on_embedding_shows(
    served: Topicflow,
    prefect_server: PrefectServer,
    tmp_path: Path,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("topicflow.tasks.execution.progress._SEND_EVERY_S", 0.0)
    monkeypatch.setattr("topicflow.tasks.encoding.embed.CHUNK_TEXTS", {"cpu": 10})
    rows = pl.DataFrame({"text": [f"word {i} of many" for i in range(40)]})
    stages = (
        f'[embed]\nmodel = "{tiny}"\n[reduce]\nmethod = "pca"\n[cluster]\nmethod = "kmeans"\nn_clusters = 2'
    )
    config = write_table(tmp_path, rows, stages)
    config.write_text(config.read_text().replace('"trial"', '"progress"'))
    outcome = served("run", config)
    assert outcome.code == 0, outcome.err
    left = artifacts(prefect_server, prefect_server.newest_flow_run("progress"))
    progress = left["embed-progress"]
    assert (progress["type"], float(progress["data"])) == ("progress", 100.0)
    assert progress["description"] == "embed: 40 documents"


def test_a_failed_run(served: Topicflow, prefect_server: PrefectServer, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"text": ["red tea"] * 20, "vector": rng.normal(size=(20, 4)).tolist()})
    config = write_table(tmp_path, rows)
    config.write_text(config.read_text().replace('"trial"', '"fails"'))
    outcome = served("run", config, "--set", "cluster.n_clusters=50")
    failed = prefect_server.newest_flow_run("fails")
    assert failed["state"]["name"] == "Failed"
    message = "cluster: n_clusters=50 exceeds n_docs=20; set it to 20 or less"
    assert outcome.errors == [f"error: {message}"]
    assert message in failed["state"]["message"]


def test_only_load_is_tried_again() -> None:
    from topicflow.tasks.documents import load
    from topicflow.tasks.encoding import embed
    from topicflow.tasks.publish.topic_model import publish
    from topicflow.tasks.report import report
    from topicflow.tasks.topics import cluster, count, evaluate, label, neighbors, reduce

    modules = (load, embed, neighbors, reduce, cluster, count, label, evaluate, report)
    names = [module.__name__.rpartition(".")[2] for module in modules]
    tried = {name: getattr(module, name).task.retries for name, module in zip(names, modules, strict=True)}
    assert publish.task.retries == 0
    assert [stage for stage, retries in tried.items() if retries] == ["load"]


def test_a_schedule_is_acted_on(prefect_server: PrefectServer) -> None:
    """Its scheduler inserts no run, and says nothing, with an sqlalchemy that it does not know."""
    assert states_of_scheduled_runs(prefect_server) == {"Scheduled"}


def states_of_scheduled_runs(server: PrefectServer) -> set[str]:
    """Return the states of the runs that a server plans for a new schedule; empty if there are none in a minute."""
    flow = server.ask("flows/", {"name": topic_model.name})
    schedule = {"schedule": {"interval": 3600, "timezone": "UTC"}, "active": True}
    body = {"name": "hourly", "flow_id": flow["id"], "schedules": [schedule]}
    deployment = server.ask("deployments/", body)
    wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    for _ in range(300):
        if planned := server.ask("flow_runs/filter", wanted):
            return {run["state"]["name"] for run in planned}
        time.sleep(0.2)
    return set()


# --- parameters ---------------------------------------------------------------------------------------------


def test_the_form_has_tabs_and_descriptions() -> None:
    schema = topic_model.parameters.model_dump()
    definitions = schema["definitions"]
    config = definitions["TopicModelConfig"]["properties"]
    for section, methods in (
        ("cluster", ["graph", "hdbscan", "kmeans", "classes"]),
        ("reduce", ["diffusion", "parallel_umap", "umap", "pca", "none"]),
        ("embed", ["sentence-transformers", "static", "api", "precomputed", "images"]),
    ):
        variants = config[section]["anyOf"]
        assert [variant["title"] for variant in variants] == methods
        assert "oneOf" not in config[section]
        for variant in variants:
            assert variant["description"]
            assert all(p.get("description") for n, p in variant["properties"].items() if n != "method")
    for name, definition in definitions.items():
        assert definition.get("description"), name


@pytest.fixture(scope="module")
def form(prefect_server: PrefectServer) -> str:
    """The id of a deployment that has the flow's form, without `prefect deploy`, which takes ten seconds."""
    flow = prefect_server.ask("flows/", {"name": topic_model.name})
    schema = topic_model.parameters.model_dump_for_openapi()
    asked = {"name": "form", "flow_id": flow["id"], "parameter_openapi_schema": schema}
    return str(prefect_server.ask("deployments/", {**asked, "enforce_parameter_schema": True})["id"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cluster": {"method": "hdbscan", "min_cluster_size": 1}}, "config.cluster.min_cluster_size"),
        ({"cluster": {"min_samples": 0}}, "config.cluster.min_samples"),
        ({"reduce": {"method": "pca", "n_components": 1}}, "config.reduce.n_components"),
        ({"cluster": {"method": "hdbscan", "min_clustersize": 5}}, "min_clustersize"),
        ({"seed": "many"}, "seed"),
        ({"load": {"path": "x.csv", "limit": 0}}, "limit"),
    ],
)
def test_the_api_refuses_bad_parameters(
    prefect_server: PrefectServer, form: str, change: dict[str, Any], named: str
) -> None:
    parameters = {"config": {"load": {"path": "x.csv"}, **change}}
    with pytest.raises(AssertionError) as refused:
        prefect_server.ask(f"deployments/{form}/create_flow_run", {"parameters": parameters})
    assert str(refused.value).startswith(("409", "422"))
    assert named in str(refused.value)


def deployed_config(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Return the parameters of a run with relative paths, after writing its documents into `folder`."""
    rows = pl.DataFrame({"text": corpus.texts, "vector": corpus.embeddings.tolist()})
    rows.write_parquet(folder / "documents.parquet")
    return {
        "name": "deployed", "load": {"path": "documents.parquet"},
        "embed": {"method": "precomputed", "column": "vector"}, "reduce": {"method": "pca"},
        "cluster": {"method": "kmeans", "n_clusters": 3}, "map": {"n_epochs": 5},
    }  # fmt: skip


def run_by_worker(server: PrefectServer, deployment: str, config: Any, cwd: Path, **changes: str) -> str:
    """Return the state of a deployed run, and its message, with a worker that is started for it in `cwd`."""
    run = server.ask(f"deployments/{deployment}/create_flow_run", {"parameters": {"config": config}})
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "topicflow", "--run-once"],
        cwd=cwd, env=clean_environment(**server.environment, **changes), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        return _final_state(server, run["id"])
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.communicate(timeout=60)


@pytest.mark.slow
def test_a_deployed_run_keeps_its_results_where_it_was_deployed(
    prefect_server: PrefectServer, deployment: str, deployed_from: Path, tmp_path: Path, corpus: Corpus
) -> None:
    config = deployed_config(corpus, deployed_from)
    for name in ("tasks.py", "numpy.py", "flows.py"):  # the user's own, beside the data
        (deployed_from / name).write_text("import os\nos._exit(77)\n")
    assert run_by_worker(prefect_server, deployment, config, tmp_path) == "Completed"
    first = deployed_from / "runs/deployed/latest"
    assert (first / "report.html").exists()
    before = first.resolve()
    assert run_by_worker(prefect_server, deployment, config, tmp_path) == "Completed"
    assert first.resolve() != before
    record = json.loads((first / "run.json").read_text())
    assert {stage["state"] for stage in record["stages"]} == {"cached"}
    assert record["config"].count(str(deployed_from)) >= 3  # the documents, the store, the runs


@pytest.mark.slow
def test_a_worker_whose_folder_is_deleted_refuses_relative_paths(
    prefect_server: PrefectServer, deployment: str, tmp_path: Path, corpus: Corpus
) -> None:
    """Prefect's worker deletes the folder in which it starts a run, and the results with it."""
    entry = prefect_server.ask(f"deployments/{deployment}")
    asked = {"name": "nowhere", "flow_id": entry["flow_id"], "entrypoint": entry["entrypoint"],
             "work_pool_name": "topicflow"}  # fmt: skip
    nowhere = prefect_server.ask("deployments/", asked)["id"]
    config = deployed_config(corpus, tmp_path)
    assert run_by_worker(prefect_server, nowhere, config, tmp_path) == "Failed"
    state = prefect_server.newest_flow_run("deployed")["state"]
    assert "a temporary folder that its worker deletes; give absolute paths" in state["message"]
    places = {"store": str(tmp_path / "store"), "runs": str(tmp_path / "runs")}
    absolute = {**config, "load": {"path": str(tmp_path / "documents.parquet")}, "runtime": places}
    assert run_by_worker(prefect_server, nowhere, absolute, tmp_path) == "Completed"
    assert (tmp_path / "runs/deployed/latest/report.html").exists()


def _final_state(server: PrefectServer, flow_run: str) -> str:
    for _ in range(240):
        state = server.ask(f"flow_runs/{flow_run}")["state"]
        if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
            break
        time.sleep(0.5)
    return str(state["name"])
