"""Class head: vectors (n, dim) float32 with classes (n,) -> a residual head that moves each class closer together.

A softmax regression separates the classes by one direction each. The head adds to every vector its component along
these directions: with D (n_classes, dim) the centred coefficients, the weight is the square root of D'D, so that the
inner product of two moved parts is the inner product of their logits, for any number of classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.learning.residual import FloatArray, ResidualHead

ClassArray = NDArray[np.int64]

N_FOLDS = 5
CHECK_FROM = 50
"""Minimum labels of each class for a check by cross-validated predictions; fewer labels train too weak a model."""

SURE_SHARE = 0.5
"""Share of the unlabelled documents that a round adds, the most certain of each predicted class: on the validation file
of agnews_weak, .5 with four rounds raised 25 labels from .744 to .838 (same class among the 300 nearest)."""

GIVEN_WEIGHT = 0.3
"""Total weight of the given labels relative to all predicted ones; each counts at least as much as a prediction."""

GUESSED_STRENGTH = 1.0
"""C of the regression when predicted labels are among the examples."""


@dataclass(frozen=True)
class Examples:
    """Vectors (n, dim) float32, their classes (n,) int64, and their weights (n,) float64."""

    vectors: FloatArray
    classes: ClassArray
    weights: NDArray[np.float64]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.classes.max(initial=-1)) + 1


@dataclass(frozen=True)
class Regression:
    """Softmax regression: coefficients (n_classes, dim) and intercepts (n_classes,), float64."""

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    def probabilities(self, vectors: FloatArray) -> NDArray[np.float64]:
        """Return the probability of each class (n, n_classes)."""
        logits = np.asarray(vectors, np.float64) @ self.coefficients.T + self.intercepts
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return shares


def strength(n: int) -> float:
    """Return C, the inverse strength of the penalty, for n given labels: weak for few labels, strong for many.

    A few labels are all the information there is. Of many labels some are wrong, and a weak penalty would learn these
    too. From 10 at 100 labels to .3 at 3,333; chosen on the validation file of agnews_weak.
    """
    return float(np.clip(1000.0 / max(n, 1), 0.3, 10.0))


def fit_softmax(examples: Examples, inverse_penalty: float, n_steps: int = 100) -> Regression:
    """Return the softmax regression of weighted examples, with an L2 penalty on its coefficients.

    Parameters
    ----------
    examples : Examples
        Of at least two classes.
    inverse_penalty : float
        C: the loss is the weighted sum of the log losses and 1 / (2 C) of the squared coefficients.
    n_steps : int
        Maximum number of L-BFGS steps.

    Notes
    -----
    O(n_steps × n × dim × n_classes) time; full batches in float64, so the result is the same bits on one thread.
    """
    import torch

    x = torch.from_numpy(np.asarray(examples.vectors, np.float64))
    y = torch.from_numpy(examples.classes)
    w = torch.from_numpy(examples.weights)
    n_classes, dim = examples.n_classes, x.shape[1]
    coefficients = torch.zeros(n_classes, dim, dtype=torch.float64, requires_grad=True)
    intercepts = torch.zeros(n_classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [coefficients, intercepts], max_iter=n_steps, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )
    scale = 1.0 / float(w.sum())

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        losses = torch.nn.functional.cross_entropy(x @ coefficients.T + intercepts, y, reduction="none")
        loss = scale * ((w * losses).sum() + (coefficients**2).sum() / (2.0 * inverse_penalty))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Regression(coefficients.detach().numpy(), intercepts.detach().numpy())


def consistent_rows(vectors: FloatArray, classes: ClassArray, seed: int) -> NDArray[np.bool_]:
    """Return which labels (n,) agree with a regression on the other folds; the others are probably wrong.

    If a class has fewer than CHECK_FROM labels, all are kept. A class never loses more than half of its labels.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), Confident learning, section 3: label errors by out-of-sample predictions.
    """
    sizes = np.bincount(classes)
    kept = np.ones(len(classes), bool)
    if sizes.min() < CHECK_FROM:
        return kept
    fold = np.random.default_rng(seed).permutation(len(classes)) % N_FOLDS
    own = np.empty(len(classes))
    for part in range(N_FOLDS):
        inside, outside = fold == part, fold != part
        found = fit_softmax(_given(vectors[outside], classes[outside]), strength(int(outside.sum())))
        probabilities = found.probabilities(vectors[inside])
        own[inside] = probabilities[np.arange(len(probabilities)), classes[inside]]
        kept[inside] = probabilities.argmax(axis=1) == classes[inside]
    for number in range(len(sizes)):
        rows = np.flatnonzero(classes == number)
        if kept[rows].mean() < 0.5:
            kept[rows] = own[rows] >= np.median(own[rows])
    return kept


def guess_labels(
    given: Examples, first: Regression, unlabelled: FloatArray, n_rounds: int
) -> list[Regression]:
    """Return the regressions after each round of adding the most certain unlabelled vectors to the examples.

    Parameters
    ----------
    given : Examples
        Examples with their true classes.
    first : Regression
        Regression fitted on them.
    unlabelled : ndarray of shape (m, dim), float32
        Vectors without a known class; never held-out ones.
    n_rounds : int
        Rounds; each one predicts all of them again.

    References
    ----------
    Yarowsky (1995), Unsupervised word sense disambiguation rivaling supervised methods: self-training.
    """
    fitted, found = [], first
    for _ in range(n_rounds if len(unlabelled) else 0):
        probabilities = found.probabilities(unlabelled)
        guessed, surety = probabilities.argmax(axis=1), probabilities.max(axis=1)
        rows = _surest_rows(guessed, surety)
        each = max(1.0, GIVEN_WEIGHT * len(rows) / len(given.classes))
        together = Examples(
            np.concatenate([given.vectors, unlabelled[rows]]),
            np.concatenate([given.classes, guessed[rows]]),
            np.concatenate([given.weights * each, np.ones(len(rows))]),
        )
        found = fit_softmax(together, GUESSED_STRENGTH)
        fitted.append(found)
    return fitted


def fit_class_heads(
    vectors: FloatArray,
    classes: ClassArray,
    unlabelled: FloatArray,
    seed: int,
    n_rounds: int = 4,
    *,
    check: bool = True,
) -> tuple[list[ResidualHead], int]:
    """Return the heads before and after each round of self-training, with gate 1, and how many labels were left out.

    Parameters
    ----------
    vectors, classes : ndarray of shape (n, dim), float32, and (n,), int64
        Labelled training vectors; at least two classes, numbered from 0, each with at least two vectors.
    unlabelled : ndarray of shape (m, dim), float32
        Training vectors without a label; may be empty.
    seed : int
        Seed of the folds.
    n_rounds : int
        Rounds of self-training.
    check : bool
        Leave out labels that contradict the others.
    """
    kept = consistent_rows(vectors, classes, seed) if check else np.ones(len(classes), bool)
    given = _given(vectors[kept], classes[kept])
    first = fit_softmax(given, strength(len(given.classes)))
    everything = np.concatenate([vectors, unlabelled])
    fitted = [first, *guess_labels(given, first, unlabelled, n_rounds)]
    return [head_of(found, everything) for found in fitted], int((~kept).sum())


def head_of(found: Regression, vectors: FloatArray) -> ResidualHead:
    """Return the head of a regression, scaled so that with gate 1 the moved parts of `vectors` have mean square one.

    Centred at the mean of `vectors`, so that the moved part describes the position of a vector relative to the others.
    """
    centred = found.coefficients - found.coefficients.mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    root = (right.T * singular) @ right
    centre = np.asarray(vectors, np.float64).mean(axis=0)
    moved = (np.asarray(vectors, np.float64) - centre) @ root
    scale = np.sqrt((moved**2).sum(axis=1).mean())
    weight = root / max(scale, 1e-12)
    return ResidualHead(weight.astype(np.float32), (-weight @ centre).astype(np.float32), 1.0)


def with_gate(head: ResidualHead, gate: float) -> ResidualHead:
    """Return the head with another gate."""
    return replace(head, gate=float(gate))


def _given(vectors: FloatArray, classes: ClassArray) -> Examples:
    return Examples(vectors, classes, np.ones(len(classes)))


def _surest_rows(guessed: ClassArray, surety: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows of the most certain SURE_SHARE of each predicted class, ascending."""
    order = np.lexsort((-surety, guessed))
    sizes = np.bincount(guessed)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.arange(len(order)) - starts[guessed[order]]
    quota = np.where(sizes > 0, np.maximum(1, (SURE_SHARE * sizes).astype(np.int64)), 0)
    return np.sort(order[rank < quota[guessed[order]]])
