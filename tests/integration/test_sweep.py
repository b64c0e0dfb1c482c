"""`topicflow sweep` as a user types it: from a grid to a recommendation, a rerun, a kill, its choice in a run."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.clusters import Cluster
from tests.commands import Outcome, PrefectServer, clean_environment, command, write_corpus
from tests.fakes import planted_corpus
from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.read import load_config
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.store.artifact_store import ArtifactStore

STAGES = """
[embed]
method = "precomputed"
column = "vector"
[map]
n_epochs = 5
[cluster]
min_cluster_size = 10
"""

VARY = (
    "--vary", "cluster.min_cluster_size=5,12,500", "--vary", "cluster.method=graph,kmeans", "--vary",
    "cluster.n_clusters=3,4",
)  # fmt: skip
"""Two sizes that fit 132 documents and one that does not, and two numbers of clusters: four settings, one skipped."""

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a config with known classes."""
    folder = tmp_path_factory.mktemp("sweep")
    config = write_corpus(folder, planted_corpus())
    text = config.read_text()
    places = text[text.index("[runtime]") :]
    load = f'[load]\npath = "{folder}/documents.parquet"\nlabel_column = "truth"\n'
    config.write_text(f'name = "trial"\n{load}{STAGES}{places}')
    return folder


def settings_of(record: dict[str, Any], folder: Path) -> pl.DataFrame:
    """Return the table of a sweep."""
    return pl.read_parquet(folder / "runs" / record["name"] / record["run_id"] / "sweep.parquet")


def test_a_sweep_from_its_grid_to_a_run_with_its_choice(swept: Path, topicflow: Run) -> None:
    config = swept / "config.toml"
    planned = topicflow("plan", config, "--flow", "sweep", *VARY).out.splitlines()
    assert planned[-1] == "0 of 28 stages are cached; 28 would be computed"
    first = topicflow("sweep", config, *VARY, "--json")
    assert first.code == 0, first.err
    record = first.record
    assert (record["name"], record["flow"], record["state"]) == ("trial-sweep", "sweep", "completed")
    assert record["metrics"]["n_settings"] == 4
    assert [each["reason"] for each in record["skipped"]] == [
        "cluster: min_cluster_size=500 exceeds n_docs=132; set it to 132 or less"
    ]
    said = [line for line in first.err.splitlines() if line.startswith("sweep      ") and " of 4  " in line]
    assert len(said) == 4  # a line for each setting, with the time that is left
    assert said[0].endswith(" left")
    assert said[-1].endswith("; the last one")
    table = settings_of(record, swept)
    assert table["cluster.method"].to_list() == ["graph", "kmeans", "kmeans", "graph"]
    assert table["cluster.n_clusters"].to_list() == [None, 3, 4, None]
    assert (
        table.filter(pl.col("cluster.method") == "graph")["agreement"].null_count() == 2
    )  # nothing is drawn
    kmeans = table.filter(pl.col("cluster.method") == "kmeans")
    assert kmeans["agreement"].min() > 0.5  # type: ignore[operator]
    assert kmeans["outlier_share"].to_list() == [0.0, 0.0]
    assert table["nmi"].min() > 0.5  # type: ignore[operator]
    assert (table["seconds"] > 0).all()
    chosen = record["recommendation"]["chosen"]
    assert chosen["n_draws"] == (5 if table["pareto"].sum() > 1 else 0)
    assert chosen["setting"] in table.filter("pareto")["setting"].to_list()
    again = topicflow("sweep", config, *VARY, "--json").record
    assert {stage["stage"]: stage["state"] for stage in again["stages"]} == dict.fromkeys(
        ("load", "embed", "count", "sweep", "confirm", "neighbors", "map", "page"), "cached"
    )
    assert again["recommendation"] == record["recommendation"]
    replanned = topicflow("plan", config, "--flow", "sweep", *VARY).out.splitlines()
    assert replanned[-1].endswith(" stages are cached; 0 would be computed")
    taken = topicflow("run", config, "--from-sweep", "latest", "--json")
    assert taken.code == 0, taken.err
    assert f"from trial-sweep/{again['run_id']}, setting {chosen['setting']}: cluster." in taken.err
    states = {stage["stage"]: stage["state"] for stage in taken.record["stages"]}
    assert states.pop("report") == "computed"
    assert set(states.values()) == {"cached"}
    row = table.filter(pl.col("setting") == chosen["setting"]).to_dicts()[0]
    assert taken.record["metrics"]["nmi"] == row["nmi"]


def test_the_artifacts_of_all_settings_are_kept(swept: Path, topicflow: Run) -> None:
    store = ArtifactStore(swept / "store")
    assert topicflow("sweep", swept / "config.toml", *VARY).code == 0
    removed = {(each.kind, each.key) for each in collect_garbage(store, [swept / "runs"], 0.0)}
    assert not {kind for kind, _ in removed} & {"labels", "topics", "metrics", "settings", "draws"}
    assert topicflow("sweep", swept / "config.toml", *VARY, "--json").record["stages"][3]["state"] == "cached"


