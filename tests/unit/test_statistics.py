"""Trends and ratios: against other formulas, scipy, and planted trends; shuffled times show none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest, norm
from scipy.stats.contingency import relative_risk

from topicflow.tasks.core.statistics.ratios import log_ratios, share_interval
from topicflow.tasks.core.statistics.trend import discovery_rates, share_trends

COUNTS = hnp.arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(2, 8)), elements=st.integers(0, 30))


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.integers(0, 20))
def test_the_statistic_is_the_correlation_of_topic_and_period(counts: np.ndarray, rest: int) -> None:
    totals = counts.sum(axis=0) + rest
    found = share_trends(counts, totals)
    places = np.repeat(np.arange(len(totals)), totals)
    for topic, own in enumerate(counts):
        parts = [np.arange(total) < n for n, total in zip(own, totals, strict=True)]
        member = np.concatenate([*parts, np.empty(0, bool)]).astype(float)
        if (totals > 0).sum() < 2 or member.std() == 0:
            assert np.isnan(found.p_value[topic])
            continue
        r = np.corrcoef(member, places)[0, 1]
        z = found.z[topic] * np.sqrt(found.dispersion[topic])
        assert z == pytest.approx(r * np.sqrt(len(member)), abs=1e-9)
        assert found.slope[topic] == pytest.approx(np.polyfit(places, member, 1)[0], abs=1e-9)
        assert found.dispersion[topic] >= 1


def test_two_periods_are_the_test_of_two_shares() -> None:
    found = share_trends(np.array([[10, 30]]), np.array([100, 100]))
    z = (0.3 - 0.1) / np.sqrt(0.2 * 0.8 * 2 / 100)
    assert found.z[0] == pytest.approx(z)
    assert found.p_value[0] == pytest.approx(2 * norm.sf(z))
    assert (found.slope[0], found.dispersion[0]) == (pytest.approx(0.2), 1.0)


@pytest.mark.parametrize("totals", [[0, 0, 0], [5, 0, 0], [7]])
def test_fewer_than_two_periods_with_documents_are_no_test(totals: list[int]) -> None:
    found = share_trends(np.array([totals]), np.array(totals))
    assert np.isnan(found.p_value).all()
    assert found.slope.tolist() == [0.0]


def test_a_burst_is_no_trend_and_the_same_documents_spread_out_are() -> None:
    totals = np.full(20, 200)
    burst = np.zeros(20, np.int64)
    burst[13] = 150
    rising = np.round(np.linspace(0, 15, 20)).astype(np.int64)
    found = share_trends(np.array([burst, rising]), totals)
    assert found.z[0] * np.sqrt(found.dispersion[0]) > 6  # without the dispersion the burst would rise
    assert found.p_value[0] > 0.05
    assert found.p_value[1] < 1e-9
    assert found.dispersion[1] == 1.0


def planted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return topics and periods of 6,000 documents: 30 topics, of which 0 rises and 1 falls."""
    periods = rng.integers(0, 24, 6000)
    weights = np.full((24, 30), 1.0)
    weights[:, 0] = np.linspace(0.5, 2.5, 24)
    weights[:, 1] = np.linspace(2.5, 0.5, 24)
    shares = weights / weights.sum(axis=1, keepdims=True)
    topics = (rng.random(6000)[:, None] > np.cumsum(shares, axis=1)[periods]).sum(axis=1)
    return topics, periods


def crossed(topics: np.ndarray, periods: np.ndarray) -> np.ndarray:
    return np.bincount(topics * 24 + periods, minlength=30 * 24).reshape(30, 24)


def test_planted_trends_are_found_and_shuffled_times_show_none() -> None:
    rng = np.random.default_rng(3)
    topics, periods = planted(rng)
    counts = crossed(topics, periods)
    found = share_trends(counts, counts.sum(axis=0))
    called = np.flatnonzero(discovery_rates(found.p_value) <= 0.05)
    assert {0, 1} <= set(called.tolist())
    assert len(called) <= 3
    assert found.slope[0] > 0 > found.slope[1]
    n_called, small = 0, []
    for _ in range(40):
        counts = crossed(topics, rng.permutation(periods))
        p_values = share_trends(counts, counts.sum(axis=0)).p_value
        n_called += int((discovery_rates(p_values) <= 0.05).sum())
        small.append((p_values <= 0.05).mean())
    assert n_called <= 5  # of 1,200; at a rate of .05 two shuffles of forty have one
    assert 0.01 <= np.mean(small) <= 0.06


def test_rates_are_those_of_benjamini_and_hochberg_and_no_test_does_not_count() -> None:
    found = discovery_rates(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(found, [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(discovery_rates(np.array([np.nan]))).all()


@pytest.mark.parametrize(("n", "total"), [(0, 5), (5, 5), (3, 40), (180, 200)])
def test_the_interval_of_a_share_is_wilsons(n: int, total: int) -> None:
    low, high = share_interval(np.array([n]), np.array([total]), 0.9)
    expected = binomtest(n, total).proportion_ci(0.9, method="wilson")
    assert (low[0], high[0]) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_ratios_of_many_documents_are_those_of_katz() -> None:
    found = log_ratios(np.array([400]), np.array([10_000]), np.array([900]), np.array([30_000]), 0.95)
    expected = relative_risk(400, 10_000, 900, 30_000)
    interval = expected.confidence_interval(0.95)
    assert 2 ** found.value[0] == pytest.approx(expected.relative_risk, rel=1e-3)
    assert 2 ** found.low[0] == pytest.approx(interval.low, rel=2e-3)
    assert 2 ** found.high[0] == pytest.approx(interval.high, rel=2e-3)
    assert found.p_value[0] < 1e-5


def test_a_group_without_the_topic_has_a_ratio_and_one_without_others_has_none() -> None:
    none = log_ratios(np.array([0]), np.array([200]), np.array([40]), np.array([400]), 0.95)
    assert -10 < none.low[0] < none.value[0] < none.high[0] < 0
    alone = log_ratios(np.array([5]), np.array([50]), np.array([0]), np.array([0]), 0.95)
    assert np.isnan([alone.value[0], alone.low[0], alone.p_value[0]]).all()


def test_the_interval_of_a_ratio_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.binomial(120, 0.1, 4000), rng.binomial(900, 0.05, 4000)
    found = log_ratios(a, np.full(4000, 120), b, np.full(4000, 900), 0.9)
    held = (found.low <= 1) & (found.high >= 1)  # log2 of .1 / .05
    assert 0.88 <= held.mean() <= 0.93
