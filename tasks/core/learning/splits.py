"""Splits: classes (n, n_classes) -> rows for training and testing, and balanced batches, without listing pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.bool_]
Rows = NDArray[np.int64]


def stratified_split(classes: Classes, test_share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return rows for training and for testing, both sorted: from each class its share, and at least one example each.

    Parameters
    ----------
    classes : ndarray of shape (n, n_classes), bool
        A row with several classes belongs to the stratum of its rarest class; rows without a class form a stratum.
    test_share : float
        In (0, 1).
    rng : Generator

    Notes
    -----
    A stratum of one row is used for training.
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
    """Return `shots` rows of each class for training, and all other rows, both sorted.

    A row with several classes is drawn for one of them and counts for each of them.
    """
    chosen = np.zeros(len(classes), bool)
    for column in np.argsort(classes.sum(axis=0), kind="stable"):  # rare classes first
        missing = shots - int((chosen & classes[:, column]).sum())
        free = np.flatnonzero(classes[:, column] & ~chosen)
        chosen[rng.permutation(free)[: max(0, missing)]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def rarest_class(classes: Classes) -> Rows:
    """Return the rarest class (n,) of each row, -1 for a row without a class."""
    sizes = classes.sum(axis=0)
    ranked = np.where(classes, sizes, len(classes) + 1)
    return np.where(classes.any(axis=1), ranked.argmin(axis=1), -1)


def draw_batch(members: list[Rows], n_texts: int, rng: np.random.Generator, *, balance: bool) -> Rows:
    """Return the rows of a batch with similar and dissimilar pairs: several classes, each with several rows.

    Parameters
    ----------
    members : list of ndarray
        Rows of each class.
    n_texts : int
        Maximum number of rows in the batch; a small class contributes all its rows.
    rng : Generator
    balance : bool
        Draw all classes with the same probability; otherwise in proportion to their rows.

    Notes
    -----
    Memory and time depend on the batch, not on the number of examples: the n_texts (n_texts - 1) / 2 pairs of a batch
    are the entries of one small matrix, and the n (n - 1) / 2 pairs of all examples are never listed.
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
