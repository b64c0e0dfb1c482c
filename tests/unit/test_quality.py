"""Quality figures compared with scikit-learn, hdbscan, brute force, and by hand."""

import math

import numpy as np
import pytest
from hdbscan.validity import validity_index
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.metrics import adjusted_rand_score, mutual_info_score, normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

from topicflow.tasks.core.clusters import quality


def unit_vectors(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(5, dim))[rng.integers(0, 5, n)] + rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


# --- trustworthiness, neighbour preservation ---


@pytest.mark.parametrize(("n", "dim", "k"), [(40, 8, 5), (700, 32, 15), (1100, 16, 3)])
def test_trustworthiness_agrees_with_sklearn(n: int, dim: int, k: int) -> None:
    vectors = unit_vectors(n, dim)
    for n_components in (2, 5):
        reduced = PCA(n_components, random_state=0).fit_transform(vectors)
        expected = sklearn_trustworthiness(
            vectors.astype(np.float64), reduced.astype(np.float64), n_neighbors=k
        )
        assert quality.trustworthiness(vectors, reduced, k) == pytest.approx(expected, abs=1e-9)


def test_trustworthiness_of_a_true_and_of_a_scrambled_layout() -> None:
    vectors = unit_vectors(600, 3)
    assert quality.trustworthiness(vectors, vectors) == 1.0
    assert quality.trustworthiness(vectors, np.random.default_rng(1).permutation(vectors)) < 0.7


def test_trustworthiness_of_few_rows_uses_fewer_neighbors() -> None:
    vectors = unit_vectors(9, 4)
    reduced = vectors[:, :2]
    expected = sklearn_trustworthiness(vectors.astype(np.float64), reduced.astype(np.float64), n_neighbors=4)
    assert quality.trustworthiness(vectors, reduced, 15) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_trustworthiness_of_less_than_three_rows_is_undefined(n: int) -> None:
    assert math.isnan(quality.trustworthiness(np.eye(3)[:n], np.eye(3)[:n, :2]))


def test_trustworthiness_of_equal_vectors_is_one_for_any_layout() -> None:
    vectors = np.repeat(unit_vectors(1, 384), 700, axis=0)
    assert quality.trustworthiness(vectors, np.random.default_rng(0).normal(size=(700, 5))) == 1.0


def test_neighbor_preservation_agrees_with_sklearn_neighbors() -> None:
    vectors = unit_vectors(800, 10)
    reduced = PCA(3, random_state=0).fit_transform(vectors)
    k, rows = 12, quality.sample_rows(800, 600, seed=1)
    graph = NearestNeighbors(n_neighbors=k + 1).fit(vectors).kneighbors(return_distance=False, n_neighbors=k)
    shown = NearestNeighbors(n_neighbors=k + 1).fit(reduced).kneighbors(return_distance=False, n_neighbors=k)
    expected = np.mean([len(np.intersect1d(graph[row], shown[row])) / k for row in rows])
    assert quality.neighbor_preservation(graph, reduced, rows) == pytest.approx(expected, abs=1e-12)
    assert quality.neighbor_preservation(shown, reduced, rows) == 1.0
    assert math.isnan(quality.neighbor_preservation(graph, reduced, rows[:0]))


# --- samples ---


def test_a_sample_is_a_seeded_set_of_rows() -> None:
    rows = quality.sample_rows(1000, 100, seed=3)
    assert len(np.unique(rows)) == 100
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, quality.sample_rows(1000, 100, seed=3))
    assert not np.array_equal(rows, quality.sample_rows(1000, 100, seed=4))
    np.testing.assert_array_equal(quality.sample_rows(7, 100, seed=3), np.arange(7))


