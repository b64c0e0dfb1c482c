"""Clusters: two implementations agree, sizes and numbers are right, outliers are limited, small inputs are defined."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tests.fakes import Corpus, save
from topicflow.configs.sections.cluster import HdbscanCluster, KMeansCluster
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.assign import best_topics, bound_outliers, topic_centroids
from topicflow.tasks.core.clusters.clustering import Clustering, number_by_size
from topicflow.tasks.core.clusters.merge import merge_topics
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.requirements.sizes import check_size
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster, cluster_points

BOTH = ["reference", "fast"]


def density(implementation: str, **values: object) -> HdbscanCluster:
    return HdbscanCluster(method="hdbscan", implementation=implementation, **values)


def blobs(seed: int = 0, n: int = 600, dim: int = 5) -> np.ndarray:
    """Six blobs and forty points scattered between them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, dim)) * 8
    points = centres[rng.integers(6, size=n)] + rng.normal(size=(n, dim))
    points[:40] = rng.uniform(-20, 20, size=(40, dim))
    return points.astype(np.float32)


def check(found: Clustering, n: int) -> None:
    assert found.labels.dtype == np.int32
    assert len(found.labels) == n
    assert set(found.labels.tolist()) - {-1} == set(range(found.n_clusters))
    for scores in (found.probabilities, found.outlier_scores):
        assert scores.dtype == np.float32
        assert scores.shape == (n,)
        assert 0 <= scores.min() <= scores.max() <= 1
    assert (found.probabilities[found.labels < 0] == 0).all()


# --- crowds ---


