"""Recommend: the best settings with their figures on draws -> the one to take, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from topicflow.tasks.sweeps.figures import Scale

CLEAR, LIKELY, OPEN, UNTESTED = "clear", "likely", "open", "not tested"
"""How sure a recommendation is: it wins on all draws, on four of five, on fewer; or nothing was compared."""

LIKELY_SHARE = 0.8


@dataclass(frozen=True)
class Finalist:
    """A setting that was fitted on the draws: its score on all documents, and the figures and score of each draw."""

    setting: int
    score: float
    draws: tuple[Mapping[str, float | None], ...]
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean score over the draws; the score on all documents if there are none."""
        return float(np.mean(self.scores)) if self.scores else self.score


def choose(finalists: Sequence[Finalist]) -> dict[str, Any]:
    """Return the recommendation: the finalist with the best mean score over the draws, and how sure it is.

    It is `clear` if the finalist is the best, or among the best, on every draw, `likely` if on LIKELY_SHARE of them,
    otherwise `open`. Equal means: the better score on all documents.
    """
    best = max(finalists, key=lambda each: (round(each.mean, 12), round(each.score, 12), -each.setting))
    others = [each for each in finalists if each is not best]
    second = max(others, key=lambda each: each.mean, default=None)
    n_draws, wins = len(best.scores), 0
    for place in range(n_draws):
        wins += best.scores[place] >= max(each.scores[place] for each in finalists) - 1e-9
    sure = UNTESTED
    if second is not None and n_draws:
        sure = CLEAR if wins == n_draws else LIKELY if wins >= LIKELY_SHARE * n_draws else OPEN
    leads = [] if second is None else [a - b for a, b in zip(best.scores, second.scores, strict=True)]
    return {
        "setting": best.setting,
        "sure": sure,
        "n_draws": n_draws,
        "wins": int(wins),
        "score": _span(best.scores or (best.score,)),
        "second": None if second is None else second.setting,
        "lead": _span(leads) if leads else None,
    }


def _span(values: Sequence[float]) -> dict[str, float]:
    """Return mean, lowest and highest of values."""
    return {
        name: round(float(of(values)), 6)
        for name, of in (("mean", np.mean), ("low", np.min), ("high", np.max))
    }


def sentence(chosen: Mapping[str, Any], values: str) -> str:
    """Return a recommendation in one sentence."""
    score = chosen["score"]
    said = f"recommended: setting {chosen['setting']} ({values}), score {score['mean']:.2f}"
    if chosen["sure"] == UNTESTED:
        return f"{said}; not compared on draws of the documents"
    share = f"{chosen['wins']} of {chosen['n_draws']} draws of 90 % of the documents"
    return f"{said} ({score['low']:.2f} to {score['high']:.2f}); {chosen['sure']}: best on {share}"


def score_of_draw(scale: Scale, figures: Mapping[str, float | None]) -> float:
    """Return the score of one draw; 0 without a fit."""
    if not figures:
        return 0.0
    names = [name for name in scale.bounds if name not in {"steadiness", "coverage"}]
    row: dict[str, list[float | None]] = {name: [figures.get(name)] for name in names}
    share = figures["outlier_share"]
    row |= {"steadiness": [figures["agreement"]], "coverage": [None if share is None else 1.0 - share]}
    found = scale.scores(pl.DataFrame(row, schema=dict.fromkeys(row, pl.Float64)))
    return round(float(found[0]), 9)
