"""Alike names: names of topics and their vectors -> groups that are renamed together, and names that all differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

MAX_GROUP = 6
"""Topics that are renamed in one question: a small model loses track of more."""


def alike_groups(vectors: NDArray[np.float32], least_cosine: float) -> list[list[int]]:
    """Return the groups of two and more rows of which all pairs have at least this cosine, each ascending.

    Parameters
    ----------
    vectors : ndarray of shape (n_names, dim), float32
        Vectors of the names, of any length.
    least_cosine : float
        Cosine from which two names are alike.

    Notes
    -----
    Complete linkage, so that a chain of names that are each like the next is not one group. O(n_names²).
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    n_names = len(vectors)
    if n_names < 2:
        return []
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distances = np.clip(1.0 - unit.astype(np.float64) @ unit.T.astype(np.float64), 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "complete")
    groups = fcluster(tree, t=1.0 - least_cosine + 1e-6, criterion="distance")
    found = [np.flatnonzero(groups == group).tolist() for group in np.unique(groups)]
    return sorted(group for group in found if len(group) > 1)


def same_words(names: Sequence[str]) -> NDArray[np.float32]:
    """Return vectors (n_names, n_names) of which two have cosine 1 if their names have the same words, 0 if not."""
    words = [" ".join(sorted(name.casefold().split())) for name in names]
    places = {text: place for place, text in enumerate(dict.fromkeys(words))}
    found: NDArray[np.float32] = np.eye(len(names), dtype=np.float32)[[places[text] for text in words]]
    return found


def distinct(
    names: Mapping[int, str], keywords: Mapping[int, Sequence[str]], taken: Sequence[str]
) -> dict[int, str]:
    """Return the names in their order, each different from all before it and from those that are `taken`.

    A repeated name gets a keyword of its topic in brackets, or as a last resort the topic's number.
    """
    used = {name.casefold() for name in taken}
    found = {}
    for topic, name in names.items():
        fitting = [word for word in keywords[topic] if word.casefold() not in name.casefold()]
        options = [name, *(f"{name} ({word})" for word in fitting), f"{name} ({topic})"]
        number = 2
        while not (free := [option for option in options if option.casefold() not in used]):
            options, number = [f"{name} ({topic}, {number})"], number + 1
        found[topic] = free[0]
        used.add(free[0].casefold())
    return found
