"""Given topics in a series of updates: they keep name and id, fill later, and follow edits and refits."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from tests.fakes import TOPIC_WORDS
from tests.updates import N_FIRST, EditedSeries, config_of, documents_of, new_topic, run_once, story, tell
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.tasks.core.clusters.matching import match_sets
from topicflow.tasks.edits.edit import final_numbers
from topicflow.tasks.encoding.encoders import SentenceTransformersEncoder
from topicflow.tasks.store.artifact_store import ArtifactRef, open_store
from topicflow.tasks.updates.given_topics import Unedited, given_numbers
from topicflow.tasks.updates.topic_state import read_state

GIVEN = ("cat dog", "rocket orbit", "red blue")
"""The second has no documents in the first run; the drinks of the story are found."""

DRIFT = {"on_drift": "warn", "min_documents": 10}
ABOUT = (*TOPIC_WORDS, ("rocket", "orbit", "moon"))


def vector(word: str) -> np.ndarray:
    """Return the vector of a word: near the axis of its subject."""
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    found = 0.35 * np.random.default_rng(seed).standard_normal(32)
    for axis, words in enumerate(ABOUT):
        found[axis] += 1.6 * (word in words)
    return found * (0.3 if re.match(r"d\d+$", word) else 1.0)


def encode(_: object, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.array([sum((vector(word) for word in text.split()), np.zeros(32)) for text in texts])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.array([len(text.split()) for text in texts], np.int32)


class Series(EditedSeries):
    """A series of updates of the planted story with given topics, and edits."""

    def __init__(self, folder: Path, model: Path) -> None:
        super().__init__(folder)
        self.model = model

    def config(
        self, table: pl.DataFrame, names: tuple[str, ...] = GIVEN, threshold: float = 0.6, **changes: Any
    ) -> UpdateTopicsConfig:
        config = config_of(
            self.folder,
            table.drop("vector"),
            edits={"path": str(self.edits)},
            **{"drift": DRIFT, **changes},
        )
        values = config.model_dump(mode="json", exclude_unset=True) | {
            "embed": {"model": str(self.model)},
            "topics": {"names": names, "threshold": threshold},
        }
        return type(config).model_validate(values)

    def tell(self, table: pl.DataFrame, *names: tuple[str, ...], **changes: Any) -> dict[str, Any]:
        return tell(self.config(table, *names, **changes))

    def topics(self, record: dict[str, Any]) -> dict[int, tuple[str, int, str]]:
        """Return name, size and origin of the name of each topic, by lasting id."""
        path = self.folder / "runs/story" / record["run_id"] / "topics.parquet"
        rows = pl.read_parquet(path).select("topic", "name", "size", "named_by").iter_rows()
        return {topic: (name, size, by) for topic, name, size, by in rows}

    def sizes(self, record: dict[str, Any]) -> list[int]:
        topics = self.topics(record)
        return [topics[topic][1] for topic in sorted(topics)]


@pytest.fixture
def series(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Series:
    monkeypatch.setattr(SentenceTransformersEncoder, "encode", encode)
    return Series(tmp_path, tiny)


def truths(documents: pl.DataFrame, topic: int) -> set[int]:
    return set(documents.filter(pl.col("topic") == topic)["truth"].to_list())


def test_new_documents_go_to_given_topics_and_an_empty_one_fills(series: Series) -> None:
    first = series.tell(story()[:N_FIRST])
    assert series.sizes(first) == [37, 0, 39, 44]
    assert [series.topics(first)[topic][0] for topic in range(3)] == list(GIVEN)
    assert {series.topics(first)[topic][2] for topic in range(3)} == {"person"}
    assert series.topics(first)[3][2] == "keywords"
    rows = first["given_topics"]
    assert [(row["topic"], row["name"], row["size"]) for row in rows] == [
        (topic, name, size) for topic, (name, size) in enumerate(zip(GIVEN, (37, 0, 39), strict=True))
    ]
    assert first["metrics"]["given_empty"] == 1

    rockets = new_topic(24, axis=7, start=180)
    second = series.tell(pl.concat([story(), rockets]))
    assert not second["update"]["refit"]
    assert series.sizes(second) == [60, 24, 60, 60]
    documents = documents_of(series.folder, second)
    assert [truths(documents, topic) for topic in range(4)] == [{0}, {3}, {2}, {1}]
    assert documents["topic"][:N_FIRST].to_list() == documents_of(series.folder, first)["topic"].to_list()
    assert [row["size"] for row in second["given_topics"]] == [60, 24, 60]
    assert [row["threshold"] for row in second["given_topics"]] == [row["threshold"] for row in rows]
    assert second["metrics"]["given_empty"] == 0
    assert second["metrics"]["given_share"] == pytest.approx(144 / 204)
    near = documents.filter(pl.col("topic").is_between(0, 2))["probability"]
    assert near.min() > 0.5
    computed = {stage["stage"] for stage in second["stages"] if stage["state"] == "computed"}
    assert not computed & {"given", "cluster", "label"}


def test_given_topics_of_a_run_stay_in_the_updates_that_continue_it(series: Series) -> None:
    run = run_once(series.config(story()[:N_FIRST]))
    before = series.topics(run)
    record = series.tell(pl.concat([story(), new_topic(24, axis=7, start=180)]))
    assert (record["update"]["number"], record["update"]["refit"]) == (2, False)
    assert series.sizes(record) == [60, 24, 60, 60]
    now = series.topics(record)
    assert {topic: (name, by) for topic, (name, _, by) in now.items()} == {
        topic: (name, by) for topic, (name, _, by) in before.items()
    }
    assert [now[topic][0] for topic in range(3)] == list(GIVEN)
    assert [truths(documents_of(series.folder, record), topic) for topic in range(4)] == [{0}, {3}, {2}, {1}]


def test_a_document_below_the_threshold_follows_the_clusters_and_not_the_given_topics(
    series: Series,
) -> None:
    """Its nearest fitted documents are those of a given topic, for which it is not near enough."""
    first = series.tell(story()[:N_FIRST], threshold=0.8)
    assert series.sizes(first)[0] > 20
    text = pl.lit("cat zebra yak gnu emu owl ape")
    odd = story()[120:121].with_columns(id=pl.lit("odd"), text=text)
    record = series.tell(pl.concat([story()[:N_FIRST], odd]), threshold=0.8)
    documents = documents_of(series.folder, record)
    assert documents.filter(pl.col("doc_id") == "odd")["topic"].to_list() == [-1]
    like = story()[120:121].with_columns(id=pl.lit("like"), text=pl.lit("cat dog bird fish horse sheep"))
    record = series.tell(pl.concat([story()[:N_FIRST], odd, like]), threshold=0.8)
    assert documents_of(series.folder, record)["topic"][-1] == 0


def test_given_topics_keep_their_ids_over_refits_by_name(series: Series) -> None:
    first = series.tell(story()[:N_FIRST])
    other = ("red blue", "rocket orbit", "cat dog")
    second = series.tell(story(), other)
    assert second["update"]["refit"]
    assert "the config that fits" in second["update"]["reason"]
    names = {topic: name for topic, (name, _, _) in series.topics(second).items()}
    assert [names[topic] for topic in range(3)] == list(GIVEN)
    documents = documents_of(series.folder, second)
    assert (truths(documents, 0), truths(documents, 2)) == ({0}, {2})
    assert second["lineage"]["died"] == 0

    third = series.tell(pl.concat([story(), new_topic(5, 7, 180)]), (*other, "tea milk"))
    topics = series.topics(third)
    found = next(topic for topic, (name, _, _) in topics.items() if name == "tea milk")
    assert truths(documents_of(series.folder, third), found) == {1}
    assert topics[found][2] == "person"
    assert {0, 1, 2} <= set(topics)
    assert series.topics(first)[3][0] not in {name for name, _, _ in topics.values()}


def test_edits_of_given_topics_hold_for_new_documents(series: Series) -> None:
    series.tell(story()[:N_FIRST])
    series.edit("merge", 0, 2)
    second = series.tell(story()[:N_FIRST])
    assert [each["applied"] for each in second["edits"]] == [True]
    topics = series.topics(second)
    (merged,) = (topic for topic, (_, size, _) in topics.items() if size == 76)
    assert topics[merged][0] == "cat dog"
    assert topics[1] == ("rocket orbit", 0, "person")  # no edit takes an empty one away

    third = series.tell(pl.concat([story(), new_topic(6, axis=7, start=180)]))
    assert not third["update"]["refit"]
    documents = documents_of(series.folder, third)
    assert truths(documents, merged) == {0, 2}
    assert (documents["topic"] == merged).sum() == 120
    assert truths(documents, 1) == {3}
    assert [row["topic"] for row in third["given_topics"]] == [merged, 1, None]

    series.edits.write_text("")
    undone = series.tell(pl.concat([story(), new_topic(6, axis=7, start=180)]))
    assert series.sizes(undone) == [60, 6, 60, 60]
    assert [series.topics(undone)[topic][0] for topic in range(3)] == list(GIVEN)


def test_parts_of_a_split_given_topic_share_its_new_documents(series: Series) -> None:
    series.tell(story()[:N_FIRST])
    series.edit("split", 0, into=2)
    series.tell(story()[:N_FIRST])
    record = series.tell(story())
    documents = documents_of(series.folder, record)
    own = documents.filter(pl.col("truth") == 0)
    new = own.filter(pl.col("update") == record["update"]["number"])
    assert new.height == 23
    assert set(new["topic"].to_list()) <= set(own["topic"].to_list())
    assert own["topic"].n_unique() == 2
    assert "cat dog" not in {name for name, _, _ in series.topics(record).values()}


def test_batches_may_have_no_columns_of_their_own(series: Series) -> None:
    none = {"columns": []}
    series.tell(story()[:N_FIRST], load=none)
    assert series.tell(story()[:150], load=none, seed=7)["update"]["refit"]
    record = series.tell(story()[:170], seed=7, groups={"columns": ["truth"]})
    path = series.folder / "runs/story" / record["run_id"] / "topics_by_group.parquet"
    assert pl.read_parquet(path)["n_documents"].sum() == 20
    assert documents_of(series.folder, record)["truth"].null_count() == 150


def test_an_update_refuses_seeds() -> None:
    seeds = {"method": "seeded", "names": ["a", "b"]}
    with pytest.raises(
        ValidationError, match=r"topics\.method='seeded': updates fit without seeds so far; use 'zero-"
    ):
        UpdateTopicsConfig(load={"path": "a.csv"}, topics=seeds)


def test_a_fixed_pair_is_matched_without_a_shared_document() -> None:
    shared = np.array([[10, 0], [0, 0]])
    sizes = np.array([10, 0])
    assert match_sets(shared, sizes, sizes, 0.4).old_of.tolist() == [0, -1]
    assert match_sets(shared, sizes, sizes, 0.4, fixed={1: 1}).old_of.tolist() == [0, 1]
    assert match_sets(shared, sizes, sizes, 0.4, fixed={1: 0}).old_of.tolist() == [-1, 0]


def test_given_topics_come_first_after_edits_and_empty_ones_stay() -> None:
    before = np.array([0, 0, 2, 3, 3, 3, 3], np.int32)
    merged = np.where(before == 2, 0, before).astype(np.int32)
    assert final_numbers(before, merged, 3).tolist() == [0, 1, -1, 2]
    assert final_numbers(before, before, 0).tolist() == [1, -1, 2, 0]
    assert final_numbers(before, np.full(7, -1, np.int32), 3).tolist() == [-1, 0, -1]


def test_a_topic_may_have_many_parts_that_are_all_small() -> None:
    edited = np.repeat(np.arange(30), 10).astype(np.int32)
    assert Unedited(np.zeros(300, np.int32), edited).parts(0).tolist() == list(range(30))
    edited = np.repeat([4, 2, 3], [100, 50, 3]).astype(np.int32)
    assert Unedited(np.zeros(153, np.int32), edited).parts(0).tolist() == [4, 2]


def test_a_topic_that_edits_took_away_has_no_number(series: Series) -> None:
    record = series.tell(story()[:N_FIRST])
    store = open_store(config_of(series.folder, story()).runtime)
    state = read_state(store, record["update"]["state"])
    labels = ArtifactRef("labels", state.fit.labels, "given")
    assert given_numbers(store, labels) == {name: number for number, name in enumerate(GIVEN)}
