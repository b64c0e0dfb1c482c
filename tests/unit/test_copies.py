"""Copies of one vector are one point: all get its topic, and they do not change other documents, with any method."""

import numpy as np
import pytest

from tests.fakes import Corpus, planted_corpus, save
from topicflow.configs.sections.cluster import HdbscanCluster, KMeansCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import NoReduce, ParallelUmapReduce, PcaReduce, UmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.assign import bound_outliers
from topicflow.tasks.core.clusters.clustering import Clustering, number_by_size
from topicflow.tasks.core.clusters.copies import crowds_alone, misfits_alone
from topicflow.tasks.core.vectors.knn import exact_neighbors
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster, cluster_points, settle_topics
from topicflow.tasks.topics.fitted_sample import read_sample
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import reduce

RUNTIME = RuntimeConfig()
METHODS = (
    NoReduce(method="none"),
    PcaReduce(method="pca"),
    ParallelUmapReduce(method="parallel_umap"),
    UmapReduce(method="umap"),
)
LAYOUTS = [
    pytest.param(config, id=config.method, marks=pytest.mark.slow if config.method == "umap" else ())
    for config in METHODS
]
"""umap-learn compiles for 16 s in each process; test_layout.py has its layouts, the other methods are here."""

BOTH = ("reference", "fast")


def modelled(
    store: ArtifactStore,
    vectors: np.ndarray,
    layout: object,
    fit_limit: int = 100_000,
    **clustering: object,
) -> tuple[ArtifactRef, np.ndarray, ArtifactRef]:
    """Return the graph, the reduced vectors and the labels of vectors, computed by the stages."""
    embeddings = save(store, "embeddings", {"embeddings": vectors}, name=f"{len(vectors)}")
    config = HdbscanCluster(method="hdbscan", **{"min_cluster_size": 10, **clustering})
    graph = neighbors.fn(Context(store, 1, RUNTIME), embeddings, NeighborsConfig(fit_limit=fit_limit))
    reduced = reduce.fn(Context(store, 1, RUNTIME), embeddings, graph, layout)
    labels = cluster.fn(Context(store, 1, RUNTIME), embeddings, graph, reduced, config)
    return graph, np.asarray(store.array(reduced, "reduced")), labels