def far_from_the_rest(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Nine blobs near each other and a small one far away, with the true number of each point.

    Excess of mass takes the nine as one cluster: together they last from the great gap to their own small ones.
    """
    rng = np.random.default_rng(seed)
    truth = np.append(np.repeat(np.arange(9), 100), np.full(60, 9))
    centres = np.vstack([rng.normal(size=(9, 5)) * 2.2, np.full(5, 400.0)])
    return (centres[truth] + rng.normal(size=(len(truth), 5)) * 0.6).astype(np.float32), truth


@pytest.mark.parametrize("kind", BOTH)
def test_a_crowd_is_replaced_by_the_topics_inside_it(kind: str) -> None:
    points, truth = far_from_the_rest()
    before = cluster_points(points, density(kind, min_cluster_size=15, max_topic_share=1.0), 1)
    assert np.bincount(before.labels).tolist() == [900, 60]  # the two halves of everything
    found = cluster_points(points, density(kind, min_cluster_size=15), 1)
    clustered = found.labels >= 0
    assert found.n_clusters >= 6
    assert clustered.mean() >= 0.9
    assert np.bincount(found.labels[clustered]).max() <= 0.5 * len(points)
    assert adjusted_rand_score(truth[clustered], found.labels[clustered]) >= 0.5  # three blobs touch


@pytest.mark.parametrize("kind", BOTH)
def test_a_crowd_without_topics_inside_stays_one_topic(kind: str) -> None:
    rng = np.random.default_rng(1)
    truth = np.append(np.zeros(700, int), np.repeat([1, 2, 3], 100))
    centres = np.vstack([np.zeros(5), 40.0 * np.eye(5)[:3]])
    points = (centres[truth] + rng.normal(size=(1000, 5))).astype(np.float32)
    found = cluster_points(points, density(kind, min_cluster_size=15), 1)
    assert found.n_clusters == 4
    assert np.bincount(found.labels[found.labels >= 0])[0] >= 650


@pytest.mark.parametrize("kind", BOTH)
def test_leaves_are_not_changed(kind: str) -> None:
    points, _ = far_from_the_rest()
    one, other = (
        cluster_points(
            points, density(kind, min_cluster_size=15, selection="leaf", max_topic_share=share), 1
        ).labels
        for share in (0.1, 1.0)
    )
    np.testing.assert_array_equal(one, other)


# --- density clusters ---


@pytest.mark.parametrize("kind", BOTH)
def test_planted_topics_are_found(corpus: Corpus, kind: str) -> None:
    found = cluster_points(corpus.points, density(kind, min_cluster_size=10), 1)
    check(found, 132)
    known = corpus.truth >= 0
    clustered = found.labels >= 0
    assert found.n_clusters == 3
    assert adjusted_rand_score(corpus.truth[known & clustered], found.labels[known & clustered]) == 1.0
    assert clustered[known].mean() > 0.9
    assert clustered[~known].mean() < 0.5


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("selection", ["eom", "leaf"])
def test_no_cluster_is_smaller_than_asked_for_any_size(kind: str, selection: str) -> None:
    points = blobs()
    n_clusters = []
    for m in (2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 300, 600):
        found = cluster_points(
            points, density(kind, min_cluster_size=m, min_samples=5, selection=selection), 1
        )
        check(found, 600)
        sizes = np.bincount(found.labels[found.labels >= 0])
        assert sizes.min(initial=600) >= m
        assert (np.diff(sizes) <= 0).all()  # numbered by falling size
        n_clusters.append(found.n_clusters)
    assert n_clusters[0] >= n_clusters[6] > n_clusters[-1] == 0


@pytest.mark.parametrize("kind", BOTH)
def test_permuting_documents_permutes_labels(corpus: Corpus, kind: str) -> None:
    order = np.random.default_rng(3).permutation(132)
    config = density(kind, min_cluster_size=10)
    found, permuted = (cluster_points(p, config, 1) for p in (corpus.points, corpus.points[order]))
    assert ((found.labels < 0)[order] == (permuted.labels < 0)).all()
    assert adjusted_rand_score(found.labels[order], permuted.labels) == 1.0
    np.testing.assert_allclose(found.probabilities[order], permuted.probabilities, atol=1e-6)
    np.testing.assert_allclose(found.outlier_scores[order], permuted.outlier_scores, atol=1e-6)


@pytest.mark.parametrize(("seed", "m"), list(itertools.product(range(3), [10, 20])))
def test_the_two_implementations_agree(seed: int, m: int) -> None:
    points = blobs(seed)
    first, second = (cluster_points(points, density(kind, min_cluster_size=m), 1) for kind in BOTH)
    assert adjusted_rand_score(first.labels, second.labels) >= 0.95
    assert np.mean(np.abs(first.outlier_scores - second.outlier_scores) > 1e-3) <= 0.05
    assert np.mean(np.abs(first.probabilities - second.probabilities) > 1e-3) <= 0.15


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("values", [{}, {"min_samples": 3}, {"selection": "leaf"}, {"epsilon": 2.0}], ids=str)
def test_scores_and_labels_are_those_of_the_reference(
    corpus: Corpus, kind: str, values: dict[str, object]
) -> None:
    import hdbscan

    named = {"selection": "cluster_selection_method", "epsilon": "cluster_selection_epsilon"}
    reference = hdbscan.HDBSCAN(
        min_cluster_size=12, approx_min_span_tree=False, **{named.get(k, k): v for k, v in values.items()}
    ).fit(corpus.points)
    found = cluster_points(corpus.points, density(kind, min_cluster_size=12, **values), 1)
    assert adjusted_rand_score(reference.labels_, found.labels) >= 0.95
    np.testing.assert_allclose(
        np.median(found.outlier_scores), np.median(reference.outlier_scores_), atol=0.02
    )
    close = np.isclose(found.outlier_scores, np.nan_to_num(reference.outlier_scores_), atol=1e-4)
    assert close.mean() >= 0.95


def test_outlier_scores_are_high_without_a_topic(corpus: Corpus) -> None:
    for kind in BOTH:
        scores = cluster_points(corpus.points, density(kind, min_cluster_size=10), 1).outlier_scores
        assert np.median(scores[corpus.truth < 0]) > 0.8
        assert np.median(scores[corpus.truth >= 0]) < 0.5


@pytest.mark.parametrize("kind", BOTH)
def test_threads_and_repetition_do_not_change_the_result(kind: str) -> None:
    points, config = blobs(), density(kind, min_cluster_size=10)
    found = [cluster_points(points, config, 1, RuntimeConfig(n_threads=n)) for n in (1, 2, None)]
    for other in found[1:]:
        np.testing.assert_array_equal(other.labels, found[0].labels)
        np.testing.assert_array_equal(other.probabilities, found[0].probabilities)
        np.testing.assert_array_equal(other.outlier_scores, found[0].outlier_scores)


# --- k-means ---


def test_kmeans_gives_every_document_a_topic(corpus: Corpus) -> None:
    known = corpus.truth >= 0
    config = KMeansCluster(method="kmeans", n_clusters=3)
    found = cluster_points(corpus.points[known], config, 1)
    check(found, 120)
    assert adjusted_rand_score(corpus.truth[known], found.labels) == 1.0
    assert found.probabilities.min() > 0.5
    assert found.outlier_scores.max() == 1.0
    np.testing.assert_array_equal(
        cluster_points(corpus.points[known], config, 1).probabilities, found.probabilities
    )


def test_kmeans_membership_by_hand() -> None:
    points = np.array([[0.0], [2.0], [10.0], [11.0]], np.float32)  # centres 1 and 10.5
    found = cluster_points(points, KMeansCluster(method="kmeans", n_clusters=2), 1)
    assert found.labels.tolist() == [0, 0, 1, 1]
    margins = [1 - 1 / 10.5, 1 - 1 / 8.5, 1 - 0.5 / 9, 1 - 0.5 / 10]
    np.testing.assert_allclose(found.probabilities, margins, atol=1e-6)
    np.testing.assert_allclose(found.outlier_scores, [1, 1, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("n_clusters", [1, 5, 132])
def test_kmeans_with_any_number_of_topics(corpus: Corpus, n_clusters: int) -> None:
    found = cluster_points(corpus.points, KMeansCluster(method="kmeans", n_clusters=n_clusters), 1)
    check(found, 132)
    assert found.n_clusters == n_clusters


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_kmeans_with_more_topics_than_distinct_documents(corpus: Corpus) -> None:
    found = cluster_points(
        np.repeat(corpus.points[:2], 10, axis=0), KMeansCluster(method="kmeans", n_clusters=5), 1
    )
    check(found, 20)
    assert found.labels.tolist() == [0] * 10 + [1] * 10


# --- numbers ---


def test_clusters_are_numbered_by_size_then_by_first_member() -> None:
    assert number_by_size(np.array([7, 3, 3, 9, -1, 9, 3, -5])).tolist() == [2, 0, 0, 1, -1, 1, 0, -1]
    assert number_by_size(np.array([5, 4, 5, 4])).tolist() == [0, 1, 0, 1]
    assert number_by_size(np.array([-1, -1])).tolist() == [-1, -1]
    assert number_by_size(np.array([], int)).tolist() == []


# --- degenerate inputs ---


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_few_points_are_defined(corpus: Corpus, kind: str, n: int) -> None:
    check(cluster_points(corpus.points[:n], density(kind, min_cluster_size=2), 1), n)


@pytest.mark.parametrize(
    "config", [*(density(kind) for kind in BOTH), KMeansCluster(method="kmeans", n_clusters=2)]
)
def test_points_that_are_all_equal_are_one_topic(config: object) -> None:
    found = cluster_points(np.ones((20, 5), np.float32), config, 1)
    check(found, 20)
    assert (found.labels == 0).all()
    assert (found.probabilities == 1).all()


@pytest.mark.parametrize("kind", BOTH)
def test_points_without_density_are_all_noise(kind: str) -> None:
    points = np.random.default_rng(0).uniform(size=(40, 5)).astype(np.float32)
    found = cluster_points(points, density(kind, min_cluster_size=20), 1)
    check(found, 40)
    assert (found.labels == -1).all()


@pytest.mark.parametrize("kind", BOTH)
def test_two_points_with_many_copies_are_two_topics(corpus: Corpus, kind: str) -> None:
    found = cluster_points(np.repeat(corpus.points[:2], 30, axis=0), density(kind, min_cluster_size=5), 1)
    check(found, 60)
    assert found.labels.tolist() == [0] * 30 + [1] * 30


@pytest.mark.parametrize(
    ("config", "n", "line"),
    [
        (
            HdbscanCluster(method="hdbscan", min_cluster_size=500),
            312,
            "cluster: min_cluster_size=500 exceeds n_docs=312; set it to 312 or less",
        ),
        (
            density("fast"),
            1,
            "cluster: min_cluster_size=15 exceeds n_docs=1; a topic model needs at least two documents",
        ),
        (
            KMeansCluster(method="kmeans", n_clusters=4),
            3,
            "cluster: n_clusters=4 exceeds n_docs=3; set it to 3 or less",
        ),
    ],
)
def test_too_few_documents_are_one_line(config: object, n: int, line: str) -> None:
    with pytest.raises(StageError) as error:
        cluster_points(np.zeros((n, 5), np.float32), config, 1)
    assert str(error.value) == line


def test_as_many_documents_as_asked_are_enough() -> None:
    check_size(HdbscanCluster(method="hdbscan", min_cluster_size=15), 15)
    check_size(KMeansCluster(method="kmeans", n_clusters=1), 1)


# --- outliers ---


def outliers_of(n: int = 100, n_noise: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.append(np.arange(n - n_noise) % 3, np.full(n_noise, -1)).astype(np.int32)
    vectors = np.eye(3, 8)[labels] * (labels >= 0)[:, None] + 0.2 * rng.normal(size=(n, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("share", [i / 100 for i in range(0, 101, 1)])
def test_the_share_of_outliers_is_bounded_and_no_more_than_needed(share: float) -> None:
    vectors, labels = outliers_of()
    bounded, memberships = bound_outliers(vectors, labels, share)
    reassigned = ~np.isnan(memberships)
    assert (bounded < 0).mean() <= share
    assert (bounded < 0).sum() == min(40, round(share * 100))
    assert ((labels < 0) & (bounded >= 0)).tolist() == reassigned.tolist()
    assert (bounded[~reassigned] == labels[~reassigned]).all()


def test_the_most_certain_outliers_are_assigned_to_their_best_topic() -> None:
    vectors, labels = outliers_of()
    bounded, memberships = bound_outliers(vectors, labels, 0.25)
    reassigned = ~np.isnan(memberships)
    centroids = np.array([vectors[labels == topic].mean(axis=0) for topic in range(3)])
    similarity = vectors @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T
    assert (bounded[reassigned] == similarity[reassigned].argmax(axis=1)).all()
    np.testing.assert_allclose(memberships[reassigned], similarity[reassigned].max(axis=1), atol=1e-6)
    left = bounded < 0
    assert similarity[reassigned].max(axis=1).min() > similarity[left].max(axis=1).max()


def test_without_a_topic_outliers_stay() -> None:
    vectors, labels = outliers_of(n_noise=100)
    bounded, memberships = bound_outliers(vectors, labels, 0.0)
    assert (bounded == -1).all()
    assert np.isnan(memberships).all()


def test_a_share_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_share=1\.1 must be within 0 and 1"):
        bound_outliers(*outliers_of(), 1.1)


def test_centroids_are_means_and_best_topics_their_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    from topicflow.tasks.core.clusters import assign

    vectors, labels = outliers_of()
    with_noise = topic_centroids(vectors, labels, first=-1)
    for row, topic in enumerate([-1, 0, 1, 2]):
        np.testing.assert_allclose(with_noise[row], vectors[labels == topic].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(topic_centroids(vectors, labels), with_noise[1:])
    topics, similarity = best_topics(3 * vectors, with_noise)
    cosines = vectors @ (with_noise / np.linalg.norm(with_noise, axis=1, keepdims=True)).T
    assert (topics == cosines.argmax(axis=1)).all()
    np.testing.assert_allclose(similarity, cosines.max(axis=1), atol=1e-6)
    monkeypatch.setattr(assign, "CHUNK_ROWS", 7)
    np.testing.assert_allclose(topic_centroids(vectors, labels, first=-1), with_noise, atol=1e-7)
    np.testing.assert_array_equal(best_topics(vectors, with_noise)[0], topics)


def test_no_topics_have_no_centroids() -> None:
    vectors, labels = outliers_of(n_noise=100)
    assert topic_centroids(vectors, labels).shape == (0, 8)
    assert topic_centroids(vectors, labels, first=-1).shape == (1, 8)


# --- joining topics ---


def fan(*degrees: float, n_each: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors at these angles in the plane, and a topic for each angle."""
    angles = np.radians(np.repeat(degrees, n_each))
    labels = np.repeat(np.arange(len(degrees), dtype=np.int32), n_each)
    return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32), labels


