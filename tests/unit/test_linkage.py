"""Linkage: topics merge by the mean cosine of their documents, and the numbers of groups that persist are layers."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage
from threadpoolctl import threadpool_limits

from topicflow.tasks.core.clusters.linkage import (
    COARSEST,
    FEWEST,
    FINEST,
    TOLERANCE,
    Dendrogram,
    average_linkage,
    layer_counts,
    topic_means,
)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [2, 3, 17, 120])
def test_topics_of_one_document_merge_as_in_scipy(n: int) -> None:
    vectors = unit(np.random.default_rng(n).normal(size=(n, 8)))
    found = average_linkage(vectors, np.ones(n, np.int64))
    expected = linkage(vectors, "average", metric="cosine")
    np.testing.assert_allclose(found.distances, expected[:, 2], atol=1e-8)
    assert found.merges.tolist() == np.sort(expected[:, :2]).astype(int).tolist()


def test_a_large_topic_counts_with_all_of_its_documents() -> None:
    """Two documents at 0 degrees, one at 60 and one at 90: the mean cosine to the joined pair is (0 + 0 + .87) / 3."""
    angles = np.radians([0.0, 0.0, 60.0, 90.0])
    vectors, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.array([0, 0, 1, 2], np.int32)
    means = topic_means(vectors.astype(np.float32), labels, np.ones(4, np.int64), 3)
    found = average_linkage(means, np.array([2, 1, 1]))
    assert found.merges.tolist() == [[1, 2], [0, 3]]
    np.testing.assert_allclose(1.0 - found.distances, [np.cos(np.radians(30)), (0.5 + 0.0) / 2], atol=1e-6)


def test_distances_are_means_over_all_pairs_of_documents() -> None:
    rng = np.random.default_rng(1)
    vectors = unit(rng.normal(size=(60, 5)) + 1.0).astype(np.float32)
    labels = rng.integers(-1, 6, 60).astype(np.int32)
    sizes = np.bincount(labels[labels >= 0], minlength=6)
    found = average_linkage(topic_means(vectors, labels, np.ones(60, np.int64), 6), sizes)
    inside = [np.flatnonzero(labels == topic) for topic in range(6)]
    for (one, other), distance in zip(found.merges.tolist(), found.distances, strict=True):
        pairs = vectors[inside[one]].astype(np.float64) @ vectors[inside[other]].T
        assert distance == pytest.approx(1.0 - pairs.mean(), abs=1e-6)
        inside.append(np.concatenate([inside[one], inside[other]]))
    assert np.all(np.diff(found.distances) >= 0)


def test_a_vector_of_many_documents_weighs_as_many() -> None:
    vectors, labels = np.eye(2, dtype=np.float32), np.array([0, 0], np.int32)
    np.testing.assert_allclose(topic_means(vectors, labels, np.array([3, 1]), 2), [[0.75, 0.25], [0.0, 0.0]])


def test_groups_are_those_of_the_merges_so_far() -> None:
    found = Dendrogram(np.array([[0, 1], [2, 3], [4, 5]]), np.array([0.1, 0.2, 0.9]))
    assert found.parents.tolist() == [4, 4, 5, 5, 6, 6, -1]
    assert [found.roots(k).tolist() for k in (4, 3, 2, 1)] == [
        [0, 1, 2, 3], [4, 4, 2, 3], [4, 4, 5, 5], [6, 6, 6, 6],
    ]  # fmt: skip


def test_the_number_of_groups_that_persists_longest_is_a_layer() -> None:
    """Of ten topics, five groups last from distance .2 to .8, and three from .9 to 1."""
    distances = np.array([0.1, 0.12, 0.14, 0.16, 0.2, 0.8, 0.9, 1.0, 1.0])
    assert layer_counts(distances) == [5, 3]


def test_few_topics_have_no_layers_between_them_and_the_root() -> None:
    assert [layer_counts(np.linspace(0.1, 1.0, n - 1)) for n in (1, 2, 3, 4)] == [[], [], [], []]
    assert layer_counts(np.array([0.1, 0.2, 0.9, 1.0])) == [3]


@pytest.mark.parametrize("n", [5, 40, 700])
@pytest.mark.parametrize("about", [None, 2, 20, 650, 100_000])
def test_layers_grow_coarser_and_one_has_about_the_wished_number(n: int, about: int | None) -> None:
    distances = np.sort(np.random.default_rng(n).uniform(0.0, 1.0, n - 1))
    counts = [n, *layer_counts(distances, about)]
    ratios = [a / b for a, b in pairwise(counts)]
    if about is None or about >= n:
        assert all(FINEST <= ratio <= COARSEST for ratio in ratios)
        assert counts[-1] >= FEWEST or n < FEWEST
    else:
        assert any(about / TOLERANCE <= count <= about * TOLERANCE for count in counts[1:])
    assert all(ratio > 1.0 for ratio in ratios)


def test_the_merges_do_not_depend_on_the_number_of_threads() -> None:
    means, sizes = unit(np.random.default_rng(5).normal(size=(600, 64))), np.arange(1, 601)
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            found.append(average_linkage(means, sizes))
    assert found[0].merges.tolist() == found[1].merges.tolist()
    assert found[0].distances.tolist() == found[1].distances.tolist()


def test_equal_topics_merge_without_a_distance() -> None:
    found = average_linkage(np.ones((4, 3)) / np.sqrt(3), np.ones(4, np.int64))
    np.testing.assert_allclose(found.distances, 0.0, atol=1e-12)
    assert layer_counts(found.distances) == []
