"""Given topics: documents near a name, whatever their order; the rest keeps its clusters; files of topics."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.fakes import save
from topicflow.configs.sections.cluster import GraphCluster, KMeansCluster
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.tasks.core.clusters import given as core
from topicflow.tasks.core.clusters.given import fit_given, nearest_names, place
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.given.classes import plain
from topicflow.tasks.given.given import combined, figures, smallest
from topicflow.tasks.given.topics_file import GivenTopic, given_topics
from topicflow.tasks.publish.known_topics.given import given_remarks
from topicflow.tasks.store.artifact_store import ArtifactStore

N, DIM = 300, 32


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return documents around four axes, the axis of each, and names that are far from their documents' mean."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), N // 4)
    axes = np.eye(4, DIM)
    vectors = axes[truth] + 0.15 * rng.normal(size=(N, DIM))
    names = axes + 0.25 * rng.normal(size=(4, DIM))
    return unit(vectors), truth, unit(names)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_documents_go_to_their_topic_and_others_to_none() -> None:
    vectors, truth, names = planted()
    placed = place(vectors, fit_given(vectors, names[:2], 0.6))
    inside = truth < 2
    assert (placed.topics[inside] == truth[inside]).mean() > 0.9
    assert (placed.topics[~inside] < 0).all()
    assert placed.nearness[inside].mean() > 0.8
    assert placed.nearness[~inside].mean() < 0.3


def test_moving_towards_the_documents_beats_the_nearest_name() -> None:
    rng = np.random.default_rng(1)
    vectors, truth, names = planted(1)
    names = unit(names + 0.6 * rng.normal(size=DIM) / DIM**0.5)
    nearest = (nearest_names(vectors, names) == truth).mean()
    assert (place(vectors, fit_given(vectors, names, 0.0)).topics == truth).mean() >= nearest


@pytest.mark.parametrize("fitted", [core.FITTED, 120])
def test_the_order_of_documents_and_blocks_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, fitted: int
) -> None:
    vectors, _, names = planted()
    monkeypatch.setattr(core, "FITTED", fitted)
    whole = place(vectors, fit_given(vectors, names, 0.6)).topics
    order = np.random.default_rng(2).permutation(N)
    monkeypatch.setattr(core, "BLOCK_ROWS", 64)
    shuffled = place(vectors[order], fit_given(vectors[order], names, 0.6)).topics
    np.testing.assert_array_equal(shuffled, whole[order])


def test_a_higher_threshold_never_places_more() -> None:
    vectors, _, names = planted()
    given = fit_given(vectors, names, 0.6)
    assert (given.threshold > given.usual).all()
    assert (given.threshold < given.own).all()
    n = [
        int((place(vectors, fit_given(vectors, names, share)).topics >= 0).sum()) for share in (0.0, 0.5, 0.9)
    ]
    assert n[0] >= n[1] >= n[2] > 0


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_documents_and_equal_ones(n: int) -> None:
    vectors = np.tile(unit(np.ones((1, DIM))), (n, 1))
    placed = place(vectors, fit_given(vectors, vectors[:1], 0.6))
    assert np.isfinite(placed.nearness).all()
    assert len(placed.topics) == n


def test_found_topics_follow_given_ones_and_what_is_left_of_a_cluster_is_no_topic() -> None:
    given = np.array([0, 0, -1, -1, -1, -1, 2, -1, -1], np.int32)
    clusters = np.array([0, 0, 0, 1, 1, 1, -1, 2, -1], np.int32)
    assert combined(given, clusters, 3, 2).tolist() == [0, 0, -1, 3, 3, 3, 2, -1, -1]
    assert combined(given, clusters, 3, 1).tolist() == [0, 0, 4, 3, 3, 3, 2, 5, -1]
    nothing = np.full(9, -1, np.int32)
    assert combined(given, nothing, 3, 2).tolist() == given.tolist()


def test_the_smallest_topic_is_that_of_the_clusters() -> None:
    chosen = {"size_choice": {"min_cluster_size": 17}}
    assert smallest(GraphCluster(min_cluster_size=9), {}) == 9
    assert smallest(GraphCluster(min_cluster_size="auto"), chosen) == 17
    assert smallest(KMeansCluster(method="kmeans", n_clusters=3), chosen) == 2


def test_figures_by_hand(store: ArtifactStore) -> None:
    classes = ["Card_Arrival", "Card_Arrival", "refund", "oos", "oos", None]
    documents = save(store, "documents", {"documents": pl.DataFrame({"label": classes})})
    topics = (GivenTopic(name="card arrival"), GivenTopic(name="weather"))
    placed = core.Placed(np.array([0, -1, 0, 1, -1, -1], np.int32), np.ones(6, np.float32))
    nearest = np.array([0, 1, 0, 1, 1, 0], np.int32)
    found = figures(store, documents, topics, placed, nearest)
    assert found == {
        "given_share": 0.5, "given_empty": 0, "given_as_nearest": 1.0, "given_accuracy": 0.5, "nearest_accuracy": 0.5,
        "given_precision": 0.5, "given_left_out": 0.5,
    }  # fmt: skip
    assert plain("Card_Arrival") == plain("card arrival") == plain(" card-arrival ")


def test_remarks_by_hand() -> None:
    rows = [{"name": "a", "size": 5}, {"name": "b", "size": 0}]
    assert given_remarks({}, {}) == []
    assert given_remarks({"given_topics": rows}, {"given_share": 0.25, "given_as_nearest": 0.8}) == [
        "25% of the documents are in the 2 given topics. Of these, 80% have the nearest name, too.",
        "1 given topic has no documents: 'b'.",
    ]  # fmt: skip


# --- files ---

TOML = """
[[topic]]
name = "card arrival"
description = "a new card that has not come"
words = ["card", "post"]
examples = ["where is my card?"]
[[topic]]
name = "refund"
"""


def test_a_file_says_more_of_a_topic_than_its_name(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(TOML)
    first, second = given_topics(ZeroShotTopics(path=str(tmp_path / "t.toml")))
    assert first.texts == ["card arrival: a new card that has not come", "card, post", "where is my card?"]
    assert second.texts == ["refund"]
    table = pl.DataFrame({"name": ["a", "b"], "description": ["x", None], "other": [1, 2]})
    table.write_csv(tmp_path / "t.csv")
    table.write_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert [each.texts for each in given_topics(ZeroShotTopics(path=str(tmp_path / name)))] == [
            ["a: x"],
            ["b"],
        ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.toml", "[[topic]]\nname = 1", "topic 1: name: input should be a valid string"),
        ("t.toml", "[[topic]]\nname = 'a'\ndescripton = 'b'", "topic 1: descripton: unknown key"),
        ("t.toml", "[[topic]]\nname = 'a'\n[[topic]]\nname = 'a'", "'a' is there twice"),
        ("t.toml", "topic = 1", r"expected a \[\[topic\]\]"),
        ("t.toml", "[[topic", "not valid TOML"),
        ("t.toml", "", "has no topics"),
        ("t.csv", "title\na\n", "no column 'name'; found title"),
        ("t.csv", "name\n\"\"\n", "topic 1: name: string should have at least 1 character"),
        ("t.parquet", "no parquet", "cannot be read"),
        ("gone.toml", None, "no such file"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message) as raised:
        given_topics(ZeroShotTopics(path=str(tmp_path / name)))
    assert "\n" not in str(raised.value)
    assert name in str(raised.value)


@pytest.mark.parametrize(
    "values", [{}, {"names": ["a"], "path": "b"}, {"names": ["a", "a"]}, {"names": [""]}]
)
def test_names_or_a_file_and_each_name_once(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"names or path|is there twice|at least 1 character"):
        ZeroShotTopics(**values)
