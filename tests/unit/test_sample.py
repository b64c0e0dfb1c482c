"""A corpus beyond fit_limit: fitted rows keep their topics, the others follow their nearest fitted ones."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tests.fakes import Corpus, planted_corpus, save
from topicflow.configs.sections.cluster import GraphCluster, HdbscanCluster, KMeansCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce, ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.assign import neighbor_weights, vote_topics, weighted_means
from topicflow.tasks.core.clusters.clustering import Clustering
from topicflow.tasks.core.vectors.knn import exact_neighbors
from topicflow.tasks.core.vectors.unit_rows import unit_rows
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster, scaled_down
from topicflow.tasks.topics.fitted_sample import FittedSample, fitted_points, read_sample, reduced_points
from topicflow.tasks.topics.neighbors import neighbors, ordered_points
from topicflow.tasks.topics.reduce import reduce

RUNTIME = RuntimeConfig()


# --- votes ---


def test_weights_fall_with_distance_and_the_same_text_outweighs_all_others() -> None:
    weights = neighbor_weights(np.array([[0.1, 0.2, 0.4], [0.0, 0.01, 0.01]], np.float32))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(weights[0] / weights[0, 0], [1.0, 0.101 / 0.201, 0.101 / 0.401], rtol=1e-5)
    assert weights[1, 0] > weights[1, 1:].sum()


def test_neighbours_vote_by_weight_and_noise_is_voted_for_too() -> None:
    labels = np.array([0, 0, 1, -1], np.int32)
    nearest = np.array([[2, 0, 1], [0, 2, 3], [3, 3, 0]], np.int32)
    weights = np.array([[0.4, 0.3, 0.3], [0.3, 0.6, 0.1], [0.3, 0.3, 0.4]], np.float32)
    topics, shares = vote_topics(labels, nearest, weights)
    np.testing.assert_array_equal(topics, [0, 1, -1])
    np.testing.assert_allclose(shares, [0.6, 0.6, 0.6], rtol=1e-6)


def test_with_equal_votes_the_nearest_neighbour_wins() -> None:
    labels = np.array([5, 2], np.int32)
    half = np.full((2, 2), 0.5, np.float32)
    topics, _ = vote_topics(labels, np.array([[0, 1], [1, 0]], np.int32), half)
    np.testing.assert_array_equal(topics, [5, 2])


def test_weighted_means_of_positions_and_of_scores() -> None:
    nearest, weights = np.array([[0, 1]], np.int32), np.array([[0.25, 0.75]], np.float32)
    positions = np.array([[0.0, 4.0], [8.0, 0.0]], np.float32)
    np.testing.assert_allclose(weighted_means(positions, nearest, weights), [[6.0, 1.0]])
    np.testing.assert_allclose(weighted_means(positions[:, 0], nearest, weights), [6.0])


# --- the sample ---


def ordered(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return ordered_points(vectors, 1)


def test_the_order_of_the_points_is_that_of_their_vectors_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1000, 8)).astype(np.float32)[rng.integers(0, 700, 1000)]
    rows, counts, point = ordered(vectors)
    np.testing.assert_array_equal(vectors[rows][point], vectors)
    np.testing.assert_array_equal(np.bincount(point), counts)
    shuffle = rng.permutation(1000)
    again, _, _ = ordered(vectors[shuffle])
    np.testing.assert_array_equal(vectors[shuffle][again], vectors[rows])


def test_the_sample_hardly_changes_with_a_few_documents() -> None:
    vectors = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    whole, fewer = ordered(vectors)[0][:300], ordered(vectors[:990])[0][:300]
    assert len(np.intersect1d(whole, fewer)) >= 290


def test_fitted_rows_keep_what_the_fit_says_even_against_their_neighbours() -> None:
    fitted = Clustering(
        np.array([0, 1, 1], np.int32), np.array([0.9, 0.5, 0.7], np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    )  # fmt: skip
    nearest = np.array([[1, 2], [1, 2], [0, 1], [1, 2]], np.int32)  # rows 0, 2 and 3 are fitted
    sample = FittedSample(np.array([0, 2, 3]), nearest, np.full((4, 2), 0.5, np.float32))
    everyone = sample.extend(fitted)
    np.testing.assert_array_equal(everyone.labels, [0, 1, 1, 1])
    np.testing.assert_allclose(everyone.probabilities, [0.9, 0.6, 0.5, 0.7])
    np.testing.assert_allclose(everyone.outlier_scores, [0.1, 0.25, 0.2, 0.3])
    positions = np.array([[0.0], [2.0], [4.0]], np.float32)
    np.testing.assert_allclose(sample.place(positions), [[0.0], [3.0], [2.0], [4.0]])
    assert sample.share == 0.75


def test_a_document_voted_to_be_noise_has_probability_zero() -> None:
    fitted = Clustering(np.array([-1, -1], np.int32), np.zeros(2, np.float32), np.ones(2, np.float32))
    sample = FittedSample(
        np.array([0, 1]), np.array([[0, 1]] * 3, np.int32), np.full((3, 2), 0.5, np.float32)
    )
    everyone = sample.extend(fitted)
    assert (everyone.labels[2], everyone.probabilities[2], everyone.outlier_scores[2]) == (-1, 0.0, 1.0)


@pytest.mark.parametrize(("share", "sizes"), [(0.5, (10, 5)), (0.01, (2, 1)), (1.0, (20, 10))])
def test_a_topic_has_its_share_of_the_documents(share: float, sizes: tuple[int, int]) -> None:
    config = scaled_down(HdbscanCluster(method="hdbscan", min_cluster_size=20, min_samples=10), share)
    assert (config.min_cluster_size, config.min_samples) == sizes
    assert scaled_down(HdbscanCluster(method="hdbscan", min_cluster_size=20), share).min_samples is None
    kmeans = KMeansCluster(method="kmeans", n_clusters=7)
    assert scaled_down(kmeans, share) == kmeans


# --- through the stages ---


@pytest.fixture
def large() -> Corpus:
    return planted_corpus(n_per_topic=100, n_noise=10)


def graph_of(store: ArtifactStore, corpus: Corpus, fit_limit: int) -> tuple[ArtifactRef, ArtifactRef]:
    embeddings = save(store, "embeddings", {"embeddings": corpus.embeddings})
    return embeddings, neighbors.fn(
        Context(store, 1, RUNTIME), embeddings, NeighborsConfig(fit_limit=fit_limit)
    )


def test_at_the_limit_every_document_is_fitted(store: ArtifactStore, large: Corpus) -> None:
    _, graph = graph_of(store, large, 310)
    assert store.meta(graph)["sampled"] is False
    assert sorted(read_sample(store, graph).rows) == list(range(310))
    _, graph = graph_of(store, large, 309)
    sample = read_sample(store, graph)
    assert (len(sample.rows), sample.nearest.shape) == (309, (310, 8))


def test_only_the_fitted_documents_have_stored_points_and_the_others_follow_when_read(
    store: ArtifactStore, large: Corpus
) -> None:
    embeddings, graph = graph_of(store, large, 150)
    sample, context = read_sample(store, graph), Context(store, 1, RUNTIME)
    made = reduce.fn(context, embeddings, graph, DiffusionReduce())
    stored = store.array(made, "reduced")
    assert (len(stored), made.rows) == (150, 310)
    points = reduced_points(store, made)
    everyone, lengths = unit_rows(sample.place(stored))
    assert (lengths > 0).all()
    rows = np.random.default_rng(0).permutation(310)
    np.testing.assert_array_equal(points[rows], everyone[rows])
    np.testing.assert_array_equal(fitted_points(store, made, sample), everyone[sample.rows])
    labels = cluster.fn(context, embeddings, graph, made, GraphCluster(min_cluster_size=10))
    assert len(store.array(labels, "labels")) == 310


def test_the_graph_is_that_of_the_sample_and_every_document_knows_its_nearest(
    store: ArtifactStore, large: Corpus
) -> None:
    _, graph = graph_of(store, large, 150)
    sample = read_sample(store, graph)
    fitted = large.embeddings[sample.rows]
    np.testing.assert_array_equal(store.array(graph, "indices"), exact_neighbors(fitted, 15)[0])
    np.testing.assert_array_equal(sample.nearest[sample.rows, 0], np.arange(150))
    nearest = (large.embeddings @ fitted.T).argmax(axis=1)
    assert (sample.nearest[:, 0] == nearest).mean() >= 0.95
    assert (store.meta(graph)["n_fitted"], graph.rows) == (150, 310)


def test_the_topics_are_those_of_a_fit_of_everything(store: ArtifactStore, large: Corpus) -> None:
    found = {}
    for limit in (310, 150):
        embeddings, graph = graph_of(store, large, limit)
        reduced = reduce.fn(
            Context(store, 1, RUNTIME), embeddings, graph, ParallelUmapReduce(method="parallel_umap")
        )
        points = store.array(reduced, "reduced")
        assert (len(points), bool(np.isfinite(points).all())) == (310, True)
        labels = cluster.fn(
            Context(store, 1, RUNTIME),
            embeddings,
            graph,
            reduced,
            HdbscanCluster(method="hdbscan", min_cluster_size=20),
        )
        found[limit] = np.asarray(store.array(labels, "labels"))
    known = large.truth >= 0
    assert adjusted_rand_score(found[150][known], large.truth[known]) >= 0.95
    assert adjusted_rand_score(found[150][known], found[310][known]) >= 0.95