def with_copies(corpus: Corpus, copied: list[int], times: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors with some of them repeated at the end, and the vector of each row."""
    rows = np.concatenate([np.arange(len(corpus.embeddings)), np.repeat(copied, times - 1)])
    return np.ascontiguousarray(corpus.embeddings[rows]), rows


# --- the stages ---


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", BOTH)
def test_copies_change_nothing_for_the_others(
    store: ArtifactStore, corpus: Corpus, layout: object, kind: str
) -> None:
    copied = [*np.flatnonzero(corpus.truth == 0)[:2].tolist(), int(np.flatnonzero(corpus.truth < 0)[0])]
    vectors, rows = with_copies(corpus, copied, 60)
    _, _, alone = modelled(store, corpus.embeddings, layout, implementation=kind)
    _, places, made = modelled(store, vectors, layout, implementation=kind)
    before, labels = (np.asarray(store.array(ref, "labels")) for ref in (alone, made))
    others = np.setdiff1d(np.arange(132), copied)
    assert before.max() >= 2
    for topic in range(int(before.max()) + 1):  # the same groups, with any numbers
        assert len(set(labels[others][before[others] == topic].tolist())) == 1
    np.testing.assert_array_equal(labels[others] < 0, before[others] < 0)
    np.testing.assert_array_equal(labels, labels[rows])  # each copy has its vector's label
    np.testing.assert_array_equal(places, places[rows])
    for name in ("probabilities", "outlier_scores"):
        found = np.asarray(store.array(made, name))
        np.testing.assert_array_equal(found, found[rows])
        np.testing.assert_allclose(
            found[others],
            np.asarray(store.array(alone, name))[others],
            atol=2e-6 if layout.method == "pca" else 0,
        )
    assert labels[copied].min() >= 0  # sixty documents are no noise
    assert (np.diff(np.bincount(labels[labels >= 0])) <= 0).all()  # numbered by documents


def test_the_graph_is_that_of_the_distinct_vectors(store: ArtifactStore, corpus: Corpus) -> None:
    vectors, rows = with_copies(corpus, [3, 5], 40)
    graph, _, _ = modelled(store, vectors, METHODS[0])
    firsts, point = store.array(graph, "rows"), store.array(graph, "point")
    assert sorted(firsts) == list(range(132))
    np.testing.assert_array_equal(firsts[point], rows)
    expected = exact_neighbors(corpus.embeddings[firsts], 15)[0]
    np.testing.assert_array_equal(store.array(graph, "indices"), expected)
    assert store.array(graph, "counts")[point[[3, 4, 5]]].tolist() == [40, 1, 40]
    meta = store.meta(graph)
    assert meta["copies"] == {"n_vectors": 2, "share": round(80 / 210, 6)}
    assert (meta["n_fitted"], meta["sampled"], graph.rows) == (132, False, 210)


def test_a_sample_of_a_corpus_with_copies_fits_each_vector_once(store: ArtifactStore) -> None:
    corpus = planted_corpus(n_per_topic=100, n_noise=10)
    vectors, rows = with_copies(corpus, [0, 1, 2], 100)
    graph, _, made = modelled(store, vectors, METHODS[2], fit_limit=300, min_cluster_size=20)
    sample = read_sample(store, graph)
    assert len(np.unique(vectors[sample.rows], axis=0)) == len(sample.rows) == 300
    assert sample.counts.tolist() == [
        100 if row < 3 else 1 for row in sample.rows
    ]  # all copies follow their first
    assert sample.share == sample.counts.sum() / len(vectors)
    whole, _, _ = modelled(store, vectors, METHODS[2], fit_limit=310, min_cluster_size=20)
    assert store.meta(whole)["sampled"] is False  # 310 distinct vectors of 607
    for name in ("labels", "probabilities", "outlier_scores"):  # copies that were not drawn follow as well
        found = np.asarray(store.array(made, name))
        np.testing.assert_array_equal(found[310:], found[rows[310:]])


# --- clusters ---


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("times", [2, 15, 16, 300])
def test_scores_are_numbers_and_outliers_stay_outliers_with_any_copies(
    corpus: Corpus, kind: str, times: int
) -> None:
    config = HdbscanCluster(method="hdbscan", min_cluster_size=10, min_samples=5, implementation=kind)
    alone = cluster_points(corpus.points, config, 1)
    member = int(np.flatnonzero(alone.labels == 1)[0])
    rows = np.concatenate([np.arange(132), np.full(times - 1, member)])
    found = cluster_points(corpus.points[rows], config, 1)
    for values in (found.probabilities, found.outlier_scores):
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values, values[rows])
    np.testing.assert_array_equal(found.outlier_scores[:132], alone.outlier_scores)
    far = np.linalg.norm(corpus.points, axis=1) > 60
    assert far.sum() >= 3
    assert found.outlier_scores[:132][far].min() > 0.9  # the plainest outliers
    assert found.n_clusters == alone.n_clusters
    assert (found.labels == found.labels[member]).sum() == (alone.labels == 1).sum() + times - 1


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("times", "is_topic"), [(9, False), (10, True)])
def test_noise_that_occurs_as_often_as_a_topic_is_large_is_one(
    corpus: Corpus, kind: str, times: int, is_topic: bool
) -> None:
    config = HdbscanCluster(method="hdbscan", min_cluster_size=10, implementation=kind)
    alone = cluster_points(corpus.points, config, 1)
    outlier = int(np.flatnonzero(alone.labels < 0)[0])
    rows = np.concatenate([np.arange(132), np.full(times - 1, outlier)])
    found = cluster_points(corpus.points[rows], config, 1)
    assert (found.labels[outlier] >= 0) == is_topic
    assert found.n_clusters == alone.n_clusters + is_topic
    if is_topic:
        own = found.labels == found.labels[outlier]
        assert own.sum() == times
        assert (found.probabilities[own] == 1).all()
        assert (found.outlier_scores[own] == 0).all()


def test_counts_are_documents(corpus: Corpus) -> None:
    config = HdbscanCluster(method="hdbscan", min_cluster_size=10)
    counts = np.ones(132, np.int64)
    outlier = int(np.flatnonzero(cluster_points(corpus.points, config, 1).labels < 0)[0])
    counts[outlier] = 500
    found = cluster_points(corpus.points, config, 1, counts=counts)
    assert (found.labels == 0).sum() == 1  # one point, and the largest topic by documents
    assert found.labels[outlier] == 0


@pytest.mark.parametrize("n_distinct", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_few_distinct_vectors_are_a_topic_each(
    store: ArtifactStore, corpus: Corpus, layout: object, kind: str, n_distinct: int
) -> None:
    rows = np.arange(200) % n_distinct
    _, places, made = modelled(store, corpus.embeddings[rows], layout, implementation=kind)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == n_distinct
    labels = np.asarray(store.array(made, "labels"))
    np.testing.assert_array_equal(labels, number_by_size(rows))


def test_kmeans_has_no_more_clusters_than_points_and_counts_copies() -> None:
    points = np.repeat(np.eye(3, 5, dtype=np.float32), [50, 30, 20], axis=0)
    found = cluster_points(points, KMeansCluster(method="kmeans", n_clusters=8), 1)
    assert np.bincount(found.labels).tolist() == [50, 30, 20]
    line = np.repeat(np.array([[0.0], [4.0], [10.0]], np.float32), [90, 1, 30], axis=0)
    two = cluster_points(line, KMeansCluster(method="kmeans", n_clusters=2), 1)
    assert np.bincount(two.labels).tolist() == [91, 30]


# --- copies in the embedding space ---


def test_a_frequent_text_that_does_not_fit_its_topic_is_its_own_topic() -> None:
    rng = np.random.default_rng(0)
    near = np.eye(1, 8)[0] + 0.2 * rng.normal(size=(60, 8))
    vectors = np.vstack([near, np.eye(8)[3:5]])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = Clustering(np.zeros(62, np.int32), np.full(62, 0.5, np.float32), np.full(62, 0.3, np.float32))
    counts = np.ones(62, np.int64)
    counts[[0, 60]] = 100  # the first fits, the last but one does not; nor does the last, which is there once
    made = misfits_alone(found, vectors, counts, 10)
    assert made.labels.tolist() == [0] * 60 + [1, 0]
    assert (made.probabilities[60], made.outlier_scores[60]) == (1.0, 0.0)
    assert (
        misfits_alone(found, vectors, counts, 61) is found
    )  # nothing occurs or is large enough to compare with
    counts[:55] = 100
    assert misfits_alone(found, vectors, counts, 10) is found


def test_crowds_of_noise_are_numbered_by_documents() -> None:
    found = Clustering(
        np.array([0, 0, -1, -1, -1], np.int32), np.ones(5, np.float32), np.zeros(5, np.float32)
    )
    made = crowds_alone(found, np.array([1, 1, 7, 9, 6]), 7)
    assert made.labels.tolist() == [2, 2, 1, 0, -1]
    assert crowds_alone(found, np.ones(5, np.int64), 7) is found


def test_bounding_outliers_counts_documents_and_keeps_copies_together() -> None:
    angles = np.radians([0, 2, 4, 20, 40, 60])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    labels = np.array([0, 0, 0, -1, -1, -1], np.int32)
    bounded, memberships = bound_outliers(vectors, labels, 0.5, np.array([1, 1, 1, 4, 2, 3]))
    assert bounded.tolist() == [0, 0, 0, 0, -1, -1]  # four documents together: 5 of 12 are left
    np.testing.assert_allclose(memberships[3], np.cos(np.radians(18)), atol=1e-5)
    assert np.isnan(np.delete(memberships, 3)).all()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_copies_are_reassigned_together_and_pull_no_centroid(corpus: Corpus, share: float) -> None:
    truth, outliers = corpus.truth, np.flatnonzero(corpus.truth < 0)
    rows = np.concatenate(
        [np.arange(132), np.repeat(outliers[:3], 20), np.repeat(np.flatnonzero(truth == 0)[0], 99)]
    )
    config = HdbscanCluster(method="hdbscan", max_outlier_share=share, n_topics=3)
    labels, memberships = settle_topics(truth[rows].astype(np.int32), corpus.embeddings[rows], config)
    np.testing.assert_array_equal(labels, labels[rows])
    np.testing.assert_array_equal(memberships, memberships[rows])
    assert (labels < 0).mean() <= share
    if share == 0.0:
        _, alone = settle_topics(truth, corpus.embeddings, config)
        np.testing.assert_allclose(memberships[:132], alone, atol=1e-6)
