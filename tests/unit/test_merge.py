"""Merging topics: the most similar ones are joined first, noise stays noise, and there are never too few topics."""

from __future__ import annotations

import numpy as np
import pytest

from topicflow.configs.sections.cluster import HdbscanCluster, KMeansCluster
from topicflow.tasks.core.clusters.merge import merge_topics
from topicflow.tasks.topics.cluster import settle_topics

ANGLES = np.deg2rad([0.0, 4.0, 90.0, 180.0])
"""Four topics on a circle; the first two are 4 degrees apart."""


def planted(sizes: tuple[int, ...] = (5, 4, 3, 2), noise: int = 3) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(4), sizes).astype(np.int32)
    angles = np.concatenate([ANGLES[labels], np.full(noise, np.deg2rad(270.0))])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    return vectors, np.concatenate([labels, np.full(noise, -1, np.int32)])


def test_the_two_closest_topics_are_joined_first() -> None:
    vectors, labels = planted()
    merged = merge_topics(vectors, labels, 3)
    assert merged.tolist() == [0] * 9 + [1] * 3 + [2] * 2 + [-1] * 3


@pytest.mark.parametrize("n_topics", [1, 2, 3, 4, 9])
def test_at_most_n_topics_are_left_and_noise_stays(n_topics: int) -> None:
    vectors, labels = planted()
    merged = merge_topics(vectors, labels, n_topics)
    assert merged.max() + 1 == min(n_topics, 4)
    assert (merged < 0).tolist() == (labels < 0).tolist()


def test_equal_centroids_are_joined() -> None:
    vectors = np.tile(np.float32([1.0, 0.0]), (6, 1))
    assert merge_topics(vectors, np.int32([0, 0, 1, 1, 2, 2]), 1).tolist() == [0] * 6


def test_only_noise_stays_only_noise() -> None:
    vectors, _ = planted()
    noise = np.full(len(vectors), -1, np.int32)
    assert merge_topics(vectors, noise, 2).tolist() == noise.tolist()


def test_settle_joins_before_it_bounds_outliers() -> None:
    vectors, labels = planted()
    settled, memberships = settle_topics(
        labels, vectors, HdbscanCluster(method="hdbscan", n_topics=2, max_outlier_share=0.0)
    )
    assert settled.max() == 1
    assert (settled >= 0).all()
    assert (~np.isnan(memberships)).tolist() == (labels < 0).tolist()


def test_kmeans_is_left_alone() -> None:
    vectors, labels = planted(noise=0)
    settled, memberships = settle_topics(labels, vectors, KMeansCluster(method="kmeans", n_clusters=4))
    assert settled.tolist() == labels.tolist()
    assert np.isnan(memberships).all()
