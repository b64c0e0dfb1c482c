"""The commands that a newcomer types, one after the other, on a CSV file."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.commands import Outcome
from tests.fakes import Corpus

Topicflow = Callable[..., Outcome]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    """A folder with reviews.csv, in which the commands follow each other."""
    made = tmp_path_factory.mktemp("newcomer")
    pl.DataFrame(
        {"review": corpus.texts, "stars": [1 + row % 5 for row in range(len(corpus.texts))]}
    ).write_csv(made / "reviews.csv")
    return made


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_what_is_no_error() -> None:
    lines = [
        "embed      computed        180 rows      7.8 s",
        "embed      180 of 1,800 documents, 6 per second",
    ]
    assert Outcome(0, "", "\n".join([*lines, "embed failed"])).errors == ["embed failed"]


def good(outcome: Outcome) -> str:
    assert (outcome.code, outcome.errors) == (0, [])
    return outcome.out


def test_init(topicflow: Topicflow, folder: Path) -> None:
    said = good(topicflow("init", "reviews.csv"))
    assert "review" in said
    assert said.splitlines()[-1] == "wrote reviews.toml; now: topicflow run reviews.toml"
    written = (folder / "reviews.toml").read_text()
    assert 'text_column = "review"' in written
    again = topicflow("init", "reviews.csv")
    assert again.code == 2
    assert again.errors == [
        "error: reviews.toml exists already; --force writes over it, --output names another"
    ]


def test_first_run(topicflow: Topicflow, folder: Path) -> None:
    planned = good(topicflow("plan", "reviews.toml"))
    assert planned.splitlines()[0].split() == ["load", "compute", "first", "run"]
    assert planned.splitlines()[-1] == "0 of 10 stages are cached; 10 would be computed"
    # a planted corpus is small: a few passes of the layouts and small topics are enough
    changes = ["reduce.steps=4", "map.n_epochs=5", "cluster.min_cluster_size=10"]
    shown = good(
        topicflow("run", "reviews.toml", *(word for change in changes for word in ("--set", change)))
    )
    assert "topics in 132 documents" in shown
    latest = folder / "runs/reviews/latest"
    assert shown.splitlines()[-1].startswith("report: runs/reviews/")
    names = {path.name for path in latest.iterdir()}
    assert names == {
        "documents.parquet", "topics.parquet", "topics.csv", "metrics.json", "run.json", "config.toml",
        "report.html", "model", "run.log",
    }  # fmt: skip
    documents = pl.read_parquet(latest / "documents.parquet")
    assert {"doc_id", "topic", "probability", "outlier_score", "x", "y", "stars"} <= set(documents.columns)


def test_the_config_of_a_run_gives_the_same_artifacts(topicflow: Topicflow, folder: Path) -> None:
    config = folder / "runs/reviews/latest/config.toml"
    assert (
        good(topicflow("plan", config)).splitlines()[-1] == "10 of 10 stages are cached; 0 would be computed"
    )
    record = topicflow("run", config, "--json").record
    assert {stage["state"] for stage in record["stages"]} == {"cached"}


def test_one_value_changed(topicflow: Topicflow, folder: Path) -> None:
    config = folder / "runs/reviews/latest/config.toml"
    planned = good(topicflow("plan", config, "--set", "cluster.min_cluster_size=12"))
    states = {line.split()[0]: line.split()[1] for line in planned.splitlines()[:-1]}
    kept = ["load", "embed", "neighbors", "reduce", "map", "count"]
    assert [stage for stage, state in states.items() if state == "cached"] == kept
    assert "config changed: min_cluster_size 10 -> 12" in planned
    record = topicflow("run", config, "--set", "cluster.min_cluster_size=12", "--json").record
    assert [stage["stage"] for stage in record["stages"] if stage["state"] == "cached"] == kept


def test_past_runs(topicflow: Topicflow) -> None:
    listed = good(topicflow("runs"))
    assert listed.count("reviews/2") == 3
    shown = good(topicflow("show"))
    assert "topics in 132 documents" in shown
    assert "peak memory" in shown
    records = topicflow("runs", "--json").record
    compared = good(topicflow("compare", records[1]["run_id"], records[0]["run_id"]))
    assert "-min_cluster_size = 10" in compared.replace("- ", "-")
    assert "+min_cluster_size = 12" in compared.replace("+ ", "+")
    unknown = topicflow("show", "nothing")
    assert (unknown.code, len(unknown.errors)) == (2, 1)


def test_the_store(topicflow: Topicflow) -> None:
    listed = good(topicflow("store", "ls"))
    assert "embeddings" in listed
    n_artifacts = int(listed.splitlines()[-1].split()[0])
    n_runs = len(topicflow("runs", "--json").record)
    assert (
        good(topicflow("store", "verify")) == f"{n_artifacts} artifacts and {n_runs} runs read, 0 damaged\n"
    )
    assert good(topicflow("store", "gc", "--min-age-hours", "0")) == "removed 0 artifacts, 0 B\n"
    words = ("store", "gc", "--min-age-hours", "0", "--runs", "elsewhere", "--dry-run")
    refused = topicflow(*words)
    assert (refused.code, refused.errors[0][:42]) == (2, "error: store gc: elsewhere: no such folder")
    would = good(topicflow(*words, "--no-runs"))
    assert would.splitlines()[-1].startswith(f"would remove {n_artifacts} artifacts")
    assert topicflow("store", "ls", "--store", "nowhere").errors == [
        "error: nowhere: no store here; --store names one"
    ]


def test_help_on_the_config(topicflow: Topicflow) -> None:
    said = good(topicflow("config", "explain", "cluster.min"))
    assert "cluster.min_cluster_size: integer 2..10000000 | 'auto' (default: 15)" in said
    assert "Smallest topic, in documents; or auto" in said


@pytest.mark.skipif(
    importlib.util.find_spec("embedding_atlas") is not None, reason="embedding-atlas is installed"
)
def test_explore_says_what_it_needs(topicflow: Topicflow) -> None:
    outcome = topicflow("explore")
    assert outcome.code == 2
    (line,) = outcome.errors
    assert line.startswith("error: ")
    assert "embedding-atlas" in line
