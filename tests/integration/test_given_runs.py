"""Given topics in whole runs: they come first with their names, the rest is found, everything follows them."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tomli_w

from tests.commands import Outcome, write_corpus
from tests.fakes import Corpus
from topicflow.flows.python.result import Run
from topicflow.tasks.core.clusters.given import Placed
from topicflow.tasks.given import given

Command = Callable[..., Outcome]

GIVEN = '["cat dog bird", "<b>nothing & nobody</b>", "red blue green"]'


class Trial:
    """A config with given topics, and its runs."""

    def __init__(self, topicflow: Command, folder: Path, corpus: Corpus, model: Path) -> None:
        self.command, self.folder = topicflow, folder
        self.config = write_corpus(folder, corpus)
        values = tomllib.loads(self.config.read_text())
        self.config.write_text(tomli_w.dumps({**values, "embed": {"model": str(model)}}))

    def run(self, *more: object) -> Any:
        outcome = self.command("run", self.config, "--json", "--publish", *more)
        assert outcome.code == 0, outcome.err
        return outcome.record

    def table(self, name: str = "topics") -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"runs/trial/latest/{name}.parquet")


def test_given_topics_come_first_and_the_rest_is_found(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    plain = trial.run()
    record = trial.run("--set", f"topics.names={GIVEN}")
    kept = {stage["stage"] for stage in record["stages"] if stage["state"] == "cached"}
    assert {"embed", "neighbors", "reduce", "cluster", "count"} <= kept
    topics = trial.table()
    assert topics["name"][:3].to_list() == json.loads(GIVEN)
    assert topics["named_by"][:3].to_list() == ["person"] * 3
    assert [row["size"] for row in record["given_topics"]] == topics["size"][:3].to_list()
    documents = trial.table("documents")
    assert documents.filter(pl.col("topic") >= 0).height == topics["size"].sum()
    page = (tmp_path / "runs/trial/latest/report.html").read_text()
    assert "<b>nothing" not in page
    steps = json.loads(topicflow("plan", trial.config, "--json", "--set", f"topics.names={GIVEN}").out)
    assert {step["state"] for step in steps} == {"cached"}
    assert {step["stage"] for step in steps} == {stage["stage"] for stage in record["stages"]}
    other = trial.run("--set", f"topics.names={GIVEN}", "--set", "topics.threshold=0.1")
    computed = [stage["stage"] for stage in other["stages"] if stage["state"] != "cached"]
    assert computed == ["given", "label", "evaluate", "report"]
    assert other["metrics"]["given_share"] >= record["metrics"]["given_share"]
    assert trial.run()["stages"] != record["stages"]
    assert "given_share" not in plain["metrics"]


def test_an_edit_goes_on_from_given_topics(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    config = Path(trial.config)
    config.write_text(config.read_text() + f"\n[topics]\nnames = {GIVEN}\n")
    trial.run()
    assert topicflow("edit", config, "merge", 0, 2).code == 0
    record = trial.run()
    assert [edit["applied"] for edit in record["edits"]] == [True]
    words = {word for keywords in trial.table()["keywords"].head(2) for word in keywords}
    assert {"cat", "red"} <= words


def test_a_last_topic_without_documents_stays(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes were once taken from the labels, in which it does not occur."""
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    n = len(corpus.texts)
    half = np.where(np.arange(n) % 2, 0, 1).astype(np.int32)
    monkeypatch.setattr(given, "place", lambda *_: Placed(half, np.ones(n, np.float32)))
    record = trial.run("--set", f"topics.names={GIVEN}")
    assert [row["size"] for row in record["given_topics"]] == [n // 2, n - n // 2, 0]
    table = trial.table()
    assert table.select("topic", "size", "name").rows() == [
        (0, n // 2, "cat dog bird"), (1, n - n // 2, "<b>nothing & nobody</b>"), (2, 0, "red blue green")
    ]  # fmt: skip
    assert table["keywords"][2].to_list() == []


def test_an_empty_given_topic_stays_after_edits_and_new_texts_get_edited_topics(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edits once dropped topics without documents, and forgot that a person named the given ones."""
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    first = np.where(corpus.truth == 0, 0, -1).astype(np.int32)
    monkeypatch.setattr(given, "place", lambda *_: Placed(first, np.ones(len(first), np.float32)))
    config = Path(trial.config)
    config.write_text(config.read_text() + f"\n[topics]\nnames = {GIVEN}\n")
    before = trial.run()
    found = trial.table("topics")["topic"].to_list()[3:]
    assert topicflow("edit", config, "rename", found[0], "Renamed").code == 0
    record = trial.run()
    table = trial.table()
    assert table.height == before["n_topics"] == record["n_topics"]
    names = table["name"].to_list()
    assert names[:3] == json.loads(GIVEN)
    assert table["size"][1:3].to_list() == [0, 0]
    assert {"cat dog bird", "Renamed"} <= set(names)
    assert table.filter(pl.col("named_by") == "person")["name"].to_list() == [
        name for name in names if name in {*json.loads(GIVEN), "Renamed"}
    ]
    assert [row["topic"] for row in record["given_topics"]] == [
        names.index(name) for name in json.loads(GIVEN)
    ]
    assert [row["size"] for row in record["given_topics"]] == [int((first == 0).sum()), 0, 0]
    run = Run({**record, "folder": str(tmp_path / "runs/trial" / record["run_id"])})
    assigned = run.assign(np.asarray(run.embeddings))
    documents = run.documents
    is_given = documents["topic"].to_numpy() == names.index("cat dog bird")
    np.testing.assert_array_equal(is_given, first == 0)
    agrees = assigned["topic"].to_numpy() == documents["topic"].to_numpy()
    assert agrees[is_given].mean() > 0.9
    assert set(assigned["topic_name"]) <= {*names, "no topic"}


def test_a_given_topic_that_an_edit_deletes_is_gone(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    n = len(corpus.texts)
    half = np.where(np.arange(n) % 2, 0, 1).astype(np.int32)
    monkeypatch.setattr(given, "place", lambda *_: Placed(half, np.ones(n, np.float32)))
    config = Path(trial.config)
    config.write_text(config.read_text() + f"\n[topics]\nnames = {GIVEN}\n")
    trial.run()
    assert topicflow("edit", config, "delete", 0).code == 0
    record = trial.run()
    assert trial.table()["name"].to_list() == json.loads(GIVEN)[1:]
    assert [(row["topic"], row["size"]) for row in record["given_topics"]] == [
        (None, None),
        (0, n - n // 2),
        (1, 0),
    ]


def test_stability_is_there_for_documents_that_stay_where_their_cluster_put_them(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    graph = ("--set", 'cluster={method="graph", min_cluster_size=10}', "--set", 'reduce={method="diffusion"}')
    trial.run(*graph)
    plain = trial.table("documents")
    assert plain["stability"].null_count() == 0
    placed = np.where(corpus.truth == 0, 0, -1).astype(np.int32)
    monkeypatch.setattr(given, "place", lambda *_: Placed(placed, np.ones(len(placed), np.float32)))
    record = trial.run(*graph, "--set", 'topics.names=["a", "b"]')
    documents = trial.table("documents")
    is_given = documents["topic"] == 0
    assert is_given.sum() == (placed == 0).sum()
    assert documents.filter(is_given)["stability"].null_count() == is_given.sum()
    known = documents["stability"].is_not_null()
    kept = documents.filter(pl.col("topic") >= 2)
    assert kept.height > 0
    assert kept["stability"].null_count() == 0
    assert documents.filter(known)["stability"].to_list() == plain.filter(known)["stability"].to_list()
    assert record["metrics"]["stability"] == pytest.approx(documents["stability"].mean(), abs=1e-6)
    topics = trial.table()
    assert topics["stability"].is_null().to_list()[:2] == [True, True]
    assert topics["stability"].null_count() == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('embed={method="precomputed", path="v.npy"}', "cannot embed texts"),
        ('topics.path="topics.csv"', "names or path"),
        ("topics.treshold=0.5", "did you mean 'threshold'"),
    ],
)
def test_what_does_not_fit_is_refused(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path, change: str, message: str
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    outcome = topicflow("run", trial.config, "--set", f"topics.names={GIVEN}", "--set", change)
    assert outcome.code == 2
    assert message in outcome.err
