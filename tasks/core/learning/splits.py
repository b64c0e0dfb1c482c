"""Splits: classes (n, n_classes) -> rows to train and test on, and balanced batches; pairs are never listed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.bool_]
Rows = NDArray[np.int64]


def stratified_split(classes: Classes, test_share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return rows to train and to test on, both sorted: of each class its share, and at least one example each.

    Parameters
    ----------
    classes : ndarray of shape (n, n_classes), bool
        A row of several classes is drawn with its rarest; a row of none is a stratum of its own.
    test_share : float
        In (0, 1).
    rng : Generator

    Notes
    -----
    A stratum of one row is trained on.
    """
    strata = rarest_class(classes)
    test = []
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        n_test = min(max(1, round(len(rows) * test_share)), len(rows) - 1)
        test.append(rows[:n_test])
    tested = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(classes)), tested), tested


def draw_shots(classes: Classes, shots: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return `shots` rows of each class to train on, and all others, both sorted.

    A row of several classes counts for each of them, and is drawn for one.
    """
    chosen = np.zeros(len(classes), bool)
    for column in np.argsort(classes.sum(axis=0), kind="stable"):  # the rare ones first
        missing = shots - int((chosen & classes[:, column]).sum())
        free = np.flatnonzero(classes[:, column] & ~chosen)
        chosen[rng.permutation(free)[: max(0, missing)]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def rarest_class(classes: Classes) -> Rows:
    """Return of each row (n,) the class with the fewest rows that it has, -1 where it has none."""
    sizes = classes.sum(axis=0)
    ranked = np.where(classes, sizes, len(classes) + 1)
    return np.where(classes.any(axis=1), ranked.argmin(axis=1), -1)


def draw_batch(members: list[Rows], n_texts: int, rng: np.random.Generator, *, balance: bool) -> Rows:
    """Return the rows of a batch whose pairs are both alike and not: several classes, each with several rows.

    Parameters
    ----------
    members : list of ndarray
        Rows of each class.
    n_texts : int
        Rows of the batch, at most; a small class gives all that it has.
    rng : Generator
    balance : bool
        Draw classes alike; else by their number of rows.

    Notes
    -----
    Memory and time are a batch's, whatever the number of examples: the n_texts (n_texts - 1) / 2 pairs of a batch are
    the entries of one small matrix, and of the n (n - 1) / 2 pairs of all examples none is ever written down.
    """
    n_classes = min(len(members), max(2, n_texts // 4))
    sizes = np.array([len(rows) for rows in members], np.float64)
    weights = None if balance else sizes / sizes.sum()
    drawn = rng.choice(len(members), n_classes, replace=False, p=weights)
    each = n_texts // n_classes
    return np.unique(
        np.concatenate(
            [
                rng.permutation(members[i])[:each]
                if len(members[i]) <= 4 * each
                else rng.choice(members[i], each, replace=False)
                for i in drawn
            ]
        )
    )