@pytest.mark.parametrize(
    ("n_topics", "joined"),
    [(9, [0, 1, 2, 3, 4]), (5, [0, 1, 2, 3, 4]), (4, [0, 0, 1, 2, 3]), (2, [0, 0, 0, 1, 1]), (1, [0] * 5)],
)
def test_the_most_similar_topics_are_joined_first(n_topics: int, joined: list[int]) -> None:
    vectors, labels = fan(0, 5, 30, 120, 140)
    labels = np.append(labels, -1).astype(np.int32)
    vectors = np.vstack([vectors, vectors[:1]])
    found = merge_topics(vectors, labels, n_topics)
    assert found[:-1].tolist() == np.repeat(joined, 10).tolist()
    assert found[-1] == -1
    assert found.dtype == np.int32


def test_joined_topics_are_numbered_by_size() -> None:
    vectors, labels = fan(0, 90, 92)
    labels[:12] = 0  # 12, 8 and 10: the two at a right angle to the first are larger together
    assert np.unique(merge_topics(vectors, labels, 2)[20:]).tolist() == [0]


def test_topics_in_one_place_are_joined_and_no_topics_stay_none() -> None:
    vectors, labels = fan(10, 10, 10)
    assert merge_topics(vectors, labels, 1).tolist() == [0] * 30
    none = np.full(30, -1, np.int32)
    assert merge_topics(vectors, none, 1).tolist() == none.tolist()


