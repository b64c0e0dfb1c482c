"""Size choice: the fits of a corpus and a wish -> the smallest topic, and what other sizes would give.

Used where cluster.min_cluster_size is "auto". A refit chooses again; an update assigns to the topics of the last fit,
and so keeps its choice.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from topicflow.configs.sections.cluster import GraphCluster, HdbscanCluster
from topicflow.tasks.core.clusters.clustering import Clustering
from topicflow.tasks.core.clusters.sizes import (
    PREFERENCE,
    STEP,
    best_size,
    candidate_sizes,
    persistence,
    spans_of,
)
from topicflow.tasks.topics.density_fits import DensityFit

N_OTHERS = 3
"""Other sizes whose topics are counted."""

OTHER_REPLICATES = 2
"""Fits that measure the stability of each of them: together less than those of the chosen size."""

FAR = 1.25
"""Minimum ratio of two sizes that are both worth showing."""

MOST_SAMPLES, LEAST_SAMPLES = 30, 5
SAMPLES_BY_ROOT = (0.8, 1.0, 1.2)
"""min_samples of the three hierarchies whose mean persistence decides, as multiples of the cube root of the points."""


@dataclass(frozen=True)
class SizeResult:
    """What a smallest topic gives; the stability is None with HDBSCAN."""

    min_cluster_size: int
    n_topics: int
    outlier_share: float
    stability: float | None

    @classmethod
    def of(cls, size: int, found: Clustering) -> SizeResult:
        """Return the figures of a clustering."""
        stability = None if found.stability is None else round(float(found.stability.mean()), 3)
        return cls(size, found.n_clusters, round(float((found.labels < 0).mean()), 3), stability)


@dataclass(frozen=True)
class SizeChoice:
    """The chosen smallest topic, the wish, and the results of other sizes, ascending."""

    size: int
    wish: str | int
    others: tuple[SizeResult, ...]

    def described(self, found: Clustering, share: float) -> dict[str, Any]:
        """Return the record of the choice beside the clusters that were found.

        `share` is the share of all documents that was fitted: the record has sizes in all documents, as a config has.
        """
        results = [asdict(each) for each in (SizeResult.of(self.size, found), *self.others)]
        for each in results:
            each["min_cluster_size"] = max(2, round(each["min_cluster_size"] / share))
        return {"wish": self.wish, **results[0], "others": results[1:]}


def choose_size(fit: DensityFit, config: GraphCluster | HdbscanCluster, n_points: int) -> SizeChoice:
    """Return the smallest topic for the wish of `config`; deterministic.

    Parameters
    ----------
    fit : DensityFit
        The fits of the points.
    config : GraphCluster or HdbscanCluster
        With `topics` or `about`; medium without both.
    n_points : int
        Number of distinct points, two or more.

    Notes
    -----
    `topics` is decided in three hierarchies for all sizes. `about` halves the range of sizes some ten times, each time
    by a fit without replicates, and large sizes a second time. Other sizes take 1 + OTHER_REPLICATES fits each, at
    most N_OTHERS of them.
    """
    if config.about is not None:
        return _about(fit, config.about, n_points)
    by_wish = _preferred(fit, config, n_points)
    wish = config.topics or "medium"
    size = by_wish[wish]
    wanted = [*by_wish.values(), size * 2, size // 2, size * 4]
    least = min(by_wish.values())
    others = _apart(size, [each for each in wanted if least <= each <= n_points // 2])
    return SizeChoice(size, wish, _results(fit, others))


def _preferred(fit: DensityFit, config: GraphCluster | HdbscanCluster, n_points: int) -> dict[str, int]:
    """Return the size for each wish."""
    sizes = candidate_sizes(n_points)
    least = np.maximum(sizes * fit.core_share, 2.0)
    values = np.zeros(len(sizes))
    for times in SAMPLES_BY_ROOT:
        root = min(max(round(times * n_points ** (1 / 3)), LEAST_SAMPLES), MOST_SAMPLES)
        spans = spans_of(fit.tree(min(config.min_samples or root, n_points - 1)))
        values += persistence(spans, least) / len(SAMPLES_BY_ROOT)
    return {wish: best_size(values, sizes, preference) for wish, preference in PREFERENCE.items()}


def _about(fit: DensityFit, about: int, n_points: int) -> SizeChoice:
    """Return the size that gives about this many topics; a large one is looked for again with enough neighbours."""
    seen = _halved(fit, about, min(2, n_points), max(2, n_points // 2))
    if fit.widen(_nearest(seen, about)[0]):
        seen = _halved(fit, about, 2, _nearest(seen, about)[0])
    sizes = _nearest(seen, about)
    others = _apart(sizes[0], [size for size in sizes if seen[size]])
    return SizeChoice(sizes[0], about, _results(fit, others))


def _halved(fit: DensityFit, about: int, low: int, high: int) -> dict[int, int]:
    """Return the topics of some sizes from `low` to `high`: larger sizes give fewer topics, so halves are left out."""
    seen: dict[int, int] = {}
    while low <= high:
        size = round(math.sqrt(low * high))
        seen[size] = fit.estimated(size, 0).n_clusters
        if seen[size] == about or high / low < STEP:
            break
        low, high = (size + 1, high) if seen[size] > about else (low, size - 1)
    return seen


def _nearest(seen: dict[int, int], about: int) -> list[int]:
    """Return the sizes with the number of topics nearest to `about` first, by ratio; larger sizes first if equal."""
    return sorted(seen, key=lambda size: (abs(math.log(max(seen[size], 0.1) / about)), -size))


def _apart(size: int, wanted: list[int]) -> list[int]:
    """Return the first N_OTHERS sizes that are FAR from `size` and from each other, ascending."""
    kept = [size]
    for each in wanted:
        if all(max(each, one) >= FAR * min(each, one) for one in kept):
            kept.append(each)
    return sorted(kept[1 : N_OTHERS + 1])


def _results(fit: DensityFit, sizes: list[int]) -> tuple[SizeResult, ...]:
    return tuple(SizeResult.of(size, fit.estimated(size, OTHER_REPLICATES)) for size in sizes)
