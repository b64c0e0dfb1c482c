"""Topics over time, by group and by share in a series of updates: equal to those of all documents, and kept."""

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.sparse import csr_matrix

from tests.updates import N_FIRST, config_of, documents_of, new_topic, story, tell
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.planning.update_plan import plan_update
from topicflow.tasks.core.words.joined_counts import join_counts
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.periods.counted import Counted
from topicflow.tasks.periods.groups import groups
from topicflow.tasks.periods.periods import periods
from topicflow.tasks.publish.slice_tables import lasting_topics_of
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe, open_store
from topicflow.tasks.topics.count import count
from topicflow.tasks.updates.merge_batches import merge_batches
from topicflow.tasks.updates.overview import read_batches
from topicflow.tasks.updates.topic_state import documents_of as documents_of_batch
from topicflow.tasks.updates.topic_state import read_state

Record = dict[str, Any]

SECTIONS: dict[str, Any] = {
    "periods": {"every": "day"}, "groups": {"columns": ["truth"]}, "shares": {"words": True},
    "count": {"min_df": 2},
}  # fmt: skip
TABLES = ("topics_over_time", "topic_trends", "topics_by_group")


def written(folder: Path, record: Record, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "runs/story" / record["run_id"] / f"{name}.parquet")


def config(folder: Path, n: int, **changes: Any) -> UpdateTopicsConfig:
    return config_of(folder, story()[:n], **{**SECTIONS, **changes})


