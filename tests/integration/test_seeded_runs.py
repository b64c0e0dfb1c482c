"""Seeds in whole runs: they pull the vectors of the fit alone, and the run says in which topics they ended."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.commands import Outcome
from tests.fakes import TOPIC_WORDS, Corpus
from tests.integration.test_given_runs import Trial
from topicflow.flows.python.result import Run

Command = Callable[..., Outcome]


def with_seeds(trial: Trial, seeds: str) -> None:
    """Write a file of seeds and the section that names it."""
    path = trial.folder / "seeds.toml"
    path.write_text(seeds)
    config = Path(trial.config)
    config.write_text(config.read_text() + f'\n[topics]\nmethod = "seeded"\npath = "{path}"\n')


def seeds_of(corpus: Corpus, documents: pl.DataFrame) -> str:
    """Return a file of two seeds: words and documents of the first topic, and the name of the second."""
    ids = json.dumps(documents["doc_id"].gather(np.flatnonzero(corpus.truth == 0)[:3]).to_list())
    words = TOPIC_WORDS[0]
    return (
        f'[[topic]]\nname = "{" ".join(words[:2])}"\nwords = ["{words[-1]}", "zebra"]\ndocuments = {ids}\n'
        f'[[topic]]\nname = "<b>{" ".join(TOPIC_WORDS[1])}</b>"\n'
    )


def stages_in(record: Any, state: str) -> list[str]:
    return [stage["stage"] for stage in record["stages"] if stage["state"] == state]


def key_of(record: Any, name: str) -> str:
    return next(stage["key"] for stage in record["stages"] if stage["stage"] == name)


def test_a_run_with_seeds_says_where_they_ended(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    plain = trial.run()
    with_seeds(trial, seeds_of(corpus, trial.table("documents")))
    record = trial.run()
    assert stages_in(record, "cached") == ["load", "embed", "count"]
    assert key_of(record, "embed") == key_of(plain, "embed")
    assert not (plain["metrics"].keys() & {"seeded_share"})
    assert "seeds" not in plain

    first, second = record["seeds"]
    assert first["name"] == "cat dog"
    topics = trial.table()
    ended = first["topics"][0]
    assert set(topics["keywords"][ended["topic"]]) & set(TOPIC_WORDS[0])
    assert (ended["topic_name"], ended["topic_size"]) == topics.row(ended["topic"])[2:0:-1]
    table = trial.table("seeds")
    sums = table.group_by("seed", maintain_order=True).agg(pl.col("n_shared").sum(), pl.col("share").sum())
    assert sums["n_shared"].to_list() == [first["n_documents"], second["n_documents"]]
    assert sums["share"].to_list() == pytest.approx([1.0, 1.0])
    share = (first["n_documents"] + second["n_documents"]) / len(corpus.texts)
    assert record["metrics"]["seeded_share"] == pytest.approx(share)
    assert any("no word 'zebra' of the seed 'cat dog'" in remark for remark in record["remarks"])

    page = (tmp_path / "runs/trial/latest/report.html").read_text()
    assert "<b>tea" not in page
    assert 'id="seeds"' in page
    assert 'id="seeds-section"' in page
    shown = topicflow("show", "trial", "--runs", str(tmp_path / "runs")).out
    assert "ended in" in shown
    assert "cat dog" in shown
    steps = json.loads(topicflow("plan", trial.config, "--json").out)
    assert {step["state"] for step in steps} == {"cached"}
    assert {step["stage"] for step in steps} == {stage["stage"] for stage in record["stages"]}

    heavy = trial.run("--set", "topics.word_weight=100")
    assert stages_in(heavy, "computed") == ["label", "evaluate", "report"]
    raised = trial.table()["keywords"].to_list()
    assert raised[ended["topic"]][0] == TOPIC_WORDS[0][-1]
    others = [k for k in range(len(raised)) if k not in {each["topic"] for each in first["topics"]}]
    assert [raised[k] for k in others] == [topics["keywords"][k].to_list() for k in others]

    run = Run({**record, "folder": str(tmp_path / "runs/trial" / record["run_id"])})
    assigned = run.assign(np.asarray(run.embeddings))["topic"].to_numpy()
    assert (assigned == run.documents["topic"].to_numpy()).mean() > 0.95


def test_an_edit_moves_the_topics_of_seeds(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    with_seeds(trial, f'[[topic]]\nname = "{" ".join(TOPIC_WORDS[0])}"\n')
    ended = trial.run()["seeds"][0]["topics"][0]["topic"]
    assert topicflow("edit", trial.config, "rename", ended, "Animals").code == 0
    record = trial.run()
    assert record["seeds"][0]["topics"][0]["topic_name"] == "Animals"
    assert stages_in(record, "computed") == ["rename", "report"]


def test_the_smallest_topic_is_chosen_without_seeds(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    auto = (
        "--set",
        'cluster={method="graph", min_cluster_size="auto"}',
        "--set",
        'reduce={method="diffusion"}',
    )
    plain = trial.run(*auto)
    with_seeds(trial, f'[[topic]]\nname = "{" ".join(TOPIC_WORDS[0])}"\n')
    unseeded = ["neighbors_unseeded", "reduce_unseeded", "cluster_unseeded"]
    steps = json.loads(topicflow("plan", trial.config, "--json", *auto).out)
    assert [step["stage"] for step in steps if step["state"] == "cached"] == [
        "load",
        "embed",
        *unseeded,
        "count",
    ]
    record = trial.run(*auto)
    assert stages_in(record, "cached") == ["load", "embed", *unseeded, "count"]
    assert key_of(record, "cluster_unseeded") == key_of(plain, "cluster")
    assert record["size_choice"]["min_cluster_size"] == plain["size_choice"]["min_cluster_size"]
    assert record["size_choice"]["unseeded"]
    assert any(" without seeds: " in remark for remark in record["remarks"])
    assert {step["state"] for step in json.loads(topicflow("plan", trial.config, "--json", *auto).out)} == {
        "cached"
    }


def test_what_seeds_cannot_be_is_refused(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path
) -> None:
    trial = Trial(topicflow, tmp_path, corpus, tiny)
    with_seeds(trial, '[[topic]]\nname = "a"\ndocuments = ["gone"]\n')
    outcome = topicflow("run", trial.config)
    assert outcome.code == 2
    assert "topic 'a': document 'gone' not found" in outcome.err
    assert outcome.err.count("error:") == 1
    strength = topicflow("run", trial.config, "--set", "topics.strenght=0.1")
    assert "did you mean 'strength'" in strength.err