@pytest.mark.parametrize("kind", BOTH)
def test_the_task_joins_topics_down_to_the_number_asked(
    store: ArtifactStore, corpus: Corpus, kind: str
) -> None:
    free = np.asarray(store.array(run(store, corpus, density(kind, min_cluster_size=10)), "labels"))
    made = run(store, corpus, density(kind, min_cluster_size=10, n_topics=2))
    labels = np.asarray(store.array(made, "labels"))
    assert store.meta(made)["n_topics"] == 2
    np.testing.assert_array_equal(labels, merge_topics(corpus.embeddings, free, 2))
    both = run(store, corpus, density(kind, min_cluster_size=10, n_topics=2, max_outlier_share=0.0))
    assert set(np.unique(store.array(both, "labels"))) == {0, 1}


# --- the stage ---


def run(store: ArtifactStore, corpus: Corpus, config: object, seed: int = 1) -> ArtifactRef:
    embeddings = save(store, "embeddings", {"embeddings": corpus.embeddings})
    reduced = save(store, "reduced", {"reduced": corpus.points})
    graph = save(store, "neighbors", {"indices": np.zeros((132, 2), np.int32)})
    return cluster.fn(Context(store, seed), embeddings, graph, reduced, config)


@pytest.mark.parametrize("kind", BOTH)
def test_the_task_saves_labels_and_finds_them_again(store: ArtifactStore, corpus: Corpus, kind: str) -> None:
    config = density(kind, min_cluster_size=10)
    made = run(store, corpus, config)
    expected = cluster_points(corpus.points, config, 1)
    for name in ("labels", "probabilities", "outlier_scores"):
        np.testing.assert_array_equal(store.array(made, name), getattr(expected, name))
    assert not store.array(made, "reassigned").any()
    share = float((expected.labels < 0).mean())
    assert share > 0.02
    assert store.meta(made) == {"n_topics": 3, "outlier_share": share, "outlier_share_before": share}
    again = run(store, corpus, config)
    assert (again.cached, again) == (True, made)
    assert not run(store, corpus, density(kind, min_cluster_size=11)).cached


