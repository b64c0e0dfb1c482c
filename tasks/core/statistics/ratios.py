"""Ratios: counts in a group and in the rest -> shares and their ratio, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def share_interval(counts: IntArray, totals: IntArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper bound of shares counts / totals; NaN if a total is 0.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    n = np.where(totals > 0, totals, np.nan).astype(float)
    share = counts / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # at 0 and 1 the bounds are exact, and rounding must not move them
    low = np.where(counts == 0, np.where(np.isnan(n), np.nan, 0.0), middle - half)
    high = np.where(counts == totals, np.where(np.isnan(n), np.nan, 1.0), middle + half)
    return low, high


@dataclass(frozen=True)
class LogRatios:
    """Base-2 logarithms of ratios of two shares with their intervals, and two-sided p-values for a ratio of 1."""

    value: FloatArray
    low: FloatArray
    high: FloatArray
    p_value: FloatArray


def log_ratios(
    counts: IntArray, totals: IntArray, rest: IntArray, rest_totals: IntArray, confidence: float
) -> LogRatios:
    """Return the ratios of the shares counts / totals to the shares rest / rest_totals; NaN if a total is 0.

    Notes
    -----
    Katz's interval of the logarithm, with half a document added to each count and total, so that it exists for 0
    documents too and has the smallest bias. All arrays have one shape, or shapes that broadcast.

    References
    ----------
    Katz et al. (1978), Obtaining confidence intervals for the risk ratio in cohort studies, Biometrics 34; Walter
    (1975), The distribution of Levin's measure of attributable risk, Biometrika 62, for the halves.
    """
    from scipy.stats import norm

    a, n, b, m = (each + 0.5 for each in np.broadcast_arrays(counts, totals, rest, rest_totals))
    value = np.log(a / n) - np.log(b / m)
    error = np.sqrt(np.maximum(1 / a - 1 / n + 1 / b - 1 / m, 0.0))
    known = (n > 0.5) & (m > 0.5) & (error > 0)
    value, error = np.where(known, value, np.nan), np.where(known, error, np.nan)
    half = float(norm.ppf((1 + confidence) / 2)) * error
    scale = np.log(2)
    return LogRatios(
        value / scale, (value - half) / scale, (value + half) / scale, 2 * norm.sf(np.abs(value) / error)
    )
