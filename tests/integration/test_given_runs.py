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