def test_the_task_bounds_outliers_and_says_how_many_there_were(store: ArtifactStore, corpus: Corpus) -> None:
    free = run(store, corpus, HdbscanCluster(method="hdbscan", min_cluster_size=10))
    before = np.asarray(store.array(free, "labels"))
    bounded = run(store, corpus, HdbscanCluster(method="hdbscan", min_cluster_size=10, max_outlier_share=0.0))
    labels, reassigned = store.array(bounded, "labels"), store.array(bounded, "reassigned")
    assert (labels >= 0).all()
    np.testing.assert_array_equal(reassigned, before < 0)
    probabilities = np.asarray(store.array(bounded, "probabilities"))
    np.testing.assert_array_equal(
        probabilities[~reassigned], np.asarray(store.array(free, "probabilities"))[~reassigned]
    )
    centroids = topic_centroids(corpus.embeddings, before)
    cosines = corpus.embeddings @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T
    np.testing.assert_allclose(
        probabilities[reassigned], np.clip(cosines[reassigned].max(axis=1), 0, 1), atol=1e-6
    )
    assert (probabilities[reassigned] > 0).mean() > 0.8
    assert adjusted_rand_score(labels[~reassigned], before[~reassigned]) == 1.0
    assert (np.diff(np.bincount(labels)) <= 0).all()
    meta = store.meta(bounded)
    assert (meta["outlier_share"], meta["outlier_share_before"]) == (0.0, (before < 0).mean())


def test_the_task_with_kmeans(store: ArtifactStore, corpus: Corpus) -> None:
    config = KMeansCluster(method="kmeans", n_clusters=4)
    made = run(store, corpus, config)
    assert store.meta(made) == {"n_topics": 4, "outlier_share": 0.0, "outlier_share_before": 0.0}
    assert not run(store, corpus, config, seed=2).cached
