"""Matching and drift by hand: assignments, events, lasting ids, histograms, stability indices."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from topicflow.configs.sections.update import DriftConfig
from topicflow.tasks.core.clusters.drifts import (
    N_BINS,
    distance_histogram,
    ks_statistic,
    own_distances,
    population_stability,
    topic_counts,
)
from topicflow.tasks.core.clusters.matching import match_topics, shared_documents, topic_events
from topicflow.tasks.updates.drift import Profile, drift_figures, over_thresholds
from topicflow.tasks.updates.match_topics import first_lineage, trace_topics

NO_VECTORS = np.empty((0, 0), np.float32)


def bare(n: int) -> np.ndarray:
    """Centroids that cannot be compared."""
    return np.empty((n, 0), np.float32)


def labels(*runs: tuple[int, int]) -> np.ndarray:
    return np.concatenate([np.full(n, label, np.int32) for label, n in runs])


def test_a_topic_that_shares_most_documents_keeps_its_id() -> None:
    old = labels((0, 60), (1, 40), (-1, 10))
    new = labels((1, 55), (-1, 5), (0, 40), (-1, 10))
    matching = match_topics(old, new, bare(2), bare(2))
    assert matching.shared.tolist() == [[0, 55], [40, 0]]
    assert matching.old_of.tolist() == [1, 0]
    assert matching.similarity[0, 1] == pytest.approx(2 * 55 / (60 + 55))
    lineage = trace_topics(matching, [7, 9], 12, 0.5)
    assert (lineage.ids, lineage.next_id) == ([9, 7], 12)
    assert lineage.table.select("event", "topic", "previous", "n_shared", "share_of_previous").rows() == [
        ("continued", 9, 9, 40, 1.0), ("continued", 7, 7, 55, 55 / 60),
    ]  # fmt: skip


def test_what_splits_merges_dies_and_is_born() -> None:
    old = labels((0, 100), (1, 50), (2, 30), (3, 20))
    new = labels((0, 60), (1, 40), (0, 50), (-1, 30), (-1, 8), (2, 12), (3, 15))
    old = np.concatenate([old, np.full(15, -1, np.int32)])
    matching = match_topics(old, new, bare(4), bare(4), min_similarity=0.45)
    lineage = trace_topics(matching, [0, 1, 2, 3], 4, 0.5)
    assert lineage.table.select("event", "topic", "previous", "n_shared").rows() == [
        ("continued", 1, 1, 50),
        ("continued", 0, 0, 40),
        ("continued", 3, 3, 12),
        ("born", 4, None, 0),
        ("died", None, 2, 0),
    ]  # fmt: skip  (all in all better than 0 going on with its 60)
    split = match_topics(labels((0, 100)), labels((0, 60), (1, 40)), bare(1), bare(2))
    assert [(e.event, e.old, e.new, e.n_shared) for e in topic_events(split)] == [
        ("continued", 0, 0, 60), ("split", 0, 1, 40),
    ]  # fmt: skip
    merged = match_topics(labels((0, 60), (1, 40)), labels((0, 100)), bare(2), bare(1))
    assert [(e.event, e.old, e.new, e.n_shared) for e in topic_events(merged)] == [
        ("continued", 0, 0, 60), ("merged", 1, 0, 40),
    ]  # fmt: skip


def test_centroids_tell_apart_what_documents_do_not() -> None:
    old, new = labels((0, 10), (1, 10)), labels((0, 5), (1, 5), (0, 5), (1, 5))
    axes = np.eye(2, 4, dtype=np.float32)
    matching = match_topics(old, new, axes, axes[::-1].copy())
    assert matching.old_of.tolist() == [1, 0]
    np.testing.assert_allclose(matching.similarity, 0.7 * 0.5 + 0.3 * np.eye(2)[::-1])
    opposed = match_topics(old, new, axes, -axes)
    np.testing.assert_allclose(opposed.similarity, 0.35)
    assert opposed.old_of.tolist() == [-1, -1]  # below .45: both are other topics


def test_a_similarity_of_just_the_threshold_is_a_match() -> None:
    old, new = labels((0, 10), (-1, 10)), labels((0, 20))
    assert match_topics(old, new, bare(1), bare(1), min_similarity=20 / 30).old_of.tolist() == [0]
    assert match_topics(old, new, bare(1), bare(1), min_similarity=20 / 30 + 1e-9).old_of.tolist() == [-1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 4))
def test_the_assignment_is_the_best_of_all(seed: int, n_old: int, n_new: int) -> None:
    rng = np.random.default_rng(seed)
    old = rng.integers(-1, max(1, n_old), 50).astype(np.int32) if n_old else np.full(50, -1, np.int32)
    new = rng.integers(-1, max(1, n_new), 50).astype(np.int32) if n_new else np.full(50, -1, np.int32)
    then, now = (rng.normal(size=(n, 3)).astype(np.float32) for n in (n_old, n_new))
    matching = match_topics(old, new, then, now, min_similarity=0.0)
    brute = [[int(((old == i) & (new == j)).sum()) for j in range(n_new)] for i in range(n_old)]
    assert shared_documents(old, new, n_old, n_new).tolist() == brute
    pairs = [(int(o), n) for n, o in enumerate(matching.old_of) if o >= 0]
    assert len(pairs) == min(n_old, n_new)
    assert len({o for o, _ in pairs}) == len(pairs)
    small, large = sorted((n_old, n_new))
    table = matching.similarity if n_old <= n_new else matching.similarity.T
    best = max(sum(table[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(large), small))
    assert sum(matching.similarity[pair] for pair in pairs) == pytest.approx(best)
    events = topic_events(matching)
    assert sorted(e.new for e in events if e.event in {"continued", "split", "born"}) == list(range(n_new))
    assert sorted(e.old for e in events if e.event in {"continued", "merged", "died"}) == list(range(n_old))


def test_permuting_the_new_numbers_permutes_the_lasting_ids() -> None:
    rng = np.random.default_rng(5)
    old, new = (rng.integers(-1, 6, 400).astype(np.int32) for _ in range(2))
    order = rng.permutation(6)
    ids = trace_topics(
        match_topics(old, new, bare(6), bare(6), min_similarity=0.0), range(10, 16), 20, 0.5
    ).ids
    swapped = np.append(order, -1)[new].astype(np.int32)
    permuted = trace_topics(
        match_topics(old, swapped, bare(6), bare(6), min_similarity=0.0), range(10, 16), 20, 0.5
    ).ids
    assert [permuted[order[i]] for i in range(6)] == ids


def test_in_a_first_run_every_topic_is_born() -> None:
    lineage = first_lineage(2)
    assert (lineage.ids, lineage.next_id) == ([0, 1], 2)
    assert lineage.table["event"].to_list() == ["born", "born"]


# --- drift ---


def test_the_statistic_of_histograms_is_scipys_except_for_the_width_of_bins() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.4, 0.1, 3000), rng.normal(0.45, 0.1, 500)
    found = ks_statistic(
        *(distance_histogram(np.append(each, np.nan).astype(np.float32)) for each in (first, second))
    )
    assert found == pytest.approx(ks_2samp(first, second).statistic, abs=0.02)
    same = distance_histogram(first.astype(np.float32))
    assert ks_statistic(same, 2 * same) == 0.0
    assert ks_statistic(same, np.zeros_like(same)) == 0.0
    assert ks_statistic(*(distance_histogram(np.full(4, x, np.float32)) for x in (0.1, 0.9))) == 1.0


def test_stability_by_hand_and_beyond_chance() -> None:
    index, beyond = population_stability(np.array([50, 50]), np.array([80, 20]))
    assert index == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5))
    assert beyond == pytest.approx(index - 2 / 100)
    assert population_stability(np.array([50, 50]), np.array([5, 5])) == (0.0, 0.0)
    assert population_stability(np.array([5, 5]), np.array([0, 0])) == (0.0, 0.0)


def test_chance_alone_is_no_shift_over_many_topics() -> None:
    rng, shares = np.random.default_rng(1), np.full(80, 1 / 80)
    drawn = [(rng.multinomial(20_000, shares), rng.multinomial(500, shares)) for _ in range(40)]
    found = np.array([population_stability(fitted, new) for fitted, new in drawn])
    assert found[:, 0].mean() > 0.1  # what the plain index calls a shift
    assert found[:, 1].mean() < 0.04


@pytest.mark.parametrize("n", [120, 300, 1200])
def test_a_small_slice_of_the_same_documents_is_no_drift_and_one_of_others_is(n: int) -> None:
    rng = np.random.default_rng(n)
    shares = np.append(0.3, 0.7 * np.sort(rng.dirichlet(np.full(30, 2.0))))  # none, and 30 topics
    moved = np.append(0.3, shares[:0:-1])  # the large ones are small, and the small ones large
    nothing = np.zeros(N_BINS, np.int64)

    def over(there: np.ndarray) -> list[str]:
        fitted = Profile(rng.multinomial(3_000, shares), nothing)
        return over_thresholds(
            drift_figures(fitted, Profile(rng.multinomial(n, there), nothing)), DriftConfig()
        )

    assert [over(shares) for _ in range(50)] == [[]] * 50
    assert all(
        len(found) == 1 and found[0].startswith("psi_beyond_chance ")
        for found in (over(moved) for _ in range(50))
    )


def test_distances_are_to_the_own_centroid() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], np.float32)
    found = own_distances(vectors, np.array([0, 0, 1, -1], np.int32), np.array([[2, 0], [0, 1]], np.float32))
    np.testing.assert_allclose(found, [0.0, 1.0, 0.2, np.nan], atol=1e-6)
    assert topic_counts(np.array([0, 0, 1, -1], np.int32), 3).tolist() == [1, 2, 1, 0]
