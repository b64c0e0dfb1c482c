"""Heads: vectors (n, dim) and classes (n, n_classes) -> a linear classifier, and its probabilities (n, n_classes)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Classes = NDArray[np.bool_]
"""Classes of each example (n, n_classes): exactly one in each row, or any number with multilabel."""

SURE = 30.0
"""Intercept of a class that all examples have; with a minus sign, of a class that no example has."""

CHUNK_ROWS = 65_536
"""Rows whose probabilities are computed at a time."""


@dataclass(frozen=True)
class Head:
    """A linear classifier.

    Attributes
    ----------
    coefficients : ndarray of shape (n_classes, dim), float64
    intercepts : ndarray of shape (n_classes,), float64
    multilabel : bool
        Each class separately (logistic) instead of one of all classes (softmax).
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    multilabel: bool

    def probabilities(self, vectors: FloatArray) -> FloatArray:
        """Return the probability of each class (n, n_classes) float32; without multilabel they add up to 1."""
        found = np.empty((len(vectors), len(self.intercepts)), np.float32)
        for start in range(0, len(vectors), CHUNK_ROWS):
            scores = vectors[start : start + CHUNK_ROWS] @ self.coefficients.T + self.intercepts
            found[start : start + len(scores)] = _logistic(scores) if self.multilabel else _softmax(scores)
        return found


def fit_head(vectors: FloatArray, classes: Classes, C: float, *, balance: bool, multilabel: bool) -> Head:
    """Return logistic regression fitted on unit vectors.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
    classes : ndarray of shape (n, n_classes), bool
        A class that no example or every example has is not learned: its probability is near 0 or 1.
    C : float
        Inverse of the regularisation.
    balance : bool
        Give all classes the same weight.
    multilabel : bool
        One logistic regression for each class instead of one softmax.

    Notes
    -----
    Two classes are fitted as one logistic regression, whose softmax over (0, score) is the same probability.

    References
    ----------
    scikit-learn 1.9.1, `LogisticRegression` (lbfgs).
    """
    sizes = classes.sum(axis=0)
    weights = np.zeros((classes.shape[1], vectors.shape[1]))
    intercepts = np.where(sizes > 0, SURE, -SURE)
    learned = np.flatnonzero((sizes > 0) & (sizes < len(classes)))
    if multilabel:
        for i in learned:
            fitted, bias = _fit(vectors, classes[:, i], C, balance)
            weights[i], intercepts[i] = fitted[0], bias[0]
    elif len(learned):
        fitted, bias = _fit(vectors, classes[:, learned].argmax(axis=1), C, balance)
        if len(learned) == 2:
            fitted, bias = np.vstack([np.zeros_like(fitted), fitted]), np.append(0.0, bias)
        weights[learned], intercepts[learned] = fitted, bias
    return Head(weights, intercepts, multilabel)


def _fit(
    vectors: FloatArray, targets: NDArray[np.generic], C: float, balance: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients and intercepts of scikit-learn's logistic regression."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, max_iter=300, class_weight="balanced" if balance else None)
    with warnings.catch_warnings():  # after 300 steps only the fourth digit still changes
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.asarray(vectors, np.float64), targets)
    return model.coef_.astype(np.float64), model.intercept_.astype(np.float64)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * scores))  # does not overflow
    return found
