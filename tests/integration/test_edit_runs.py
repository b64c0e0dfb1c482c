"""Edits in whole runs: every file follows the edited topics, undo brings back hits, later fits find topics again."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.chat_server import ChatServer
from tests.commands import QUICK_STAGES, Outcome, write_corpus, write_table
from tests.fakes import Corpus
from tests.updates import N_FIRST, config_of, story
from topicflow.configs.read import dump_config

Command = Callable[..., Outcome]

NAME = 'Pets </script><img src=x onerror=alert(1)> "all" & [ok]'


class Trial:
    """A config with its corpus and its runs, and the commands on it."""

    def __init__(self, topicflow: Command, folder: Path, corpus: Corpus) -> None:
        self.command, self.folder = topicflow, folder
        self.config = write_corpus(folder, corpus)
        self.edits = folder / "topics_edits.toml"

    def run(self, *more: object) -> Any:
        outcome = self.command("run", self.config, "--json", "--publish", *more)
        assert outcome.code == 0, outcome.err
        return outcome.record

    def edit(self, *words: object) -> Outcome:
        return self.command("edit", self.config, *words)

    def computed(self) -> dict[str, str]:
        """Return the stages that the plan would compute, with the reason."""
        steps = json.loads(self.command("plan", self.config, "--json").out)
        return {step["stage"]: step["reason"] for step in steps if step["state"] == "compute"}

    def table(self, name: str = "topics") -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"runs/trial/latest/{name}.parquet")

    def number(self, word: str) -> int:
        """Return the number of the topic whose first six keywords have a word."""
        table = self.table()
        return int(table.filter(pl.col("keywords").list.head(6).list.contains(word))["topic"].item())


@pytest.fixture
def trial(topicflow: Command, tmp_path: Path, corpus: Corpus) -> Trial:
    return Trial(topicflow, tmp_path, corpus)


def keys(record: Any) -> dict[str, str]:
    return {stage["stage"]: stage["key"] for stage in record["stages"]}


def states(record: Any) -> set[str]:
    return {stage["stage"] for stage in record["stages"] if stage["state"] == "computed"}


def test_topics_are_shaped_by_commands(trial: Trial, corpus: Corpus) -> None:
    first = trial.run()
    before = trial.table("documents")
    pets, drinks, colours = (trial.number(word) for word in ("cat", "tea", "red"))
    merged = trial.edit("merge", drinks, colours)
    assert merged.code == 0, merged.err
    lines = merged.out.splitlines()
    assert lines[0] == f"merge {drinks} {colours}"
    assert re.fullmatch(rf"  {drinks}: \d+ documents, .*tea.*", lines[1])
    assert lines[-1].endswith(f"topics_edits.toml; now: topicflow run {trial.config}")
    trial.edit("rename", pets, NAME)
    listed = trial.edit("list").out.splitlines()
    assert [line.split("  [")[0] for line in listed] == [
        f"  1  merge {drinks} {colours}",
        f"  2  rename {pets} {json.dumps(NAME)}",
    ]
    assert trial.computed() == {
        "edit": "first run",
        "label_edited": "first run",
        "rename": "first run",
        "evaluate": "input changed: labels, topics",
        "report": "input changed: labels, topics, metrics, names",
    }
    record = trial.run()
    assert states(record) == {"edit", "label_edited", "rename", "evaluate", "report"}
    assert keys(first).items() - keys(record).items() == {
        ("evaluate", keys(first)["evaluate"]), ("report", keys(first)["report"]),
    }  # fmt: skip
    assert trial.computed() == {}
    assert [(each["edit"], each["applied"]) for each in record["edits"]] == [
        (f"merge {drinks} {colours}", True), (f"rename {pets} {json.dumps(NAME)}", True),
    ]  # fmt: skip
    everywhere(trial, record, before, {drinks, colours})
    copied = trial.command("run", trial.folder / "runs/trial/latest/config.toml", "--json").record
    assert keys(copied) == keys(record)  # a run's folder has the edits that its config found

    for _ in range(2):
        assert trial.edit("undo", 1).code == 0
    assert trial.edit("list").out == "no edits\n"
    assert trial.computed() == {}
    assert keys(trial.run()) == keys(first)


def everywhere(trial: Trial, record: Any, before: pl.DataFrame, merged: set[int]) -> None:
    """Check the merged topic and the name in every file of the last run."""
    folder = trial.folder / "runs/trial/latest"
    documents, topics = trial.table("documents"), trial.table()
    assert record["metrics"]["n_topics"] == topics.height == 2
    assert (record["metrics"]["n_edits"], record["metrics"]["n_edits_not_applied"]) == (2, 0)
    together = before["topic"].is_in(list(merged))
    assert documents.filter(together)["topic"].unique().to_list() == [0]
    assert topics["size"].to_list() == [int(together.sum()), int((~together).sum())]
    assert {"tea", "red"} & set(topics["keywords"][0]) != set()
    assert topics["name"][1] == NAME
    assert topics["named_by"].to_list() == ["keywords", "person"]
    csv = pl.read_csv(folder / "topics.csv")
    assert csv["name"][1] == NAME
    page = (folder / "report.html").read_text()
    assert "<img src=x" not in page
    assert "onerror=alert(1)" in page
    model = json.loads((folder / "model/topics.json").read_text())
    assert model["topics"] == documents["topic"].to_list()
    assert NAME in model["custom_labels"]


def test_a_later_fit_with_other_numbers_finds_the_topics_again(trial: Trial) -> None:
    trial.run()
    pets, drinks = trial.number("cat"), trial.number("tea")
    trial.edit("rename", pets, "Pets")
    trial.edit("delete", drinks)
    with trial.edits.open("a") as file:  # by hand, and for topics that are not there
        file.write('\n[[edit]]\naction = "pin"\nname = "Ships"\ntopics = [{keywords = ["mast", "sail"]}]\n')
    text = trial.edits.read_text()
    outcome = trial.command("run", trial.config, "--publish", "--set", "cluster.n_clusters=5")
    assert outcome.code == 0, outcome.err
    (note,) = (line for line in outcome.errors if "Edit 3" in line)
    assert note == (
        "note: Edit 3 (pin (mast, sail)) is not applied: topic (mast, sail) is not found: it names no documents, and "
        "no topic has its keywords (mast, sail). It stays in the file."
    )
    assert trial.edits.read_text() == text
    *_, last, why = trial.edit("list").out.splitlines()
    assert last == "  3  pin (mast, sail)  [mast, sail]"
    assert why.startswith("     in the last run: topic (mast, sail) is not found: ")
    topics = trial.table()
    named = topics.filter(pl.col("name") == "Pets")
    assert {"cat", "dog"} <= set(named["keywords"][0][:6])
    assert topics.height == 4  # of five, one is deleted
    record = json.loads((trial.folder / "runs/trial/latest/run.json").read_text())
    assert [each["applied"] for each in record["edits"]] == [True, True, False]
    assert record["metrics"]["n_edits_not_applied"] == 1
    assert "Edit 3 (pin (mast, sail))" in (trial.folder / "runs/trial/latest/report.html").read_text()
    assert record["metrics"]["outlier_share"] > 0.1


def test_an_edit_by_number_is_that_of_the_run_that_it_names(trial: Trial) -> None:
    record = trial.run()
    drinks = trial.number("tea")
    run = f"trial/{record['run_id']}"
    trial.edits.write_text(
        f'[[edit]]\naction = "rename"\nrun = "{run}"\ntopics = [{drinks}]\nname = "Drinks"\n'
    )
    trial.run("--set", "cluster.n_clusters=4", "--set", "seed=7")
    named = trial.table().filter(pl.col("name") == "Drinks")
    assert "tea" in named["keywords"][0][:6]
    trial.edits.write_text('[[edit]]\naction = "pin"\nrun = "trial/20200101-000000-gone"\ntopics = [1]\n')
    (lost,) = trial.run()["edits"]
    assert lost["problem"] == (
        "topic 1 is not found: the run whose number it is has no such topic, or is not there any more"
    )


def test_a_rename_counts_no_word_again(trial: Trial) -> None:
    """It once made the keywords, the metrics and the tables of topics again."""
    trial.run()
    pets, drinks, colours = (trial.number(word) for word in ("cat", "tea", "red"))
    trial.edit("rename", pets, "Pets")
    assert set(trial.computed()) == {"rename", "report"}
    record = trial.run()
    assert states(record) == {"rename", "report"}
    topics = trial.table().filter(pl.col("topic") == pets)
    assert topics.select("name", "named_by").row(0) == ("Pets", "person")
    assert trial.table("documents").filter(pl.col("topic") == pets)["topic_name"].unique().to_list() == [
        "Pets"
    ]
    model = json.loads((trial.folder / "runs/trial/latest/model/topics.json").read_text())
    assert "Pets" in model["custom_labels"]
    assert "Pets" in (trial.folder / "runs/trial/latest/report.html").read_text()

    trial.edit("merge", drinks, colours)
    trial.run()
    assert set(trial.table()["name"].to_list()) > {"Pets"}
    (both,) = trial.table().filter(pl.col("name") != "Pets")["topic"]
    trial.edit("rename", both, "Drinks and colours")
    assert set(trial.computed()) == {"rename", "report"}
    record = trial.run()
    assert [each["applied"] for each in record["edits"]] == [True, True, True]
    assert {"Pets", "Drinks and colours"} == set(trial.table()["name"].to_list())


def test_names_beside_the_runs_are_edits_of_a_topic_model(trial: Trial) -> None:
    record = trial.run()
    pets = trial.number("cat")
    names = trial.folder / "runs/trial/topic_names.toml"
    names.write_text(f'[names]\n{pets} = "Pets"\n40 = "Nothing"\n')
    assert set(trial.computed()) == {"rename", "report"}
    record = trial.run()
    assert trial.table().filter(pl.col("name") == "Pets")["topic"].item() == pets
    (note,) = (remark for remark in record["remarks"] if "Edit" in remark)
    assert note.startswith('Edit 2 (rename 40 "Nothing") is not applied: ')
    assert trial.computed() == {}
    names.write_text(f'[names]\n{pets} = "Pets"\n')
    trial.run("--set", "cluster.n_clusters=5", "--set", "seed=3")
    trial.run("--set", "cluster.n_clusters=5", "--set", "seed=3")  # the number may be another topic's now
    assert {"cat", "dog"} <= set(trial.table().filter(pl.col("name") == "Pets")["keywords"][0][:6])
    names.write_text('[names]\nx = "Pets"\n')
    assert trial.command("plan", trial.config).code == 2


def test_a_topic_that_a_person_named_is_not_asked_about(trial: Trial) -> None:
    trial.run()
    trial.edit("rename", trial.number("cat"), "Pets")
    with ChatServer() as server:
        config = trial.folder / "named.toml"
        config.write_text(trial.config.read_text() + f'[names]\nurl = "{server.url}"\nmodel = "m"\n')
        (step,) = (
            step
            for step in json.loads(trial.command("plan", config, "--json").out)
            if step["stage"] == "name"
        )
        assert step["state"] == "compute"
        assert trial.command("run", config).code == 0
        assert len(server.bodies) == 2
        assert json.loads(trial.command("plan", config, "--json").out)[-1]["state"] == "cached"
    named_by = dict(trial.table().select("name", "named_by").iter_rows())
    assert named_by.pop("Pets") == "person"
    assert set(named_by.values()) == {"model"}


def test_edits_of_another_series_in_the_same_folder_stay_away(trial: Trial) -> None:
    first = trial.run()
    trial.edit("rename", 0, "Mine")
    other = trial.command("run", trial.config, "--set", "name=other")
    assert other.code == 0
    assert "edits: 1 in the file for another series (trial), not applied" in other.err
    record = json.loads((trial.folder / "runs/other/latest/run.json").read_text())
    assert keys(record)["label"] == keys(first)["label"]
    assert "edit" not in keys(record)


def test_a_series_of_updates_is_edited_by_the_ids_of_its_topics(topicflow: Command, tmp_path: Path) -> None:
    config = tmp_path / "update.toml"
    config.write_text(dump_config(config_of(tmp_path, story()[:N_FIRST])))
    assert topicflow("update", config).code == 0
    topics = tmp_path / "runs/story/latest/topics.parquet"
    sizes = dict(pl.read_parquet(topics).select("topic", "size").iter_rows())
    edited = topicflow("edit", config, "merge", 0, 2)
    assert edited.out.splitlines()[-1].endswith(f"topics_edits.toml; now: topicflow update {config}")
    said = topicflow("update", config)
    assert said.code == 0, said.err
    assert "update 2: 0 new documents, the edits and names of topics changed\n" in said.out
    table = pl.read_parquet(topics)
    assert sorted(table["size"].to_list()) == sorted([sizes[0] + sizes[2], sizes[1]])
    assert topicflow("update", config).out.startswith("nothing new; ")


def test_a_person_deletes_every_topic_and_new_documents_have_none(topicflow: Command, tmp_path: Path) -> None:
    config = tmp_path / "update.toml"
    config.write_text(dump_config(config_of(tmp_path, story()[:N_FIRST])))
    topicflow("update", config)
    topicflow("edit", config, "delete", 0, 1, 2)
    config.write_text(dump_config(config_of(tmp_path, story())))
    said = topicflow("update", config)
    assert said.code == 0, said.err
    assert pl.read_parquet(tmp_path / "runs/story/latest/documents.parquet")["topic"].unique().to_list() == [
        -1
    ]


def test_a_document_in_passages_moves_as_a_whole(
    topicflow: Command, tmp_path: Path, corpus: Corpus, tiny: Path
) -> None:
    texts = [f"{one} {other}" for one, other in zip(corpus.texts[:60], corpus.texts[60:120], strict=True)]
    split = "[load.split]\nmax_words = 10\noverlap_words = 0"
    stages = QUICK_STAGES.replace('method = "precomputed"\ncolumn = "vector"', f'model = "{tiny}"')
    config = write_table(tmp_path, pl.DataFrame({"text": texts}), f"{split}\n{stages}")
    first = topicflow("run", config)
    assert first.code == 0, first.err
    documents = tmp_path / "runs/trial/latest/documents.parquet"
    before = pl.read_parquet(documents)
    wanted = before.filter(pl.col("topic") == 0)["doc_id"][0]
    moved = topicflow("edit", config, "move", wanted, 1)
    assert moved.code == 0, moved.err
    assert topicflow("run", config).code == 0
    changed = pl.read_parquet(documents).join(before, on="doc_id", suffix="_before")
    target = changed.filter(pl.col("topic_before") == 1)["topic"].mode()[0]
    assert changed.filter(pl.col("doc_id") == wanted).select("topic", "probability").row(0) == (target, 1.0)


WRONG = (
    (["merge", "0", "99"], "edit: no topic 99: trial/"),
    (["merge", "0"], "edit: expected merge TOPIC TOPIC…"),
    (["merge", "0", "0"], "edit: expected merge TOPIC TOPIC…"),
    (["rename", "0", ""], "edit: name: a name has 1 to 200 characters"),
    (["rename", "x", "Name"], "edit: expected rename TOPIC \"NAME\", found 'x'"),
    (["split", "0"], "edit: expected split TOPIC --into N"),
    (["split", "0", "--into", "1"], "edit: into: input should be greater than or equal to 2, found 1"),
    (["delete", "0", "--to", "moon"], "edit: to: input should be 'outliers' or 'next', found 'moon'"),
    (["merge", "0", "1", "--to", "next"], "edit: merge has no key to"),
    (["move", "nowhere", "0"], "edit: no document 'nowhere' in trial/"),
    (["glue", "0"], "edit: no action 'glue'; there are merge, rename,"),
    (["undo", "1"], "topics_edits.toml: no edit 1; there are no edits"),
    (["undo", "0"], "topics_edits.toml: no edit 0; there are no edits"),
    (["undo"], "edit: expected undo N, found nothing"),
)
"""Words after `topicflow edit CONFIG`, and what the command answers."""


def test_a_wrong_edit_is_one_line_and_writes_nothing(trial: Trial) -> None:
    trial.run()
    for words, said in WRONG:
        outcome = trial.edit(*words)
        assert (outcome.code, len(outcome.errors)) == (2, 1), words
        assert said in outcome.errors[0]
    assert not trial.edits.exists()


def test_a_config_without_runs_or_with_a_wrong_file_is_refused(trial: Trial) -> None:
    before = trial.edit("merge", 0, 1)
    assert (before.code, len(before.errors)) == (2, 1)
    assert "trial" in before.errors[0]
    gone = trial.command("plan", trial.config, "--set", "edits.path=mine.toml")
    assert gone.code == 2
    assert gone.errors == [
        f"error: edits.path: {trial.folder}/mine.toml: no such file or directory; `topicflow edit` makes the file"
    ]
    trial.edits.write_text("[[edit")
    for command in ("plan", "run"):
        damaged = trial.command(command, trial.config)
        assert (damaged.code, len(damaged.errors)) == (2, 1)
        assert "topics_edits.toml: not valid TOML" in damaged.errors[0]
