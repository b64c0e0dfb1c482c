"""Trend: counts of topics in periods -> whether the share of each topic rises, falls, or only varies by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Trends:
    """The trend of each topic's share; every array has the shape (n_topics,).

    Attributes
    ----------
    slope : ndarray
        Change of the share from one period to the next, by weighted least squares.
    z : ndarray
        Cochran-Armitage statistic, divided by the root of the dispersion.
    dispersion : ndarray
        How much more the counts vary around the trend than by chance alone, at least 1.
    p_value : ndarray
        Two-sided; NaN without anything to test.
    """

    slope: FloatArray
    z: FloatArray
    dispersion: FloatArray
    p_value: FloatArray


def share_trends(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> Trends:
    """Return the trends of shares over equally spaced periods.

    Parameters
    ----------
    counts : ndarray of shape (n_topics, n_periods), int64
        Documents of each topic in each period.
    totals : ndarray of shape (n_periods,), int64
        All documents of each period, also those of no topic; periods without documents say nothing.

    Notes
    -----
    The Cochran-Armitage test asks whether the share of a topic has a linear trend over the periods, where documents are
    independent of each other. Documents of one event come together, and then it finds a trend in every burst. The
    variation around the trend (Pearson's chi-square of the departure from it) therefore gives a dispersion, and if that
    is above 1 the test is an F test with it, as in a quasi-binomial regression. Bursts that last over several
    neighbouring periods still look more certain than they are. O(n_topics n_periods) time.

    References
    ----------
    Armitage (1955), Tests for linear trends in proportions and frequencies, Biometrics 11; McCullagh and Nelder (1989),
    Generalized Linear Models, section 4.5, for the dispersion.
    """
    from scipy.stats import chi2, f

    used = totals > 0
    sizes, known = totals[used].astype(float), counts[:, used].astype(float)
    places = np.flatnonzero(used).astype(float)
    n = sizes.sum()
    n_topics, n_periods = known.shape
    if n_periods < 2:
        nothing = np.full(n_topics, np.nan)
        return Trends(np.zeros(n_topics), np.zeros(n_topics), np.ones(n_topics), nothing)
    share = known.sum(axis=1) / n
    centred = places - (sizes * places).sum() / n
    spread = (sizes * centred**2).sum()
    lean = known @ centred
    chance = share * (1 - share)
    is_tested = chance > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(is_tested, lean / np.sqrt(chance * spread), 0.0)
        expected = share[:, None] * sizes
        whole = ((known - expected) ** 2 / expected / (1 - share[:, None])).sum(axis=1)
        around = np.where(is_tested, whole - z**2, 0.0)
    degrees = n_periods - 2
    dispersion = np.maximum(around / degrees, 1.0) if degrees else np.ones(n_topics)
    p_value = chi2.sf(z**2, 1)
    if degrees:
        p_value = np.where(dispersion > 1, f.sf(z**2 / dispersion, 1, degrees), p_value)
    return Trends(lean / spread, z / np.sqrt(dispersion), dispersion, np.where(is_tested, p_value, np.nan))


def directions(slope: FloatArray, q_value: FloatArray, level: float) -> list[str]:
    """Return "rising" or "falling" for each slope with a q-value of at most `level`, "none" for the others."""
    is_called = np.nan_to_num(q_value, nan=1.0) <= level
    return [str(each) for each in np.where(~is_called, "none", np.where(slope > 0, "rising", "falling"))]


def discovery_rates(p_values: FloatArray) -> FloatArray:
    """Return the q-value of each p-value: the expected share of mistakes if it and all smaller ones are called.

    NaN stays NaN and counts as no test.

    References
    ----------
    Benjamini and Hochberg (1995), Controlling the false discovery rate, J. R. Stat. Soc. B 57.
    """
    from scipy.stats import false_discovery_control

    found = np.full(p_values.shape, np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        found[known] = false_discovery_control(p_values[known], method="bh")
    return found
