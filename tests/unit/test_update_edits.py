"""Edits in a series of updates: with and without new documents, through a refit, undone; and names."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.updates import N_FIRST, EditedSeries, config_of, documents_of, story, tell
from topicflow.tasks.edits.edits_file import without_edit
from topicflow.tasks.updates.edited_ids import ids_by_documents, unedited_ids


class Series(EditedSeries):
    """A series of updates of the planted story, and edits of its topics."""

    def tell(self, n: int = N_FIRST, **changes: Any) -> dict[str, Any]:
        table = story()[:n]
        return tell(config_of(self.folder, table, edits={"path": str(self.edits)}, **changes))

    def topic_of(self, record: dict[str, Any], truth: int) -> int:
        """Return the topic of most documents of a planted topic."""
        own = documents_of(self.folder, record).filter(pl.col("truth") == truth)["topic"]
        return int(own.mode()[0])

    def topics(self, record: dict[str, Any]) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "runs/story" / record["run_id"] / "topics.parquet")


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return Series(tmp_path)


def test_edits_hold_without_new_documents_with_them_and_through_a_refit(series: Series) -> None:
    first = series.tell()
    a, b, c = (series.topic_of(first, truth) for truth in range(3))
    series.edit("merge", a, b)
    series.edit("rename", c, "Colours")
    second = series.tell()
    assert (second["update"]["number"], second["update"]["n_new"], second["update"]["refit"]) == (2, 0, False)
    assert [each["applied"] for each in second["edits"]] == [True, True]
    assert series.topic_of(second, 0) == series.topic_of(second, 1) in {a, b}
    assert series.topic_of(second, 2) == c
    topics = series.topics(second)
    assert topics.height == second["metrics"]["n_topics"] == 2
    named = topics.filter(pl.col("topic") == c)
    assert named.select("name", "named_by").row(0) == ("Colours", "person")
    stages = [stage["stage"] for stage in second["stages"]]
    assert {"neighbors", "reduce", "cluster", "label", "embed"} & set(stages) == set()
    assert series.tell()["state"] == "unchanged"

    third = series.tell(n=180)  # new documents are assigned to the edited topics
    assert (third["update"]["n_new"], third["update"]["refit"]) == (60, False)
    new = documents_of(series.folder, third)[N_FIRST:]
    assert set(new["topic"]) <= {series.topic_of(second, 0), c, -1}
    assert series.topics(third).filter(pl.col("topic") == c)["name"].item() == "Colours"

    series.edits.write_text(without_edit(series.edits.read_text(), 1, "edits"))
    undone = series.tell(n=180)
    assert undone["update"]["n_new"] == 0
    assert series.topics(undone).height == 3
    assert [series.topic_of(undone, truth) for truth in range(3)] == [a, b, c]  # the id that ended is back
    later = documents_of(series.folder, undone)[N_FIRST:]
    agree = later.filter(pl.col("topic") >= 0).group_by("truth").agg(pl.col("topic").n_unique())
    assert agree["topic"].to_list() == [1, 1, 1]


def test_a_refit_finds_the_edited_topics_again(series: Series) -> None:
    first = series.tell()
    gone, kept = series.topic_of(first, 0), series.topic_of(first, 1)
    series.edit("delete", gone)
    series.edit("pin", kept)
    name = series.topics(first).filter(pl.col("topic") == kept)["name"].item()
    refit = series.tell(n=180, seed=7)
    assert refit["update"]["refit"]
    assert [each["applied"] for each in refit["edits"]] == [True, True]
    documents = documents_of(series.folder, refit)
    assert (documents.filter(pl.col("truth") == 0)["topic"] < 0).mean() > 0.9
    topics = series.topics(refit)
    assert topics.filter(pl.col("topic") == kept).select("name", "named_by").row(0) == (name, "person")
    assert series.tell(n=180, seed=7)["state"] == "unchanged"


def test_documents_that_came_after_the_fit_can_be_moved(series: Series) -> None:
    first = series.tell()
    a, b = series.topic_of(first, 0), series.topic_of(first, 1)
    second = series.tell(n=180)
    new = documents_of(series.folder, second)[N_FIRST:].filter(pl.col("topic") == a)
    old = documents_of(series.folder, second)[:N_FIRST].filter(pl.col("topic") == a)
    series.edit("move", new["doc_id"][0], old["doc_id"][0], b)
    third = series.tell(n=180)
    assert third["edits"][0]["problem"] == ""
    changed = documents_of(series.folder, third)
    moved = changed.filter(pl.col("doc_id").is_in([new["doc_id"][0], old["doc_id"][0]]))
    assert moved.select("topic", "probability").rows() == 2 * [(b, 1.0)]
    before = documents_of(series.folder, second)
    same = changed.join(before, on="doc_id").filter(pl.col("topic") == pl.col("topic_right"))
    assert same.height == 178
    assert series.tell(n=180)["state"] == "unchanged"


def test_names_beside_the_runs_hold_without_new_documents(series: Series) -> None:
    first = series.tell()
    number = series.topic_of(first, 0)
    (series.folder / "runs/story/topic_names.toml").write_text(f'[names]\n{number} = "Pets"\n')
    second = series.tell()
    assert second["update"]["n_new"] == 0
    assert series.topics(second).filter(pl.col("topic") == number)["name"].item() == "Pets"
    assert series.tell()["state"] == "unchanged"


def test_ids_come_back_after_a_refit_too(series: Series) -> None:
    first = series.tell()
    a, b, c = (series.topic_of(first, truth) for truth in range(3))
    series.edit("merge", a, b)
    refit = series.tell(n=180, seed=7)
    assert refit["update"]["refit"]
    merged = series.topic_of(refit, 0)
    assert merged == series.topic_of(refit, 1) in {a, b}
    series.edits.write_text("")
    undone = series.tell(n=180, seed=7)
    assert not undone["update"]["refit"]
    assert {series.topic_of(undone, truth) for truth in range(3)} == {a, b, c}
    assert series.topic_of(undone, 2) == c


def test_parts_of_a_split_keep_their_ids_when_other_edits_are_added(series: Series) -> None:
    first = series.tell()
    a, b = series.topic_of(first, 0), series.topic_of(first, 1)
    series.edit("split", a, into=2)
    split = series.tell()
    parts = set(series.topics(split)["topic"])
    assert parts == {0, 1, 2, 3}
    series.edit("rename", b, "Drinks")
    renamed = series.tell()
    both = documents_of(series.folder, split).join(documents_of(series.folder, renamed), on="doc_id")
    assert both.filter(pl.col("topic") != pl.col("topic_right")).height == 0
    series.edits.write_text("")
    assert set(series.topics(series.tell())["topic"]) == {0, 1, 2}


def test_an_id_goes_to_the_topic_with_at_least_half_of_its_documents() -> None:
    old, new = np.array([0, 0, 0, 1, 1, -1, 2, 2]), np.array([5, 5, 6, 6, 7, 7, 7, 8])
    found = ids_by_documents(new, old, [10, 11, 12], [5, 6, 7, 8], [12])
    assert found == {5: 10}  # 10 is used for 6 then, 7 has a third of each, and 12 is another topic's
    assert ids_by_documents(new, old, [10, 11, 12], [6, 5], []) == {6: 10}
    plain, merged = np.array([0, 0, 1, 2, 3]), np.array([0, 0, 0, -1, -1])  # the last document is new
    assert unedited_ids(plain, merged, [4], None) == {0: 4}
    assert unedited_ids(plain, merged, [4], (np.array([0, 0, 1, 2]), [4, 9, 6])) == {0: 4, 1: 9, 2: 6}


def test_a_rename_assigns_no_document_again(series: Series) -> None:
    series.tell()
    record = series.tell(150)
    one, two, _ = (series.topic_of(record, truth) for truth in range(3))
    series.edit("rename", one, "First")
    renamed = series.tell(150)
    computed = [stage["stage"] for stage in renamed["stages"] if stage["state"] == "computed"]
    assert computed == ["load", "rename", "overview", "gate", "state"]
    assert {"First"} < set(series.topics(renamed)["name"].to_list())
    assert [each["applied"] for each in renamed["edits"]] == [True]

    series.edit("merge", one, two)
    merged = series.tell(150)
    assert "assign_again" in {stage["stage"] for stage in merged["stages"]}
    series.edit("rename", series.topic_of(merged, 0), "Both")
    again = series.tell(160)  # with new documents
    computed = [stage["stage"] for stage in again["stages"] if stage["state"] == "computed"]
    assert "rename" in computed
    assert not {"edit", "label_edited", "assign_again", "cells"} & set(computed)
    assert "Both" in series.topics(again)["name"].to_list()
    assert series.topic_of(again, 0) == series.topic_of(again, 1)
    series.edits.write_text(without_edit(without_edit(series.edits.read_text(), 3, "edits"), 1, "edits"))
    plain = series.tell(160)
    assert not {"First", "Both"} & set(series.topics(plain)["name"].to_list())
    assert plain["n_topics"] == 2


def test_a_name_of_an_edit_is_gone_with_it(series: Series) -> None:
    first = series.tell()
    number = series.topic_of(first, 0)
    before = series.topics(first).filter(pl.col("topic") == number)["name"].item()
    series.edit("rename", number, "Pets")
    assert "Pets" in series.topics(series.tell())["name"].to_list()
    series.edits.write_text("")
    record = series.tell()
    assert series.topics(record).filter(pl.col("topic") == number).select("name", "named_by").row(0) == (
        before, "keywords",
    )  # fmt: skip
    assert "edits" not in record
