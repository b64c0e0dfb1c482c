"""Scores: probabilities and true classes -> accuracy, macro F1, calibration; scores of splits -> intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Classes = NDArray[np.bool_]

N_BINS = 10
"""Bins of equal width for the calibration error (Guo et al. use 15 on larger tests)."""


def predicted(probabilities: FloatArray, *, multilabel: bool, threshold: float = 0.5) -> Classes:
    """Return the predicted classes (n, n_classes): the most probable one; with multilabel all from `threshold`."""
    if multilabel:
        return np.asarray(probabilities >= threshold)
    found = np.zeros(probabilities.shape, bool)
    found[np.arange(len(found)), probabilities.argmax(axis=1)] = True
    return found


def score(probabilities: FloatArray, classes: Classes, *, multilabel: bool) -> dict[str, float]:
    """Return accuracy, macro F1 and expected calibration error.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes), float32
    classes : ndarray of shape (n, n_classes), bool
        The true classes.
    multilabel : bool
        Accuracy is then the share of documents whose classes are all correct; calibration is measured over all classes.

    Notes
    -----
    Macro F1 is the mean over the classes that are true or predicted for some document.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks (ICML 2017), section 2.
    """
    guessed = predicted(probabilities, multilabel=multilabel)
    hits = (guessed & classes).sum(axis=0)
    either = guessed.sum(axis=0) + classes.sum(axis=0)
    occurs = either > 0
    right = (guessed == classes).all(axis=1)
    sure, correct = (
        (probabilities.ravel(), classes.ravel())
        if multilabel
        else (probabilities.max(axis=1, initial=0.0), right)
    )
    return {
        "accuracy": float(right.mean()),
        "macro_f1": float((2 * hits[occurs] / either[occurs]).mean()) if occurs.any() else 0.0,
        "calibration_error": calibration_error(sure, correct),
    }


def calibration_error(sure: FloatArray, correct: NDArray[np.bool_]) -> float:
    """Return the mean difference between probability (n,) and accuracy (n,) over ten bins, weighted by their sizes."""
    bins = np.minimum((sure * N_BINS).astype(int), N_BINS - 1)
    surplus = np.bincount(bins, weights=sure.astype(np.float64) - correct, minlength=N_BINS)
    return float(np.abs(surplus).sum() / max(1, len(sure)))


@dataclass(frozen=True)
class Interval:
    """A mean over splits and its confidence interval."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], confidence: float, overlap: float = 0.0) -> Interval:
    """Return mean and confidence interval of a score over repeated splits.

    Parameters
    ----------
    values : sequence of float
        The score of each split; at least two.
    confidence : float
        In (0, 1).
    overlap : float
        Test documents divided by training documents of a split. Repeated splits of the same documents overlap, and the
        plain interval is then too narrow. 0 for draws of few examples out of many, which hardly overlap.

    References
    ----------
    Nadeau, Bengio: Inference for the generalization error (Machine Learning 52, 2003), the corrected resampled t.
    """
    from scipy.stats import t

    found = np.asarray(values, np.float64)
    n = len(found)
    mean = float(found.mean())
    half = (
        float(t.ppf(0.5 + confidence / 2, n - 1)) * float(found.std(ddof=1)) * float((1 / n + overlap) ** 0.5)
    )
    return Interval(mean, mean - half, mean + half)
