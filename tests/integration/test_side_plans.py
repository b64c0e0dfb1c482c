"""`topicflow plan --flow` predicts what runs of the side flows do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.commands import Outcome
from tests.fakes import Corpus

Command = Callable[..., Outcome]


class Side:
    """A corpus with its vectors, and the config of a flow that reads it."""

    def __init__(self, folder: Path, corpus: Corpus, topicflow: Command, flow: str, command: str) -> None:
        self.folder, self.topicflow, self.flow, self.command = folder, topicflow, flow, command
        self.table = pl.DataFrame({"text": corpus.texts, "vector": corpus.embeddings.tolist()})
        self.write("documents", self.table[:100])
        self.config = folder / "side.toml"
        self.config.write_text(
            f'''name = "side"
[load]
path = "{folder / "documents.parquet"}"
[embed]
method = "precomputed"
column = "vector"
[runtime]
store = "{folder / "store"}"
runs = "{folder / "runs"}"
'''
        )

    def write(self, name: str, table: pl.DataFrame) -> None:
        table.write_parquet(self.folder / f"{name}.parquet")

    def plan(self, *changes: str) -> dict[str, str]:
        """Return the plan for each stage: hit, or the reason why it would be computed."""
        words = [word for change in changes for word in ("--set", change)]
        told = self.topicflow("plan", self.config, "--flow", self.flow, "--json", *words).record
        return {step["stage"]: "hit" if step["state"] == "cached" else step["reason"] for step in told}

    def run(self, *changes: str) -> dict[str, str]:
        """Return the state of each stage of a run, after comparing it with the plan."""
        told = self.plan(*changes)
        words = [word for change in changes for word in ("--set", change)]
        record: Any = self.topicflow(self.command, self.config, "--json", *words).record
        states = {stage["stage"]: stage["state"] for stage in record["stages"]}
        assert list(told) == list(states)
        if {told["load"], told.get("load_against", "hit")} == {
            "hit"
        }:  # else all that follows is told to be computed, some of which may be there
            assert {stage for stage, why in told.items() if why == "hit"} == {
                stage for stage, state in states.items() if state == "cached"
            }
        return states


def test_a_search_for_duplicates(topicflow: Command, tmp_path: Path, corpus: Corpus) -> None:
    side = Side(tmp_path, corpus, topicflow, "deduplicate", "dedup")
    both = ("deduplicate.method=both",)
    stages = ["load", "embed", "similar_vectors", "similar_texts", "deduplicate"]
    assert side.plan(*both) == dict.fromkeys(stages, "first run")
    assert set(side.run(*both).values()) == {"computed"}
    assert side.plan(*both) == dict.fromkeys(stages, "hit")
    told = side.plan(*both, "deduplicate.threshold=0.95")
    assert told == {**dict.fromkeys(stages, "hit"), "deduplicate": "config changed: threshold 0.9 -> 0.95"}
    assert list(side.plan("deduplicate.method=minhash")) == ["load", "similar_texts", "deduplicate"]

    side.write("other", side.table[100:])
    against = (*both, f"against.path={tmp_path / 'other.parquet'}")
    told = side.plan(*against)
    assert (told["load"], told["load_against"], told["similar_vectors"]) == (
        "hit",
        "first run",
        "input changed",
    )
    assert side.run(*against)["embed"] == "cached"
    assert set(side.plan(*against).values()) == {"hit"}
    assert side.run(*against, "deduplicate.threshold=0.95")["deduplicate"] == "computed"


def test_an_index(topicflow: Command, tmp_path: Path, corpus: Corpus) -> None:
    side = Side(tmp_path, corpus, topicflow, "build_index", "index")
    stages = ["load", "embed", "index"]
    assert side.plan() == dict.fromkeys(stages, "first run")
    assert set(side.run().values()) == {"computed"}
    assert side.plan() == dict.fromkeys(stages, "hit")
    assert side.run("index.M=8")["index"] == "computed"
    assert side.run() == dict.fromkeys(stages, "cached")
    side.write("documents", side.table)
    assert side.plan() == dict.fromkeys(stages, "input changed")
    side.run()
    assert side.run() == dict.fromkeys(stages, "cached")  # the grown one, which its own recipe would not find
    assert side.plan("index.updates=rebuild")["index"] != "hit"


@pytest.mark.parametrize("flow", ["tune_embeddings", "nothing"])
def test_flows_without_a_plan_are_one_line(topicflow: Command, tmp_path: Path, flow: str) -> None:
    outcome = topicflow("plan", tmp_path / "none.toml", "--flow", flow)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.errors
    assert line.startswith(
        f"error: --flow {flow}: there are plans of topic_model, deduplicate, build_index, sweep, update_topics; "
    )


def test_a_plan_of_a_topic_model_is_printed_as_before(
    topicflow: Command, tmp_path: Path, corpus: Corpus
) -> None:
    side = Side(tmp_path, corpus, topicflow, "topic_model", "run")
    lines = topicflow("plan", side.config).out.splitlines()
    assert (lines[0], lines[-1]) == (
        "load       compute  first run",
        "0 of 10 stages are cached; 10 would be computed",
    )