def states(record: Record) -> dict[str, str]:
    return {stage["stage"]: stage["state"] for stage in record["stages"]}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A series with a first run and two updates that fit nothing."""
    folder = tmp_path_factory.mktemp("sliced")
    return folder, [tell(config(folder, n)) for n in (N_FIRST, 150, 170)]


@pytest.fixture
def series(begun: tuple[Path, list[Record]], tmp_path: Path) -> Path:
    shutil.copytree(begun[0], tmp_path / "series", symlinks=True)
    return tmp_path / "series"


def test_the_tables_equal_those_of_all_documents_together(begun: tuple[Path, list[Record]]) -> None:
    folder, (*_, last) = begun
    assert [record["update"]["refit"] for record in begun[1]] == [True, False, False]
    chosen = config(folder, 170)
    store = open_store(chosen.runtime)
    context = Context(store, chosen.seed, RuntimeConfig())
    state = read_state(store, last["update"]["state"])
    documents = merge_batches.fn(context, list(map(documents_of_batch, state.batches)))
    counts = count.fn(context, documents, chosen.count)
    recipe = Recipe("test", "labels", 1)
    with store.writing(recipe) as writer:
        writer.save_array("labels", read_batches(store, state.batches, "cluster", "labels"))
    together = Counted(documents, store.committed(recipe, writer), counts)
    over_time = periods.fn(context, together, chosen.periods, chosen.label)
    grouped = groups.fn(context, together, chosen.groups, chosen.label)
    ids = np.asarray(state.ids, np.int32)
    for name, ref, table in zip(
        TABLES, (over_time, over_time, grouped), ("over_time", "trends", "groups"), strict=True
    ):
        wanted = lasting_topics_of(store.table(ref, table), ids).collect()
        assert_frame_equal(written(folder, last, name), wanted)
    assert written(folder, last, "topics_over_time")["n_documents"].sum() == 170
    assert written(folder, last, "topics_by_group")["n_documents"].sum() == 170


def test_only_new_documents_are_divided_and_old_shares_stay(begun: tuple[Path, list[Record]]) -> None:
    folder, (first, second, last) = begun
    rows = {stage["stage"]: stage["rows"] for stage in last["stages"] if stage["state"] == "computed"}
    assert (rows["shares"], rows["count"], rows["count_batch"]) == (20, 20, 20)
    tables = [documents_of(folder, record) for record in (first, second, last)]
    for before, after in itertools.pairwise(tables):
        assert_frame_equal(
            before.select("topic_shares", "topic_words"),
            after.head(before.height)[:, ["topic_shares", "topic_words"]],
        )
    new = tables[-1].tail(50)
    shares = new["topic_shares"].list.eval(pl.element().struct.field("share").sum()).list.first()
    assert (shares - 1).abs().max() < 1e-5
    is_clear = (new["probability"] >= 0.5) & (new["topic"] >= 0)
    first_topic = new["topic_shares"].list.first().struct.field("topic")
    assert is_clear.sum() > 30
    assert (first_topic == new["topic"]).filter(is_clear).all()
    assert new["topic_words"].list.len().max() > 2


def test_a_section_that_is_added_takes_effect_without_new_documents(series: Path) -> None:
    nothing = tell(config(series, 170))
    assert nothing["state"] == "unchanged"
    added = tell(config(series, 170, groups={"columns": ["truth", "id"]}))
    assert (added["update"]["n_new"], added["update"]["number"]) == (0, 4)
    assert set(written(series, added, "topics_by_group")["column"]) == {"truth", "id"}
    computed = [stage for stage, state in states(added).items() if state == "computed"]
    assert computed == ["groups", "overview", "gate", "state"]
    without = tell(config(series, 170, periods=None, groups=None, shares=None))
    folder = series / "runs/story" / without["run_id"]
    assert not [*folder.glob("topics_*.parquet"), *folder.glob("topic_trends.parquet")]
    assert "topic_shares" not in documents_of(series, without).columns


def test_after_a_refit_tables_have_lasting_ids_and_the_page_shows_them(series: Path) -> None:
    drift = {"min_documents": 10}
    table = pl.concat([story(), new_topic(75, axis=7, start=180)])
    record = tell(config_of(series, table, **SECTIONS, drift=drift))
    assert record["update"]["refit"]
    topics = written(series, record, "topics")
    assert topics["topic"].to_list() != topics["model_topic"].to_list()  # numbers of the fit would be noticed
    documents = documents_of(series, record)
    over_time = written(series, record, "topics_over_time")
    sizes = dict(over_time.group_by("topic").agg(pl.col("n_documents").sum()).iter_rows())
    assert sizes == dict(documents.group_by("topic").len().iter_rows())
    first = documents["topic_shares"].list.first().struct.field("topic")
    is_clear = (documents["probability"] >= 0.5) & (documents["topic"] >= 0)
    assert (first == documents["topic"]).filter(is_clear).all()
    page = (series / "runs/story" / record["run_id"] / "report.html").read_text()
    blocks = dict(re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', page, re.DOTALL))
    counts = {entry["topic"]: sum(entry["counts"]) for entry in json.loads(blocks["periods"])["topics"]}
    assert counts == {topic: size for topic, size in sizes.items() if topic >= 0}
    truth = {row["value"]: row for row in json.loads(blocks["groups"])[0]["values"]}
    rockets = documents.filter(pl.col("truth") == 3)["topic"].mode()[0]
    assert rockets in {row["topic"] for row in truth["3"]["topics"]}


def test_a_batch_that_was_read_without_times_is_undated(tmp_path: Path) -> None:
    undated = {"load": {"timestamp_column": None}, "new_documents": {"watermark": None}}
    tell(config_of(tmp_path, story()[:N_FIRST], **undated))
    dated = {"new_documents": {"watermark": None}, "periods": SECTIONS["periods"]}
    record = tell(config_of(tmp_path, story()[:150], **dated))
    assert not record["update"]["refit"]
    assert written(tmp_path, record, "topics_over_time")["n_documents"].sum() == 30


def test_a_column_that_no_batch_has_stops_the_update_before_the_vectors(series: Path) -> None:
    n_vectors = len(list((series / "store/embeddings").iterdir()))
    with pytest.raises(DataError, match="no column 'trith'"):
        tell(config(series, 180, groups={"columns": ["trith"]}))
    assert len(list((series / "store/embeddings").iterdir())) == n_vectors


def test_gc_keeps_counts_and_shares_of_all_batches(series: Path) -> None:
    for old in sorted((series / "runs/story").glob("2*"))[:-1]:
        shutil.rmtree(old)
    collect_garbage(ArtifactStore(series / "store"), [series / "runs"], 0.0)
    record = tell(config(series, 175))
    assert record["update"]["number"] == 4
    rows = {stage["stage"]: stage["rows"] for stage in record["stages"]}
    assert (rows["shares"], rows["count_batch"]) == (5, 5)


def planned(chosen: UpdateTopicsConfig) -> dict[str, str]:
    return {step.stage: "hit" if step.is_hit else step.reason for step in plan_update(chosen)}


def test_the_plan_says_what_is_computed_and_for_which_documents(series: Path) -> None:
    assert planned(config(series, 170))["load"] == "looks for documents that no run has seen"
    tell(config(series, 170))
    assert planned(config(series, 170)) == {"load": "hit"}
    other = planned(config(series, 170, periods={"every": "hour"}))
    assert list(other) == ["load", "shares", "periods", "groups", "overview", "gate"]

    chosen = config(series, 180)
    told = planned(chosen)
    assert told["shares"] == "new documents only; the shares of 170 documents are kept"
    assert told["periods"] == "all documents; the words of 170 documents are counted already"
    record = tell(chosen)
    assert set(told) == {stage["stage"] for stage in record["stages"]} - {"count_batch", "state"}
    other_shares = planned(config(series, 180, shares={"top": 2}))
    assert other_shares["shares"].startswith("all documents")
    refit = planned(config(series, 180, seed=5))
    assert "the config that fits is another one" in refit["cluster"]
    more = pl.concat([story(), new_topic(5, axis=0, start=180)])
    again = tell(config_of(series, more, **SECTIONS, seed=5))
    assert set(refit) == {stage["stage"] for stage in again["stages"]} - {"count_batch", "state"}
    begin = planned(config(series, 180, name="other"))
    assert set(begin.values()) == {"first run"}


WORDS = st.lists(st.sampled_from(["a", "b", "ä", "東京", "zz", "Z"]), max_size=6)


@given(st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=4), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_joined_counts_are_those_of_all_texts(batches: list[list[list[str]]], min_df: int) -> None:
    def counted_words(texts: list[list[str]], words: list[str]) -> csr_matrix:
        return csr_matrix(np.array([[text.count(word) for word in words] for text in texts], np.int32))

    def words_of(texts: list[list[str]], at_least: int = 1) -> list[str]:
        times = {word: sum(word in text for text in texts) for text in texts for word in text}
        return sorted([w for w, n in times.items() if n >= at_least] or times)

    everything = [text for texts in batches for text in texts]
    joined, words = join_counts(
        [(counted_words(texts, words_of(texts)), words_of(texts)) for texts in batches], min_df
    )
    assert words == words_of(everything, min_df)
    np.testing.assert_array_equal(joined.toarray(), counted_words(everything, words).toarray())
    assert joined.has_sorted_indices
