"""Pairs of similar vectors: the tables' arithmetic, hashing against brute force, exact search, bounds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.tasks.core.duplicates import exact_pairs
from topicflow.tasks.core.duplicates import hashed_pairs as alike
from topicflow.tasks.core.duplicates.hashed_pairs import (
    TwoCorpora,
    equal_firsts,
    pairs_of_table,
    pairs_of_tables,
    plan_tables,
)
from topicflow.tasks.core.duplicates.lsh_plan import (
    TablePlan,
    choose_tables,
    differing_probability,
    expected_recall,
    same_key,
)
from topicflow.tasks.core.duplicates.pairs import Pairs, bounded, no_pairs, union, wilson_interval
from topicflow.tasks.core.duplicates.signatures import hyperplanes, row_codes, sign_bits
from topicflow.tasks.core.vectors.blocks import workers


def units(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def pairs_at(cosine: float, n: int, dim: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return n random directions and, row for row, others of this cosine to them."""
    rng = np.random.default_rng(seed)
    a = units(rng.standard_normal((n, dim)))
    b = rng.standard_normal((n, dim))
    b = units(b - (b * a).sum(axis=1, keepdims=True) * a)
    return a, units(cosine * a + math.sqrt(1 - cosine**2) * b)


@pytest.fixture(scope="module")
def corpora() -> TwoCorpora:
    """300 known rows and 500 documents: noisy copies of them, of each other, and unrelated ones."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 32))
    noise = rng.uniform(0, 1.2, (400, 1)) * rng.standard_normal((400, 32)) / 4
    own = np.concatenate([np.tile(base[:200], (2, 1)) + noise, rng.standard_normal((100, 32))])
    own[450:] = own[450]  # a crowd of equal rows
    own[:5] = base[:5]  # and rows that are in the base
    return TwoCorpora(units(base), units(own))


def distinct(corpora: TwoCorpora) -> np.ndarray:
    with workers(2) as run:
        first = equal_firsts(corpora, run)
    return np.flatnonzero(first == np.arange(len(first))).astype(np.int32)


def brute_force(corpora: TwoCorpora, rows: np.ndarray, floor: float) -> dict[tuple[int, int], float]:
    everything = np.concatenate([corpora.base, corpora.own]).astype(np.float64)
    cosines = (everything @ everything.T).astype(np.float32)
    return {
        (int(i), int(j)): float(cosines[i, j])
        for i in rows
        for j in rows
        if i < j and j >= corpora.n_base and cosines[i, j] >= np.float32(floor)
    }


def as_dict(pairs: Pairs) -> dict[tuple[int, int], float]:
    found = {(int(a), int(b)): float(s) for (a, b), s in zip(pairs.rows, pairs.similarities, strict=True)}
    assert len(found) == len(pairs)
    return found


def hashed(
    corpora: TwoCorpora,
    rows: np.ndarray,
    plan: TablePlan,
    floor: float,
    window: int = 1024,
    partners: int = 256,
    n_threads: int = 2,
) -> Pairs:
    with workers(n_threads) as run:
        planes = hyperplanes(corpora.own.shape[1], plan.pool, 1)
        signatures = np.concatenate([sign_bits(part, planes, run) for part in (corpora.base, corpora.own)])

        def find(bits: np.ndarray) -> Pairs:
            return pairs_of_table(corpora, signatures, rows, bits, plan, floor, window, partners)

        return pairs_of_tables(range(plan.n_tables), plan, 1, find, run)


# --- arithmetic ---


def test_the_probability_of_a_plane_between_two_vectors() -> None:
    assert differing_probability(1.0) == 0.0
    assert differing_probability(0.0) == pytest.approx(0.5)
    assert differing_probability(0.9) == pytest.approx(0.14356629)


def test_the_chance_of_one_key_is_a_draw_without_replacement() -> None:
    chances = same_key(64, 3)
    assert chances[0] == 1.0
    assert chances[10] == pytest.approx(54 * 53 * 52 / (64 * 63 * 62))
    assert (chances[62:] == 0).all()


def test_expected_recall_is_that_of_drawn_signatures_and_tables() -> None:
    rng, pool, n_bits, n_tables = np.random.default_rng(0), 64, 6, 8
    hits = 0
    for _ in range(4000):
        differs = rng.random(pool) < differing_probability(0.8)
        hits += any(not differs[rng.permutation(pool)[:n_bits]].any() for _ in range(n_tables))
    expected = expected_recall(0.8, pool, n_bits, n_tables)
    assert abs(hits / 4000 - expected) < 4 * math.sqrt(expected * (1 - expected) / 4000)


@pytest.mark.parametrize("recall", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("floor", [0.7, 0.9])
def test_the_tables_chosen_reach_the_recall_and_one_less_does_not(floor: float, recall: float) -> None:
    distances = np.zeros(513, np.int64)
    distances[200:300] = 10
    plan = choose_tables(floor, recall, 512, distances, 100_000, 5e9)
    assert plan.recall(floor) >= recall
    fewer = TablePlan(plan.pool, plan.n_bits, plan.n_tables - 1, plan.limit)
    assert fewer.recall(floor) < recall
    assert plan.recall(floor + 0.05) > plan.recall(floor)


def test_crowded_corpora_get_longer_keys() -> None:
    distances = np.zeros(513, np.int64)
    distances[256] = 1
    few = choose_tables(0.9, 0.95, 512, distances, 10_000, 5e7)
    many = choose_tables(0.9, 0.95, 512, distances, 10_000_000, 5e13)
    assert few.n_bits < many.n_bits


# --- signatures ---


def test_bits_are_the_sides_of_the_planes() -> None:
    vectors = units(np.random.default_rng(0).standard_normal((50, 32)))
    planes = hyperplanes(32, 128, 3)
    with workers(2) as run:
        words = sign_bits(vectors, planes, run)
    sides = row_codes(vectors).astype(np.int64) @ planes.astype(np.int64).T > 0
    bits = (words[:, :, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    np.testing.assert_array_equal(bits.reshape(50, 128).astype(bool), sides)


@settings(max_examples=12, deadline=None)
@given(st.floats(0.6, 0.98), st.integers(0, 1000))
def test_recall_is_at_least_theory_less_four_sigma(cosine: float, seed: int) -> None:
    n = 400
    a, b = pairs_at(cosine, n, seed=seed)
    corpora = TwoCorpora(a, b)
    plan = TablePlan(256, 8, 6, 256)
    found = hashed(corpora, np.arange(2 * n, dtype=np.int32), plan, cosine - 1e-3)
    hits = int(np.isin((np.arange(n, dtype=np.int64) << 32) | (np.arange(n) + n), found.codes).sum())
    expected = plan.recall(cosine)
    assert hits / n >= expected - 4 * math.sqrt(expected * (1 - expected) / n) - 1e-9


# --- searching ---


@pytest.mark.parametrize("floor", [0.6, 0.85, 0.95])
def test_exact_search_is_brute_force(
    corpora: TwoCorpora, floor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_pairs, "BLOCK_ROWS", 64)
    monkeypatch.setattr(exact_pairs, "BLOCK_COLUMNS", 100)
    monkeypatch.setattr(exact_pairs, "GPU_ROWS", 64)
    monkeypatch.setattr(exact_pairs, "GPU_COLUMNS", 100)
    rows = distinct(corpora)
    expected = brute_force(corpora, rows, floor)
    assert len(expected) > 50
    with workers(2) as run:
        assert as_dict(exact_pairs.exact_pairs(corpora, rows, floor, 999, run)) == expected
        sample = rows[rows >= corpora.n_base][::7]
        sampled = as_dict(exact_pairs.partners_of(corpora, rows, sample, floor, 999, run))
    on_torch = exact_pairs.exact_pairs_by_torch(corpora, rows, floor, 999, "cpu", half=False)
    assert as_dict(on_torch) == expected
    chosen = set(sample.tolist())
    assert sampled == {pair: s for pair, s in expected.items() if chosen & set(pair)}


def test_tables_find_right_pairs_only_and_all_that_they_promise(corpora: TwoCorpora) -> None:
    rows = distinct(corpora)
    expected = brute_force(corpora, rows, 0.8)
    found = as_dict(hashed(corpora, rows, TablePlan(512, 6, 60, 400), 0.8))
    assert found.items() <= expected.items()
    assert len(found) >= 0.99 * len(expected)


def test_the_number_of_threads_changes_nothing_nor_does_that_of_passes(
    corpora: TwoCorpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, plan = distinct(corpora), TablePlan(256, 5, 5, 200)
    one = hashed(corpora, rows, plan, 0.8, n_threads=1)
    assert as_dict(hashed(corpora, rows, plan, 0.8, n_threads=4)) == as_dict(one)
    monkeypatch.setattr(alike, "PART_ROWS", 100)
    assert as_dict(hashed(corpora, rows, plan, 0.8)) == as_dict(one)


def test_equal_rows_are_one_and_belong_to_the_first(corpora: TwoCorpora) -> None:
    with workers(2) as run:
        first = equal_firsts(corpora, run)
    everything = np.concatenate([corpora.base, corpora.own])
    for row in range(len(everything)):
        assert first[row] == np.flatnonzero((everything == everything[row]).all(axis=1))[0]
    assert (first[750:] == 750).all()
    assert (first[300:305] == np.arange(5)).all()


def test_thresholds_are_inclusive() -> None:
    corpora = TwoCorpora(np.empty((0, 2), np.float32), np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32))
    rows = np.arange(3, dtype=np.int32)
    with workers(1) as run:
        found = exact_pairs.exact_pairs(corpora, rows, 0.6, 9, run)
        assert as_dict(found) == {(0, 1): pytest.approx(0.6), (1, 2): pytest.approx(0.8)}
        assert as_dict(exact_pairs.exact_pairs(corpora, rows, 0.6000002, 9, run)).keys() == {(1, 2)}
    assert len(found.at_least(0.6)) == 2
    assert len(hashed(corpora, rows, TablePlan(64, 4, 64, 64), 0.6)) == 2


def test_a_crowd_is_compared_in_a_window_and_has_few_pairs() -> None:
    rng = np.random.default_rng(0)
    crowd = units(rng.standard_normal((1, 16)) + 0.01 * rng.standard_normal((2000, 16)))
    corpora, rows = TwoCorpora(np.empty((0, 16), np.float32), crowd), np.arange(2000, dtype=np.int32)
    plan = TablePlan(64, 4, 1, 64)
    assert len(hashed(corpora, rows, plan, 0.9, window=3)) <= 3 * 2000
    few = hashed(corpora, rows, plan, 0.9, partners=5)
    assert 0 < len(few) <= 5 * 2000
    with workers(2) as run:
        exact = exact_pairs.exact_pairs(corpora, rows, 0.9, 5, run)
    assert len(exact) <= 5 * 2000
    counts = np.bincount(exact.rows.ravel(), minlength=2000)
    assert (counts >= 5).all()
    linked = bounded(exact, 2000, 5)
    assert as_dict(linked) == as_dict(exact)


def test_tables_foresee_a_sample(corpora: TwoCorpora) -> None:
    rows = distinct(corpora)
    with workers(2) as run:
        planes = hyperplanes(32, 512, 1)
        signatures = np.concatenate([sign_bits(part, planes, run) for part in (corpora.base, corpora.own)])
    plan = plan_tables(signatures, rows, 0.85, 0.95, corpora.n_pairs(), 1)
    assert plan.recall(0.85) >= 0.95
    assert corpora.n_pairs() == 500 * 300 + 500 * 499 / 2


# --- pairs ---


def test_a_union_has_each_pair_once_in_order() -> None:
    a = Pairs(np.array([[3, 4], [0, 2]], np.int32), np.array([0.9, 0.8], np.float32))
    b = Pairs(np.array([[0, 2], [0, 1]], np.int32), np.array([0.8, 0.7], np.float32))
    found = union([a, no_pairs(), b])
    assert found.rows.tolist() == [[0, 1], [0, 2], [3, 4]]
    assert found.similarities.tolist() == pytest.approx([0.7, 0.8, 0.9])
    assert len(union([])) == 0


def test_the_most_similar_pairs_stay() -> None:
    rows = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3]], np.int32)
    pairs = Pairs(rows, np.array([0.5, 0.9, 0.8, 0.7, 0.6], np.float32))
    assert bounded(pairs, 4, 1).rows.tolist() == [[0, 2], [0, 3], [1, 2]]  # of 0 and 1 both have one by then
    assert bounded(pairs, 4, 3) is pairs


def test_the_interval_of_a_share() -> None:
    low, high = wilson_interval(9, 10)
    assert (low, high) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(50, 50)[1] == pytest.approx(1.0)
