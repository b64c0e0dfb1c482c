"""Hierarchy: clusters, strengths and scores equal the hdbscan package's from the same tree, if nothing ties."""

import itertools

import hdbscan
import numpy as np
import pytest
from hdbscan._hdbscan_linkage import label
from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters, outlier_scores

from topicflow.tasks.core.clusters.clustering import number_by_size
from topicflow.tasks.core.clusters.hierarchy import DENSEST, flat_clusters


def untied_tree(seed: int, n: int) -> np.ndarray:
    """A spanning tree of blobs of three densities; all edges have slightly different lengths."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, 4)) * 3
    spread = rng.choice([0.2, 0.8, 1.5], size=(n, 1))
    points = centres[rng.integers(0, 12, n)] + rng.normal(size=(n, 4)) * spread
    model = hdbscan.HDBSCAN(min_samples=5, algorithm="generic", gen_min_span_tree=True).fit(points)
    tree = np.array(model.minimum_spanning_tree_.to_numpy())
    tree[:, 2] *= 1 + rng.permutation(len(tree)) * 1e-9
    return tree


@pytest.mark.parametrize(("seed", "n"), [(0, 900), (1, 900), (2, 1500)])
@pytest.mark.parametrize("size", [2, 10, 40])
def test_everything_is_as_in_the_hdbscan_package(seed: int, n: int, size: int) -> None:
    tree = untied_tree(seed, n)
    condensed = condense_tree(label(tree[np.argsort(tree[:, 2])]), size)
    for selection, epsilon in itertools.product(("eom", "leaf"), (0.0, 0.5, 1.0, 2.0)):
        stability = compute_stability(condensed)
        labels, strengths, _ = get_clusters(condensed, stability, selection, False, False, epsilon)
        found = flat_clusters(tree, size, selection, epsilon)
        assert labels.max() >= 1
        np.testing.assert_array_equal(number_by_size(found[0]), number_by_size(np.asarray(labels)))
        np.testing.assert_allclose(found[1], strengths, atol=1e-9)
        np.testing.assert_allclose(found[2], outlier_scores(condensed), atol=1e-9)


def test_a_hierarchy_by_hand() -> None:
    # 0-1-2 and 3-4-5 are tight and 4 apart, 6 is 10 from them all; 2 comes last to the first three
    edges = [(0, 1, 1.0), (3, 4, 1.0), (4, 5, 1.0), (1, 2, 2.0), (2, 3, 4.0), (5, 6, 10.0)]
    labels, strengths, scores = flat_clusters(np.array(edges), 3, "eom", 0.0)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, -1] or labels.tolist() == [1, 1, 1, 0, 0, 0, -1]
    np.testing.assert_allclose(
        strengths, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    )  # three points separate together
    np.testing.assert_allclose(
        scores, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9]
    )  # 1/10 of the deepest one below, 1
    joined, _, _ = flat_clusters(np.array(edges), 3, "eom", 5.0)
    assert joined.tolist() == labels.tolist()  # all points are never one cluster


def test_points_that_coincide_have_numbers_for_scores() -> None:
    rows = np.arange(9)
    tree = np.column_stack([rows, rows + 1, np.zeros(9)])
    tree[4, 2] = 1.0  # two heaps of five
    labels, strengths, scores = flat_clusters(tree, 5, "eom", 0.0)
    assert sorted(np.bincount(labels).tolist()) == [5, 5]
    np.testing.assert_array_equal(strengths, 1.0)
    np.testing.assert_array_equal(scores, 0.0)
    tree[:, 2] = 1.0 / (10.0 * DENSEST)
    assert np.isfinite(flat_clusters(tree, 5, "leaf", 0.0)[2]).all()


@pytest.mark.parametrize("selection", ["eom", "leaf"])
def test_without_a_split_all_is_noise(selection: str) -> None:
    tree = np.array([[0, 1, 1.0], [1, 2, 2.0]])
    labels, strengths, scores = flat_clusters(tree, 2, selection, 0.0)
    assert labels.tolist() == [-1, -1, -1]
    assert strengths.tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(scores, [0.0, 0.0, 0.5])
