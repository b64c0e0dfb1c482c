"""Spanning trees: equal to those of a matrix of all distances, for any dimensions, copies, threads."""

import numba
import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from topicflow.tasks.core.clusters.spanning import BLOCK_ROWS, spanning_tree
from topicflow.tasks.core.vectors.vector_pow import power


def mutual_reachability(points: np.ndarray, min_samples: int) -> np.ndarray:
    gaps = points[:, None].astype(np.float64) - points[None]
    distances = np.sqrt((gaps**2).sum(axis=2))
    core = np.sort(distances, axis=1)[:, min_samples]
    return np.maximum(distances, np.maximum(core[:, None], core[None]))


def clumps(n: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(7, dim)) * 5
    return (centres[rng.integers(7, size=n)] + rng.normal(size=(n, dim))).astype(np.float32)


@pytest.mark.parametrize("min_samples", [1, 5, 40])
@pytest.mark.parametrize(("n", "dim"), [(2, 2), (41, 1), (300, 2), (700, 5), (200, 30)])
def test_the_tree_is_as_light_as_that_of_all_distances(n: int, dim: int, min_samples: int) -> None:
    points, min_samples = clumps(n, dim, n), min(min_samples, n - 1)
    edges = spanning_tree(points, min_samples)
    reachable = mutual_reachability(points, min_samples)
    expected = np.sort(minimum_spanning_tree(reachable).data)
    np.testing.assert_allclose(np.sort(edges[:, 2]), expected, rtol=1e-5)
    rows, columns = edges[:, :2].astype(int).T
    np.testing.assert_allclose(edges[:, 2], reachable[rows, columns], rtol=1e-5)
    joined = np.zeros((n, n))
    joined[rows, columns] = 1
    assert connected_components(joined, directed=False)[0] == 1


@pytest.mark.parametrize("min_samples", [1, 8, 60])
def test_copies_are_joined_at_no_distance(min_samples: int) -> None:
    distinct = clumps(30, 5, 1)
    lengths = np.sort(spanning_tree(np.repeat(distinct, 20, axis=0), min_samples)[:, 2])
    assert len(lengths) == 599
    assert (lengths == 0).sum() == (30 * 19 if min_samples < 20 else 0)
    if min_samples < 20:
        distances = np.sqrt(((distinct[:, None] - distinct[None]) ** 2).sum(axis=2))
        np.testing.assert_allclose(lengths[570:], np.sort(minimum_spanning_tree(distances).data), rtol=1e-5)


def test_threads_do_not_change_the_result() -> None:
    points = clumps(2 * BLOCK_ROWS + 10, 5, 3)
    np.testing.assert_array_equal(spanning_tree(points, 10, 1), spanning_tree(points, 10, 3))


def test_powers_are_those_of_numpy() -> None:
    @numba.vectorize(["float32(float32, float32)"])
    def vectorized(x: np.float32, b: np.float32) -> np.float32:
        return power(x, b)

    x = np.logspace(-12, 6, 20_001, dtype=np.float32)
    for b in (0.4, 0.7904949, 1.0):
        np.testing.assert_allclose(
            vectorized(x, np.float32(b)), x.astype(np.float64) ** np.float32(b), rtol=1e-5
        )
    assert vectorized(np.float32(0), np.float32(0.79)) < 1e-26
