"""Topics in a neighbour graph: the tree, the cores and what surrounds them, stability, any order of the rows."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score

from tests.fakes import Corpus, planted_corpus, save
from topicflow.configs.sections.cluster import GraphCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.clusters.clustering import Clustering
from topicflow.tasks.core.clusters.graph_clusters import Density, graph_clusters
from topicflow.tasks.core.clusters.graph_density import core_distances, reachability, spanning_tree_of
from topicflow.tasks.core.layout.diffusion import diffuse, directions
from topicflow.tasks.core.vectors.knn import exact_neighbors
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster, cluster_points
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import diffused, reduce


def sphere(n: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def graph(points: np.ndarray, k: int = 12) -> tuple[np.ndarray, np.ndarray]:
    indices, distances = exact_neighbors(points, min(k, len(points)))
    return indices, np.sqrt(np.maximum(2 * distances, 0)).astype(np.float32)


def found_in(points: np.ndarray, k: int = 31, **changes: object) -> Clustering:
    settings = {"min_cluster_size": 15, "min_samples": 8, "selection": "eom", "max_share": 0.5, **changes}
    return graph_clusters(points, *graph(points, k), Density(**settings))


# --- the tree ---


@pytest.mark.parametrize("min_samples", [1, 4, 11])
def test_the_tree_is_as_light_as_scipys(min_samples: int) -> None:
    indices, distances = graph(sphere(200))
    core = core_distances(distances, min_samples)
    rows = np.repeat(np.arange(200), indices.shape[1])
    columns = indices.ravel()
    lengths = np.maximum(np.maximum(core[rows], core[columns]), distances.ravel())
    known = rows != columns
    expected = minimum_spanning_tree(
        csr_matrix((lengths[known], (rows[known], columns[known])), shape=(200, 200))
    )
    edges = spanning_tree_of(indices, *reachability(indices, distances, min_samples), np.ones(200, bool))
    assert np.isfinite(edges).all()
    assert edges[:, 2].sum() == pytest.approx(expected.sum(), rel=1e-5)


def test_points_that_are_left_out_are_in_no_tree_and_parts_without_an_edge_are_infinitely_far() -> None:
    far = 9 * np.eye(1, 6)
    points = np.concatenate([sphere(30, seed=1) + far, sphere(30, seed=2) - far])
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    indices, distances = graph(points, 6)
    kept = np.arange(60) % 3 > 0
    edges = spanning_tree_of(indices, *reachability(indices, distances, 2), kept)
    assert edges.shape == (39, 3)
    assert sorted({*edges[:, 0], *edges[:, 1]}) == list(range(40))
    assert np.isinf(edges[:, 2]).sum() >= 1
    assert (np.isinf(edges[:-1, 2]) <= np.isinf(edges[1:, 2])).all()  # they are joined last


# --- diffusion ---


def test_a_step_is_the_weighted_mean_of_a_point_and_its_neighbours() -> None:
    weights = csr_matrix(np.array([[0, 0.5, 0], [0.5, 0, 0.25], [0, 0.25, 0]], np.float32))
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
    moved = diffuse(weights, vectors, 1)
    np.testing.assert_allclose(moved[0], [1 / 1.5, 0.5 / 1.5], rtol=1e-6)
    np.testing.assert_allclose(moved[1], [(0.5 + 0.25) / 1.75, 1.25 / 1.75], rtol=1e-6)
    np.testing.assert_array_equal(diffuse(weights, vectors, 0), vectors)
    np.testing.assert_allclose(diffuse(weights, moved, 1), diffuse(weights, vectors, 2))


def test_directions_have_length_one_and_the_mean_itself_none() -> None:
    found = directions(np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]], np.float32))
    np.testing.assert_allclose(found, [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])


# --- clusters ---


def clumps(
    n_clumps: int = 4, size: int = 60, n_far: int = 20, spread: float = 0.12
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    centres = np.eye(6)[:n_clumps]
    near = np.repeat(centres, size, axis=0) + spread * rng.normal(size=(n_clumps * size, 6))
    points = np.concatenate([near, rng.normal(size=(n_far, 6))])
    truth = np.concatenate([np.repeat(np.arange(n_clumps), size), np.full(n_far, -1)])
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth


def test_planted_clumps_are_found_with_sure_members_and_stable_ones() -> None:
    points, truth = clumps()
    found = found_in(points)
    assert found.n_clusters == 4
    known = truth >= 0
    assert adjusted_rand_score(truth[known], found.labels[known]) > 0.95
    assert found.probabilities[known & (found.labels >= 0)].mean() > 0.7
    assert found.stability[known].mean() > 0.95
    assert (found.labels[~known] < 0).mean() > 0.3
    for values in (found.probabilities, found.outlier_scores, found.stability):
        assert values.dtype == np.float32
        assert (values.min() >= 0, values.max() <= 1) == (True, True)


def test_outliers_are_the_points_with_a_score_above_a_half_and_have_probability_zero() -> None:
    found = found_in(clumps(n_far=60)[0])
    np.testing.assert_array_equal(found.labels < 0, found.outlier_scores > 0.5)
    assert (found.probabilities[found.labels < 0] == 0).all()


def test_topics_that_are_not_there_are_not_stable() -> None:
    found = found_in(sphere(400, dim=20))
    assert found.n_clusters == 0 or found.stability[found.labels >= 0].mean() < 0.9


@pytest.mark.parametrize("smallest", [5, 30, 61])
def test_no_topic_is_smaller_than_the_smallest(smallest: int) -> None:
    found = found_in(clumps(size=60)[0], min_cluster_size=smallest, min_samples=5)
    sizes = np.bincount(found.labels[found.labels >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert not len(sizes) or sizes.min() >= smallest


@pytest.mark.parametrize("n", range(2, 8))
def test_a_handful_of_points_has_a_result(n: int) -> None:
    found = cluster_points(sphere(n), GraphCluster(min_cluster_size=2), 0)
    assert found.labels.shape == found.stability.shape == (n,)
    assert np.isfinite([found.probabilities, found.outlier_scores, found.stability]).all()


def test_a_leaf_selection_finds_more_topics() -> None:
    points, _ = clumps(n_clumps=3, size=200, spread=0.4)
    assert found_in(points, selection="leaf").n_clusters >= found_in(points).n_clusters


# --- through the stages ---


@pytest.fixture(scope="module")
def large() -> Corpus:
    return planted_corpus(n_per_topic=100, n_noise=20)


def labels_of(
    store: ArtifactStore, vectors: np.ndarray, seed: int, name: str, fit_limit: int = 1_000
) -> np.ndarray:
    embeddings = save(store, "embeddings", {"embeddings": vectors}, name=name)
    context = Context(store, seed, RuntimeConfig())
    found = made(neighbors.fn(context, embeddings, NeighborsConfig(fit_limit=fit_limit)))
    reduced = made(reduce.fn(context, embeddings, found, DiffusionReduce()))
    labels = made(cluster.fn(context, embeddings, found, reduced, GraphCluster(min_cluster_size=10)))
    assert "stability.npy" in store.manifest(labels.kind, labels.key)["files"]
    return np.asarray(store.array(labels, "labels"))


def made(found: object) -> ArtifactRef:
    """Return the artifact of a stage, which a hit returns in a state."""
    return found


@pytest.mark.parametrize("fit_limit", [1_000, 150])
def test_the_order_of_the_rows_changes_nothing(store: ArtifactStore, large: Corpus, fit_limit: int) -> None:
    expected = labels_of(store, large.embeddings, 1, "in order", fit_limit)
    assert expected.max() >= 2
    for seed in (2, 3):
        order = np.random.default_rng(seed).permutation(len(expected))
        found = labels_of(store, large.embeddings[order], 1, f"shuffled {seed}", fit_limit)
        assert adjusted_rand_score(expected[order], found) == 1.0
        np.testing.assert_array_equal(expected[order] < 0, found < 0)


def test_the_seed_changes_nothing_and_nothing_is_computed_again(store: ArtifactStore, large: Corpus) -> None:
    first = labels_of(store, large.embeddings, 1, "corpus")
    artifacts = sorted(store.root.glob("*/*"))
    np.testing.assert_array_equal(labels_of(store, large.embeddings, 2, "corpus"), first)
    assert sorted(store.root.glob("*/*")) == artifacts


def test_one_percent_of_the_documents_changes_few_topics(store: ArtifactStore, large: Corpus) -> None:
    whole = labels_of(store, large.embeddings, 1, "whole")
    kept = np.arange(len(whole)) % 100 > 0
    fewer = labels_of(store, large.embeddings[kept], 1, "fewer")
    assert adjusted_rand_score(whole[kept], fewer) > 0.9


def test_documents_that_are_all_neighbours_at_one_distance_keep_their_own_directions() -> None:
    """Their averages are equal, and the rounding that is left is no direction."""
    vectors = np.eye(5, dtype=np.float32)
    indices = np.array([[row, *(other for other in range(5) if other != row)] for row in range(5)], np.int32)
    distances = np.ones((5, 5), np.float32)
    distances[:, 0] = 0.0
    found = diffused(indices, distances, vectors, DiffusionReduce())
    np.testing.assert_allclose(found @ found.T, np.where(np.eye(5), 1.0, -0.25), atol=1e-5)


def test_copies_of_a_few_equally_far_vectors_are_reduced_to_numbers(store: ArtifactStore) -> None:
    vectors = np.eye(5, dtype=np.float32)[np.arange(60) % 5]
    embeddings = save(store, "embeddings", {"embeddings": vectors})
    context = Context(store, 0, RuntimeConfig(n_threads=2))
    graph = made(neighbors.fn(context, embeddings, NeighborsConfig()))
    reduced = store.array(made(reduce.fn(context, embeddings, graph, DiffusionReduce())), "reduced")
    assert np.isfinite(reduced).all()
    assert len(np.unique(reduced, axis=0)) == 5


def test_points_that_are_no_numbers_are_refused_before_compiled_loops_read_them() -> None:
    points = sphere(60)
    points[7, 2] = np.nan
    with pytest.raises(StageError, match="the reduced vectors contain NaN or infinite values"):
        cluster_points(points, GraphCluster(), 0)


def test_a_document_at_the_mean_of_all_has_no_direction_and_stays_a_number(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.repeat(sphere(40), 2, axis=0)  # copies: the distinct vectors are placed
    embeddings = save(store, "embeddings", {"embeddings": vectors})
    context = Context(store, 0, RuntimeConfig(n_threads=2))
    graph = made(neighbors.fn(context, embeddings, NeighborsConfig()))
    directed = sphere(40)
    directed[3] = 0.0
    monkeypatch.setattr("topicflow.tasks.topics.reduce.diffused", lambda *_: directed)
    reduced = store.array(made(reduce.fn(context, embeddings, graph, DiffusionReduce())), "reduced")
    assert (np.linalg.norm(reduced, axis=1) == 0.0).sum() == 2
    assert np.isfinite(reduced).all()
