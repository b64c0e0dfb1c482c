"""Figures: the table of a sweep -> standings, the Pareto front, what each key decides, and the best settings.

Pure functions of tables; `docs/sweeps.md` states the rules in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.quality import mutual_information

WEIGHTS: Mapping[str, float] = {
    "detail": 2.0,
    "steadiness": 1.0,
    "coverage": 1.0,
    "dbcv": 1.0,
    "npmi": 1.0,
    "diversity": 1.0,
    "nmi": 4.0,
}
"""How much each figure counts; more is better in all of them. Coherence (npmi) alone never decides. Steadiness, DBCV,
NPMI and diversity are better with fewer topics: without detail, two topics of 20,000 papers are the best of 60
settings (tests/benchmarks)."""

LEAST_RANGE = 0.05
"""Smallest difference between best and worst that counts in full: smaller ones are mostly chance."""

LARGEST_SHARE = 0.5
"""A setting with a topic above this share of the documents is not recommended if there is another."""

UNKNOWN = 0.5
"""Standing of a setting whose steadiness no method measures; any other unknown figure has standing 0."""


@dataclass(frozen=True)
class Scale:
    """The lowest and the highest value of each figure over the settings of a sweep."""

    bounds: Mapping[str, tuple[float, float]]

    def standing(self, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values (n,) from 0 for the worst to 1 for the best of the sweep."""
        low, high = self.bounds[name]
        placed = np.clip((values - low) / max(high - low, LEAST_RANGE), 0.0, 1.0)
        return np.where(np.isnan(values), UNKNOWN if name == "steadiness" else 0.0, placed)

    def scores(self, judged: pl.DataFrame) -> NDArray[np.float64]:
        """Return the weighted mean (n,) of the standings of a table of figures."""
        names = [name for name in self.bounds if name in judged.columns]
        weights = np.array([WEIGHTS[name] for name in names])
        standings = [self.standing(name, _floats(judged[name])) for name in names]
        if not names:
            return np.zeros(judged.height)
        return np.asarray(weights @ np.array(standings) / weights.sum())


def judged_figures(table: pl.DataFrame) -> pl.DataFrame:
    """Return the figures that count, one row a setting, more is better.

    Steadiness is the stability that the method itself measures, or else the agreement over seeds. Detail is what the
    topic of a document tells, in bits, times the steadiness: the part that another fit repeats; half of it if the
    steadiness is unknown. Coverage is the share of documents with a topic.
    """
    steady = [pl.col(name) for name in ("stability", "agreement") if name in table.columns]
    columns = [pl.coalesce(steady).alias("steadiness")] if steady else []
    repeated = pl.coalesce([*steady, pl.lit(UNKNOWN)])
    columns += [(pl.col("entropy") * repeated).alias("detail")]
    columns += [(1.0 - pl.col("outlier_share")).alias("coverage")]
    columns += [pl.col(name) for name in ("dbcv", "npmi", "diversity", "nmi") if name in table.columns]
    return table.select(each.cast(pl.Float64) for each in columns)


def scale_of(judged: pl.DataFrame) -> Scale:
    """Return the bounds of each figure; one that no setting has is left out."""
    bounds = {}
    for name in judged.columns:
        values = _floats(judged[name])
        known = values[~np.isnan(values)]
        if len(known):
            bounds[name] = (float(known.min()), float(known.max()))
    return Scale(bounds)


def _floats(values: pl.Series) -> NDArray[np.float64]:
    """Return values as float64, NaN for null."""
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def shared_bits(one: NDArray[np.int32], other: NDArray[np.int32]) -> float:
    """Return the mutual information of two labellings (n,) of the same documents, in bits; no topic is one group."""
    return mutual_information(one, other) / math.log(2.0)


def pareto_front(judged: pl.DataFrame) -> NDArray[np.bool_]:
    """Return (n,) whether no other setting is at least as good in every figure and better in one; null is worst."""
    values = np.column_stack([np.nan_to_num(_floats(judged[name]), nan=-np.inf) for name in judged.columns])
    as_good = np.all(values[None, :, :] >= values[:, None, :], axis=2)
    better = as_good & np.any(values[None, :, :] > values[:, None, :], axis=2)
    return np.asarray(~better.any(axis=1))


def front_of(judged: pl.DataFrame, fits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (n,) which settings are on the Pareto front of those that fit."""
    front = np.zeros(len(fits), bool)
    front[fits] = pareto_front(judged.filter(pl.Series(fits)))
    return front


def key_effects(table: pl.DataFrame, keys: Sequence[str], figures: Sequence[str]) -> pl.DataFrame:
    """Return how much each key decides: the share of each figure's variance that is between the key's values.

    Parameters
    ----------
    table : DataFrame
        One row a setting.
    keys, figures : sequence of str
        Columns. A null key is a value of its own; a setting without the figure does not count.

    Returns
    -------
    DataFrame
        Columns `key`, and for each figure a share in [0, 1], null if the figure does not vary. In a full grid the
        shares of all keys add up to at most 1, and the rest is what keys do together.
    """
    rows = []
    for key in keys:
        codes = table[key].cast(pl.String).fill_null("unset").rank("dense").to_numpy()
        rows.append({"key": key, **{name: _between(codes, _floats(table[name])) for name in figures}})
    return pl.DataFrame(rows, schema={"key": pl.String, **dict.fromkeys(figures, pl.Float64)})


def _between(codes: NDArray[np.integer], values: NDArray[np.float64]) -> float | None:
    """Return the sum of squares between groups as a share of all squares; None if the values are equal."""
    known = ~np.isnan(values)
    codes, values = codes[known], values[known]
    if not len(values) or np.ptp(values) <= 1e-12:
        return None
    total = ((values - values.mean()) ** 2).sum()
    groups = [values[codes == code] for code in np.unique(codes)]
    return float(sum(len(each) * (each.mean() - values.mean()) ** 2 for each in groups) / total)


def eligible(table: pl.DataFrame) -> NDArray[np.bool_]:
    """Return (n,) which settings may be recommended: two topics or more, none above LARGEST_SHARE if possible."""
    several = _floats(table["n_topics"]) >= 2
    share = _floats(table["largest_topic_share"])
    good = several & ~(share > LARGEST_SHARE)
    return good if good.any() else several


def ranked(scores: NDArray[np.float64], fits: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the places of the settings that fit, best score first, in their own order at equal scores."""
    order = np.argsort(-np.round(scores, 12), kind="stable")
    return order[fits[order]]
