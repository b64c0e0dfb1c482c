"""The smallest topic: how long topics persist, what is chosen for a wish, that a chosen number is that number."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tests.fakes import Corpus, planted_corpus, save
from tests.unit.test_graph_clusters import sphere
from topicflow.configs.read import load_config
from topicflow.configs.sections.cluster import GraphCluster, HdbscanCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.clustering import Clustering
from topicflow.tasks.core.clusters.sizes import (
    PREFERENCE,
    best_size,
    candidate_sizes,
    persistence,
    spans_of,
)
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish.remarks import remarks
from topicflow.tasks.requirements.sizes import check_size
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.cluster import cluster, cluster_points, sized_clusters
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import reduce
from topicflow.tasks.topics.size_choice import FAR, choose_size

AUTO = GraphCluster(min_cluster_size="auto")
CHAINS = [(i, i + 1, 1.0 + i / 100) for i in range(17) if i not in {4, 9}]
TREE = np.array([*CHAINS, (4, 5, 5.0), (9, 10, 9.0)])
"""Two chains of five points, which form a part of ten, far from a chain of eight."""


class PlantedFit:
    """Fits whose number of topics is `total / size`, without any points."""

    core_share = 0.5

    def __init__(self, total: int, tree: np.ndarray = TREE) -> None:
        self.total, self._tree, self.asked = total, tree, []

    def tree(self, min_samples: int) -> np.ndarray:
        return self._tree

    def estimated(self, size: int, n_replicates: int) -> Clustering:
        self.asked.append((size, n_replicates))
        labels = np.arange(self.total // size, dtype=np.int32)
        return Clustering(labels, np.ones(len(labels)), np.zeros(len(labels)), None)

    clusters = estimated

    def widen(self, size: int) -> bool:
        return False


@pytest.fixture(scope="module")
def planted() -> np.ndarray:
    """Six topics of a hundred unit vectors."""
    rng = np.random.default_rng(3)
    centres = np.repeat(sphere(6, 8, seed=1), 100, axis=0)
    points = centres + rng.normal(size=centres.shape) * 0.08
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


# --- persistence ---


def test_parts_are_topics_between_two_sizes() -> None:
    spans = spans_of(TREE)
    found = sorted(zip(spans.after.tolist(), spans.until.tolist(), spans.points.tolist(), strict=True))
    assert found == [(1, 5, 5), (1, 5, 5), (1, 8, 8), (5, 8, 10)]  # above 5 the two chains are one topic
    assert spans.n_points == 18
    expected = {
        5.0: (10 * np.log(5 / 4) + 8 * np.log(8 / 4)) / 18,
        6.0: (10 * np.log(8 / 5) + 8 * np.log(8 / 4)) / 18,
        8.5: 0.0,
    }
    assert persistence(spans, np.array(list(expected))) == pytest.approx(list(expected.values()))


@pytest.mark.parametrize(
    ("n", "least", "most"), [(1, 1, 1), (3, 3, 3), (40, 5, 7.5), (800, 5, 100), (10_000, 5, 400),
                             (100_000, 8, 400), (1_000_000, 15, 4000)],
)  # fmt: skip
def test_candidates_grow_by_a_tenth(n: int, least: int, most: float) -> None:
    sizes = candidate_sizes(n)
    assert sizes[0] == least
    assert most / 1.1 < sizes[-1] * 1.0001 <= most * 1.0001
    assert np.allclose(sizes[1:] / sizes[:-1], 1.1)


def test_a_larger_size_must_persist_longer() -> None:
    sizes = candidate_sizes(10_000)
    values = np.where(sizes > 90, 1.0, 0.8)
    assert best_size(values, sizes, 0.0) > 90
    assert best_size(values, sizes, 0.13) == 5
    assert best_size(np.zeros(1), np.array([7.0]), 0.13) == 7


# --- the choice ---


def test_planted_topics_are_found_without_a_number(planted: np.ndarray) -> None:
    found, choice = sized_clusters(planted, AUTO, 0)
    assert choice is not None
    assert (found.n_clusters, choice.wish) == (6, "medium")
    assert adjusted_rand_score(np.repeat(np.arange(6), 100), found.labels) >= 0.95


@pytest.mark.parametrize("kind", [GraphCluster, HdbscanCluster])
def test_a_chosen_size_gives_what_the_number_gives(planted: np.ndarray, kind: type) -> None:
    values = {"method": "hdbscan" if kind is HdbscanCluster else "graph"}
    for wish in ({}, {"topics": "few"}, {"topics": "many"}, {"about": 3}):
        found, choice = sized_clusters(planted, kind(min_cluster_size="auto", **wish, **values), 0)
        assert choice is not None
        number = cluster_points(planted, kind(min_cluster_size=choice.size, **values), 0)
        for name in ("labels", "probabilities", "outlier_scores", "stability"):
            np.testing.assert_array_equal(getattr(found, name), getattr(number, name))
        sizes = sorted([choice.size, *(each.min_cluster_size for each in choice.others)])
        assert all(two >= FAR * one for one, two in itertools.pairwise(sizes))
        assert all((each.stability is None) == (kind is HdbscanCluster) for each in choice.others)


def test_wishes_are_in_order_and_the_choice_does_not_change(planted: np.ndarray) -> None:
    chosen = {}
    for wish in ("few", "medium", "many"):
        config = GraphCluster(min_cluster_size="auto", topics=wish)
        pair = [sized_clusters(planted, config, seed)[1] for seed in (0, 1)]
        assert pair[0] == pair[1]
        chosen[wish] = pair[0].size
    assert chosen["few"] >= chosen["medium"] >= chosen["many"]
    assert list(PREFERENCE) == list(chosen)


@pytest.mark.parametrize("about", [1, 7, 30, 250])
def test_about_finds_the_size(about: int) -> None:
    fit = PlantedFit(1000)
    choice = choose_size(fit, GraphCluster(min_cluster_size="auto", about=about), 1000)
    found = 1000 // choice.size
    assert choice.wish == about
    assert abs(np.log(max(found, 1) / about)) <= np.log(2 if about == 1 else 1.1)
    assert len({size for size, n in fit.asked if n == 0}) <= 12


@pytest.mark.parametrize("n", [2, 3, 6, 12, 40])
@pytest.mark.parametrize("wish", [{}, {"topics": "few"}, {"about": 5}])
def test_few_documents_have_a_size(n: int, wish: dict[str, object]) -> None:
    found, choice = sized_clusters(sphere(n), GraphCluster(min_cluster_size="auto", **wish), 0)
    assert len(found.labels) == n
    assert choice is not None
    assert 2 <= choice.size <= n


def test_equal_documents_are_one_topic_without_a_choice() -> None:
    found, choice = sized_clusters(np.ones((30, 4), np.float32), AUTO, 0)
    assert (found.n_clusters, choice) == (1, None)


def test_one_document_is_refused() -> None:
    with pytest.raises(StageError, match="n_docs=1; a topic model needs at least two documents"):
        check_size(AUTO, 1)
    check_size(AUTO, 2)


# --- the config and the key ---


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ('min_cluster_size = 20\ntopics = "few"',
         "cluster: topics='few' needs min_cluster_size = \"auto\", found 20; set it, or remove topics"),
        ("about = 30", 'cluster: about=30 needs min_cluster_size = "auto", found 15; set it, or remove about'),
        ('min_cluster_size = "auto"\ntopics = "few"\nabout = 30',
         "cluster: topics='few' and about=30 are two wishes; remove one"),
        ('method = "kmeans"\nabout = 30',
         'for this method; it needs cluster.method = "graph" or cluster.method = "hdbscan"'),
        ("min_cluster_size = 1",
         "cluster.min_cluster_size: input should be greater than or equal to 2, found 1"),
        ('min_cluster_size = "atuo"', "cluster.min_cluster_size: input should be 'auto', found 'atuo'"),
    ],
)  # fmt: skip
def test_wishes_that_do_not_fit_are_refused(tmp_path: Path, section: str, line: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f'name = "a"\n[load]\npath = "x.csv"\n[cluster]\n{section}\n')
    with pytest.raises(ValueError, match=re.escape(line)):
        load_config(path)


def test_the_key_holds_the_wish_and_not_the_size() -> None:
    def fields(**values: object) -> dict[str, object]:
        return dict(recipes.cluster(GraphCluster(**values), "e", "n", "r", 1).config)

    assert "topics" not in fields()
    assert "about" not in fields()
    assert fields(min_cluster_size="auto") == fields(min_cluster_size="auto", topics="medium")
    assert fields(min_cluster_size="auto")["topics"] == "medium"
    wish = fields(min_cluster_size="auto", about=30)
    assert (wish["min_cluster_size"], wish["about"]) == ("auto", 30)
    assert "topics" not in wish


# --- what a run says ---


def test_the_artifact_and_the_remark_say_what_was_chosen(store: ArtifactStore) -> None:
    corpus = planted_corpus(n_per_topic=120, n_noise=20, seed=2)
    record = recorded(store, corpus, AUTO, NeighborsConfig())
    assert (record["wish"], record["n_topics"]) == ("medium", 3)
    assert record["min_cluster_size"] >= 5
    (said,) = remarks({}, AUTO, None, record)
    assert said.startswith(
        f'cluster.min_cluster_size = "auto" chose {record["min_cluster_size"]} for cluster.topics'
    )
    assert '"medium": 3 topics, ' in said
    assert all(
        f"{each['min_cluster_size']} gives {each['n_topics']} topic" in said for each in record["others"]
    )


def test_sizes_of_a_sample_are_those_of_all_documents(store: ArtifactStore) -> None:
    corpus = planted_corpus(n_per_topic=120, n_noise=20, seed=2)
    whole = recorded(store, corpus, AUTO, NeighborsConfig())
    half = recorded(store, corpus, AUTO, NeighborsConfig(fit_limit=200))
    assert half["min_cluster_size"] >= 2 * 5
    assert whole["n_topics"] == half["n_topics"] == 3


def recorded(
    store: ArtifactStore, corpus: Corpus, config: GraphCluster, searching: NeighborsConfig
) -> dict[str, object]:
    """Return the record of the choice in the labels' artifact, as JSON keeps it."""
    context = Context(store, 0, RuntimeConfig())
    embeddings = save(store, "embeddings", {"embeddings": corpus.embeddings})
    graph = neighbors.fn(context, embeddings, searching)
    reduced = reduce.fn(context, embeddings, graph, DiffusionReduce())
    labels = cluster.fn(context, embeddings, graph, reduced, config)
    found = store.meta(labels)["size_choice"]
    return dict(json.loads(json.dumps(found)))


def test_remarks_name_the_size_that_was_chosen() -> None:
    choice = {
        "wish": 30,
        "min_cluster_size": 12,
        "n_topics": 1,
        "outlier_share": 0.1,
        "stability": None,
        "others": [],
    }
    chosen, crowd = remarks({"largest_topic_share": 0.9}, AUTO, None, choice)
    assert (
        chosen == 'cluster.min_cluster_size = "auto" chose 12 for cluster.about = 30: 1 topic, 10% outliers.'
    )
    assert "lower cluster.min_cluster_size (12 was chosen)" in crowd