def test_what_is_wrong_is_one_line(swept: Path, topicflow: Run) -> None:
    config = swept / "config.toml"
    for options, said in (
        ((), "sweep: nothing is varied; give --vary KEY=VALUES"),
        (("--vary", "cluster.n_clusters=3"), 'for this method; it needs cluster.method = "kmeans"'),
        (("--vary", "cluster.min_cluster_size"), "--vary cluster.min_cluster_size: expected KEY=VALUES"),
        (("--vary", "load.limit=3"), "load.limit cannot be varied"),
    ):
        refused = topicflow("sweep", config, *options)
        assert (refused.code, len(refused.errors)) == (2, 1)
        assert said in refused.errors[0]
    nothing = topicflow("sweep", config, "--vary", "cluster.min_cluster_size=500,600")
    assert nothing.code == 1
    assert nothing.errors[-1].startswith(
        "error: sweep: none of 2 settings can be computed; the first: cluster: min_cluster_size=500 exceeds n_docs=132"
    )
    unknown = topicflow("run", config, "--from-sweep", "nothing")
    assert (unknown.code, len(unknown.errors)) == (2, 1)
    assert unknown.errors[0].startswith("error: --from-sweep: no run nothing")


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_its_processes_end(
    swept: Path, tmp_path: Path, topicflow: Run, prefect_server: PrefectServer
) -> None:
    places = ("--store", tmp_path / "store", "--runs", tmp_path / "runs", "--set", "runtime.n_workers=2")
    vary = ("--vary", "cluster.min_cluster_size=4..14:6:linear", "--set", "sweep.draws=0")
    words = command("sweep", swept / "config.toml", *vary, *places)
    started = subprocess.Popen(
        words,
        env=clean_environment(**prefect_server.environment),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    results, workers = tmp_path / "store" / "settings", list[int]()
    for _ in range(2400):
        workers = workers if len(workers) == 2 else children_of(started.pid)
        if len(workers) == 2 and results.is_dir() and any(results.iterdir()):
            break
        assert started.poll() is None
        time.sleep(0.05)
    assert len(workers) == 2
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    for _ in range(200):
        if not any(map(is_running, workers)):
            break
        time.sleep(0.1)
    assert not any(map(is_running, workers))
    n_there = len(list(results.iterdir()))
    finished = topicflow("sweep", swept / "config.toml", *vary, *places, "--json")
    assert finished.code == 0, finished.err
    assert finished.record["metrics"]["n_settings"] == 6
    if n_there < 6:
        assert f"sweep      {n_there} of 6 settings are there" in finished.err
    alone = topicflow(
        "sweep", swept / "config.toml", *vary, "--store", tmp_path / "one", "--runs", tmp_path / "one-runs",
        "--set", "runtime.n_workers=1", "--json",
    )  # fmt: skip
    assert alone.code == 0, alone.err
    assert alone.record["recommendation"] == finished.record["recommendation"]
    (tmp_path / "alone").mkdir()
    (tmp_path / "one-runs").rename(tmp_path / "alone" / "runs")
    both = settings_of(finished.record, tmp_path), settings_of(alone.record, tmp_path / "alone")
    assert both[0].drop("seconds").equals(both[1].drop("seconds"))


def children_of(process: int) -> list[int]:
    """Return the processes that a process has started."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [
        int(line.split()[0]) for line in found.stdout.splitlines() if "topicflow.tasks.sweeps.worker" in line
    ]


def is_running(process: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_the_settings_are_fitted_by_the_workers_of_a_cluster(
    swept: Path, tmp_path: Path, served: Run, cluster: Cluster
) -> None:
    places = ("--store", tmp_path / "store", "--runs", tmp_path / "runs")
    engine = ("--set", "runtime.engine=dask", "--set", f"runtime.address={cluster.address}")
    found = served("sweep", swept / "config.toml", *VARY, *places, *engine, "--json")
    assert found.code == 0, found.err
    here = served("sweep", swept / "config.toml", *VARY, "--json").record
    assert found.record["recommendation"] == here["recommendation"]
    assert "4 settings to compute; dask" in found.err


def test_edits_are_left_out_and_the_plan_the_run_and_the_page_say_so(swept: Path, topicflow: Run) -> None:
    edits = swept / "topics_edits.toml"
    edits.write_text('[[edit]]\naction = "rename"\nname = "Pets"\ntopics = [{ keywords = ["cat", "dog"] }]\n')
    said = "1 edit left out: a sweep compares the clusters that its settings find. "
    try:
        words = (swept / "config.toml", "--vary", "cluster.min_cluster_size=5,12")
        told = topicflow("plan", *words, "--flow", "sweep")
        assert f"note: {said}" in told.err
        assert "note" not in told.out
        outcome = topicflow("sweep", *words, "--json")
        assert [each for each in outcome.record["remarks"] if each.startswith(said)]
        page = swept / "runs/trial-sweep" / outcome.record["run_id"] / "sweep.html"
        assert said in page.read_text()
        edits.write_text(edits.read_text().replace("action", 'run = "other/1"\naction'))
        assert "left out" not in topicflow("plan", *words, "--flow", "sweep").err
    finally:
        edits.unlink()


def test_the_section_of_a_file_is_what_vary_is(swept: Path, topicflow: Run) -> None:
    config = swept / "section.toml"
    section = "[sweep]\nvary = {cluster.min_cluster_size = [5, 12]}\ndraws = 0\n"
    config.write_text((swept / "config.toml").read_text() + section)
    assert load_config(config, (), SweepConfig).sweep.vary == {"cluster.min_cluster_size": [5, 12]}
    record = topicflow("sweep", config, "--json").record
    assert record["metrics"]["n_settings"] == 2
    assert record["recommendation"]["chosen"]["sure"] == "not tested"
    shown = topicflow("sweep", config)
    assert "; not compared on draws of the documents" in shown.out
    last = json.loads(topicflow("show", "trial-sweep", "--runs", swept / "runs", "--json").out)
    assert f"take it: topicflow run CONFIG --from-sweep {last['run_id']}" in shown.out
