"""Figures of a sweep on tables made by hand: scores, the Pareto front, what keys decide, what is recommended."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from topicflow.tasks.sweeps.figures import (
    Scale,
    eligible,
    front_of,
    judged_figures,
    key_effects,
    pareto_front,
    ranked,
    scale_of,
    shared_bits,
)
from topicflow.tasks.sweeps.fit import entropy_of
from topicflow.tasks.sweeps.recommend import Finalist, choose, score_of_draw, sentence
from topicflow.tasks.sweeps.units import Queue, Unit


def test_figures_that_count_are_larger_if_better() -> None:
    table = pl.DataFrame(
        {
            "outlier_share": [0.25, 0.5],
            "stability": [None, 0.75],
            "agreement": [0.5, 1.0],
            "npmi": [0.125, None],
            "entropy": [4.0, 2.0],
        },
        schema_overrides={"stability": pl.Float64},
    )
    assert judged_figures(table).to_dict(as_series=False) == {
        "steadiness": [0.5, 0.75],  # the method's own stability, or else the agreement over seeds
        "detail": [2.0, 1.5],  # the bits that another fit repeats
        "coverage": [0.75, 0.5],
        "npmi": [0.125, None],
    }
    plain = judged_figures(table.drop("stability", "agreement"))
    assert plain["detail"].to_list() == [2.0, 1.0]
    assert "steadiness" not in plain.columns


def test_a_score_is_the_weighted_mean_of_standings() -> None:
    judged = pl.DataFrame({"detail": [3.0, 5.0, 4.0], "coverage": [1.0, 0.0, 0.5]})
    scores = scale_of(judged).scores(judged)
    assert scores == pytest.approx([1 / 3, 2 / 3, 0.5])  # detail counts twice


def test_a_small_difference_counts_little_and_an_unknown_figure_is_the_worst() -> None:
    scale = Scale({"npmi": (0.10, 0.11), "steadiness": (0.0, 1.0)})
    assert scale.standing("npmi", np.array([0.10, 0.11, np.nan])) == pytest.approx([0.0, 0.2, 0.0])
    assert scale.standing("steadiness", np.array([np.nan])) == pytest.approx([0.5])


def test_coherence_alone_does_not_decide() -> None:
    judged = pl.DataFrame(
        {"steadiness": [0.9, 0.3], "coverage": [0.9, 0.4], "npmi": [0.05, 0.30], "diversity": [0.9, 0.9]}
    )
    scores = scale_of(judged).scores(judged)
    assert ranked(scores, np.array([True, True])).tolist() == [0, 1]


def test_the_pareto_front_by_hand() -> None:
    judged = pl.DataFrame({"a": [1.0, 2.0, 3.0, 2.0, 2.0], "b": [3.0, 2.0, 1.0, 1.0, 2.0]})
    assert pareto_front(judged).tolist() == [
        True,
        True,
        True,
        False,
        True,
    ]  # equal settings do not exclude each other
    unknown = pl.DataFrame({"a": [1.0, None], "b": [1.0, 1.0]}, schema_overrides={"a": pl.Float64})
    assert pareto_front(unknown).tolist() == [True, False]


def test_a_setting_that_is_not_eligible_keeps_no_other_from_the_front() -> None:
    judged = pl.DataFrame({"a": [3.0, 2.0, 1.0], "b": [3.0, 2.0, 2.0]})
    assert front_of(judged, np.array([False, True, True])).tolist() == [False, True, False]


def test_the_share_of_a_key_is_its_variance_between_values() -> None:
    table = pl.DataFrame(
        {
            "cluster.min_cluster_size": [10, 10, 20, 20],
            "cluster.selection": ["eom", "leaf", "eom", "leaf"],
            "n_topics": [8.0, 6.0, 4.0, 2.0],
            "npmi": [0.1, 0.1, 0.1, 0.1],
            "nmi": [0.0, 1.0, 0.0, None],
        }
    )
    keys = ["cluster.min_cluster_size", "cluster.selection"]
    found = key_effects(table, keys, ["n_topics", "npmi", "nmi"])
    assert found["key"].to_list() == keys
    assert found["n_topics"].to_list() == pytest.approx([0.8, 0.2])  # (4 squares of 2, of 1) of 20 in all
    assert found["npmi"].to_list() == [None, None]
    assert found["nmi"].to_list() == pytest.approx([0.25, 1.0])


def test_a_key_without_a_value_is_a_value_of_its_own() -> None:
    table = pl.DataFrame({"cluster.n_topics": [None, 20], "n_topics": [30.0, 20.0]})
    assert key_effects(table, ["cluster.n_topics"], ["n_topics"])["n_topics"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("n_topics", "largest", "fits"),
    [
        ([1, 5, 9], [1.0, 0.4, 0.5], [False, True, True]),
        (
            [2, 3, 1],
            [0.9, 0.8, 1.0],
            [True, True, False],
        ),  # all have one crowd: they are compared nevertheless
        ([0, 1, 1], [None, 1.0, 1.0], [False, False, False]),
    ],
)
def test_a_setting_with_one_crowd_is_not_recommended_if_there_is_another(
    n_topics: list[int], largest: list[Any], fits: list[bool]
) -> None:
    table = pl.DataFrame({"n_topics": n_topics, "largest_topic_share": largest})
    assert eligible(table).tolist() == fits


def finalist(number: int, score: float, *scores: float) -> Finalist:
    """Return a setting with its scores on the draws."""
    return Finalist(number, score, tuple({} for _ in scores), scores)


@pytest.mark.parametrize(
    ("first", "second", "setting", "sure", "wins"),
    [
        ((0.6, 0.7, 0.8, 0.6, 0.7, 0.7), (0.7, 0.6, 0.6, 0.5, 0.5, 0.6), 1, "clear", 5),
        ((0.6, 0.7, 0.8, 0.6, 0.7, 0.4), (0.5, 0.6, 0.6, 0.5, 0.5, 0.6), 1, "likely", 4),
        ((0.6, 0.7, 0.8, 0.6, 0.3, 0.4), (0.5, 0.6, 0.6, 0.5, 0.5, 0.5), 1, "open", 3),
        ((0.9, 0.5, 0.5), (0.1, 0.6, 0.6), 2, "clear", 2),  # the draws decide, not the first score
        ((0.9,), (0.1,), 1, "not tested", 0),
    ],
)
def test_the_best_mean_over_the_draws_is_recommended(
    first: tuple[float, ...], second: tuple[float, ...], setting: int, sure: str, wins: int
) -> None:
    found = choose([finalist(1, *first), finalist(2, *second)])
    assert (found["setting"], found["sure"], found["wins"]) == (setting, sure, wins)


def test_the_span_and_the_lead_are_over_the_draws() -> None:
    found = choose([finalist(1, 0.5, 0.6, 0.8), finalist(2, 0.9, 0.5, 0.9)])
    assert found["setting"] == 2  # equal means: the better score on all documents
    assert found["score"] == {"mean": 0.7, "low": 0.5, "high": 0.9}
    assert found["lead"] == {"mean": 0.0, "low": -0.1, "high": 0.1}
    assert sentence(found, "cluster.min_cluster_size=20") == (
        "recommended: setting 2 (cluster.min_cluster_size=20), score 0.70 (0.50 to 0.90); "
        "open: best on 1 of 2 draws of 90 % of the documents"
    )
    alone = choose([finalist(3, 0.5)])
    assert sentence(alone, "a=1").endswith("score 0.50; not compared on draws of the documents")


def test_a_draw_is_scored_on_the_scale_of_the_sweep() -> None:
    scale = Scale(
        {"coverage": (0.0, 1.0), "npmi": (0.0, 0.2), "steadiness": (0.5, 1.0), "detail": (1.0, 5.0)}
    )
    figures = {"agreement": 1.0, "outlier_share": 0.5, "npmi": 0.4, "detail": 4.0}
    assert score_of_draw(scale, figures) == pytest.approx((1.0 + 0.5 + 1.0 + 2 * 0.75) / 5)
    assert score_of_draw(scale, {}) == 0.0


def test_processes_keep_to_their_reduced_vectors_and_apart_from_each_other() -> None:
    units = [Unit((n,), "graph", reduced) for n, reduced in enumerate("aaabbc", 1)]
    queue = Queue(list(units))
    taken = [queue.take(process) for process in (0, 1, 0, 1, 0, 1, 0)]
    assert [unit.numbers[0] for unit in taken if unit] == [1, 4, 2, 5, 3, 6]
    assert taken[-1] is None


def test_shared_bits_by_hand() -> None:
    one = np.array([0, 0, 1, 1], np.int32)
    assert shared_bits(one, np.array([5, 5, -1, -1], np.int32)) == pytest.approx(1.0)
    assert shared_bits(one, np.array([0, 1, 0, 1], np.int32)) == pytest.approx(0.0)
    assert entropy_of(np.array([0, 0, 1, 1, -1, -1, 2, 2], np.int32)) == pytest.approx(2.0)
    assert entropy_of(np.array([], np.int32)) == 0.0


def test_many_steady_topics_are_better_than_two() -> None:
    """As on 20,000 papers: two topics are steadier, more coherent and more different than 255."""
    table = pl.DataFrame(
        {
            "outlier_share": [0.19, 0.26, 0.26],
            "stability": [0.98, 0.91, 0.45],
            "entropy": [1.3, 5.5, 5.6],
            "dbcv": [-0.40, -0.20, -0.25],
            "npmi": [0.08, -0.05, -0.09],
            "diversity": [0.99, 0.80, 0.75],
        }
    )
    judged = judged_figures(table)
    assert ranked(scale_of(judged).scores(judged), np.ones(3, bool)).tolist() == [1, 0, 2]