@pytest.mark.parametrize("size", [10, 200, 1000, 5000])
def test_a_sample_of_clusters_contains_every_topic_with_its_share(size: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 0, 1, 2, 7], 3000, p=[0.3, 0.5, 0.15, 0.04, 0.01])
    rows = quality.sample_clusters(labels, size, seed=1)
    found = dict(zip(*np.unique(labels[rows], return_counts=True), strict=True))
    clustered = int((labels >= 0).sum())
    assert set(found) == {0, 1, 2, 7}
    for topic, n in found.items():
        there = int((labels == topic).sum())
        least = max(2, min(10, size // 4))
        assert n == min(there, max(least, size * there // clustered)), topic
    np.testing.assert_array_equal(rows, quality.sample_clusters(labels, size, seed=1))


def test_a_sample_of_too_many_clusters_keeps_its_limit() -> None:
    labels = np.arange(9000) // 3
    rows = quality.sample_clusters(labels, 1000, seed=1)
    assert len(rows) == 1000
    assert len(np.unique(labels[rows])) == 500
    assert (np.unique(labels[rows], return_counts=True)[1] == 2).all()


def test_a_sample_of_noise_alone_is_empty() -> None:
    assert len(quality.sample_clusters(np.full(50, -1), 20, seed=0)) == 0
    assert len(quality.sample_clusters(np.empty(0, np.int32), 20, seed=0)) == 0


# --- DBCV ---


def blobs(dim: int, spread: float, seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    points, labels = make_blobs(n, centers=6, n_features=dim, cluster_std=spread, random_state=seed)
    labels[::7] = -1
    return points, labels


@pytest.mark.parametrize("dim", [2, 5, 20, 40])
@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_dbcv_agrees_with_hdbscan(dim: int, spread: float, seed: int) -> None:
    points, labels = blobs(dim, spread, seed)
    assert quality.dbcv(points, labels) == pytest.approx(validity_index(points, labels), abs=1e-9)


def test_dbcv_agrees_with_hdbscan_on_repeated_points_and_tiny_clusters() -> None:
    points, labels = blobs(3, 1.0, 2, n=120)
    points = np.concatenate([points, points[:60], [[9.0, 9, 9], [9.1, 9, 9], [30.0, 0, 0], [30.0, 0, 0]]])
    labels = np.concatenate([labels, labels[:60], [6, 6, 7, 7]])
    assert quality.dbcv(points, labels) == pytest.approx(validity_index(points, labels), abs=1e-9)


def test_dbcv_counts_noise_as_zero_in_any_place() -> None:
    points, labels = blobs(3, 0.5, 0)
    with_noise = quality.dbcv(points, labels)
    moved = points + np.where(labels < 0, 100.0, 0.0)[:, None]
    assert quality.dbcv(moved, labels) == with_noise
    clustered = labels >= 0
    assert with_noise == pytest.approx(quality.dbcv(points[clustered], labels[clustered]) * clustered.mean())


def test_dbcv_of_separate_clusters_is_high_and_of_a_random_split_low() -> None:
    points, labels = make_blobs(300, centers=3, cluster_std=0.3, random_state=4)
    assert quality.dbcv(points, labels) > 0.8
    assert quality.dbcv(points, np.random.default_rng(0).integers(0, 3, 300)) < -0.5


@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [0, 0, 0], [0, 0, -1], [0, 0, 1], [0, 1, 2]])
def test_dbcv_needs_two_clusters_of_two_points(labels: list[int]) -> None:
    assert math.isnan(quality.dbcv(np.arange(2.0 * len(labels)).reshape(-1, 2), np.array(labels, np.int32)))


@pytest.mark.parametrize("dim", [1, 5, 384])
def test_dbcv_of_equal_points_is_zero(dim: int) -> None:
    assert quality.dbcv(np.repeat(unit_vectors(1, dim), 600, axis=0), np.repeat([0, 1], 300)) == 0.0


def test_dbcv_is_finite_in_many_dimensions_where_powers_overflow() -> None:
    points, labels = make_blobs(200, centers=4, n_features=384, cluster_std=0.002, random_state=0)
    with np.errstate(all="raise", under="ignore"):
        assert 0.9 < quality.dbcv(points, labels) <= 1.0


def test_dbcv_on_a_sample_is_near_that_on_all() -> None:
    points, labels = blobs(5, 1.5, 3, n=6000)
    rows = quality.sample_clusters(labels, 1200, seed=0)
    assert quality.dbcv(points[rows], labels[rows], labels) == pytest.approx(
        quality.dbcv(points, labels), abs=0.1
    )
    some = np.isin(labels[rows], [0, 1, 2])  # half of the topics, equal in size, represent all
    assert quality.dbcv(points[rows][some], labels[rows][some], labels) > 0.4


def test_dbcv_does_not_depend_on_what_clusters_are_called() -> None:
    points, labels = blobs(4, 2.0, 1)
    renamed = np.where(labels < 0, -1, (labels * 5 + 3) % 11 + 20)
    assert quality.dbcv(points, renamed) == pytest.approx(quality.dbcv(points, labels), abs=1e-12)


# --- classes, outliers ---


def test_purity_by_hand_and_the_rest_as_sklearn() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, -1, -1])
    classes = np.array([5, 5, 6, 6, 6, 6, 5, 6])
    found = quality.agreement(labels, classes)
    assert found["purity"] == (2 + 3 + 1) / 8
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(classes, labels), abs=1e-12)
    assert found["ari"] == pytest.approx(adjusted_rand_score(classes, labels), abs=1e-12)


@pytest.mark.parametrize("n_clusters", [1, 2, 7, 400])
@pytest.mark.parametrize("n_classes", [2, 5, 400])
@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_agreement_is_that_of_sklearn(n_clusters: int, n_classes: int, kept: float) -> None:
    rng = np.random.default_rng(n_clusters + n_classes)
    classes = rng.permutation(np.arange(400) % n_classes) - 3
    labels = np.where(rng.random(400) < kept, classes, rng.integers(n_clusters, size=400)) - 1
    found = quality.agreement(labels, classes)
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(classes, labels), abs=1e-12)
    assert found["ari"] == pytest.approx(adjusted_rand_score(classes, labels), abs=1e-12)
    shared = quality.mutual_information(labels, classes)
    assert shared == pytest.approx(mutual_info_score(classes, labels), abs=1e-12)


def test_agreement_with_one_class_and_with_nothing() -> None:
    one = quality.agreement(np.array([0, 1, 1]), np.array([4, 4, 4]))
    assert one["purity"] == 1.0
    assert np.isnan([one["nmi"], one["ari"]]).all()
    assert np.isnan(list(quality.agreement(np.empty(0, int), np.empty(0, int)).values())).all()


def test_one_cluster_has_no_information_about_two_classes() -> None:
    found = quality.agreement(np.zeros(4, int), np.array([0, 0, 0, 1]))
    assert found == {"nmi": 0.0, "ari": 0.0, "purity": 0.75}


def test_outlier_share() -> None:
    assert quality.outlier_share(np.array([-1, 0, 3, -1])) == 0.5
    assert math.isnan(quality.outlier_share(np.empty(0, np.int32)))
