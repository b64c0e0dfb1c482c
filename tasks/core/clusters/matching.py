"""Matching: two labellings of the same documents, with centroids -> which topics continue, what others became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray

CONTINUED, SPLIT, MERGED, BORN, DIED = "continued", "split", "merged", "born", "died"

FIXED = 4.0
"""Similarity of two topics that continue each other in any case: more than both could have with any other topic."""


@dataclass(frozen=True)
class Matching:
    """Comparison of the topics in an old and a new labelling of the same documents.

    Attributes
    ----------
    shared : ndarray of shape (n_old, n_new), int64
        Documents that each pair of topics shares.
    old_sizes, new_sizes : ndarray of shape (n_old,) and (n_new,), int64
        Documents of each topic.
    similarity : ndarray of shape (n_old, n_new), float64
        In [0, 1]: weighted mean of shared documents (Dice) and centroids (cosine, at least 0).
    old_of : ndarray of shape (n_new,), int64
        The old topic that each new topic continues, -1 for none.
    """

    shared: NDArray[np.int64]
    old_sizes: NDArray[np.int64]
    new_sizes: NDArray[np.int64]
    similarity: NDArray[np.float64]
    old_of: NDArray[np.int64]


@dataclass(frozen=True)
class Event:
    """What became of a topic: its numbers in the old and new labelling (-1 for none) and the shared documents."""

    event: str
    old: int
    new: int
    n_shared: int


def match_topics(
    old: LabelArray,
    new: LabelArray,
    old_centroids: FloatArray,
    new_centroids: FloatArray,
    weight: float = 0.7,
    min_similarity: float = 0.45,
    fixed: Mapping[int, int] | None = None,
) -> Matching:
    """Return the assignment of new topics to old ones with the largest total similarity.

    Parameters
    ----------
    old, new : ndarray of shape (n_docs,), int32
        Topic of each document before and after, -1 for none.
    old_centroids, new_centroids : ndarray of shape (n_topics, dim), float32
        Mean embeddings. With different widths or no columns they are not compared, and only documents count.
    weight : float
        Weight of the shared documents.
    min_similarity : float
        Pairs below it do not match.
    fixed : mapping of int to int, optional
        The old topic that a new topic continues in any case; neither is matched to another one.

    Notes
    -----
    O(n_docs) time to count, O(n_old n_new) memory (5,000 topics on both sides: 600 MB), and at worst cubic time for the
    assignment. Ties are broken by number.

    References
    ----------
    Crouse: On implementing 2D rectangular assignment algorithms (2016), used by scipy's `linear_sum_assignment`.
    """
    shared = shared_documents(old, new, len(old_centroids), len(new_centroids))
    old_sizes = np.bincount(old[old >= 0], minlength=len(old_centroids))
    new_sizes = np.bincount(new[new >= 0], minlength=len(new_centroids))
    comparable = old_centroids.shape[1] == new_centroids.shape[1] > 0
    cosines = _cosines(old_centroids, new_centroids) if comparable else None
    return match_sets(shared, old_sizes, new_sizes, min_similarity, cosines, weight, fixed)


def match_groups(
    shared: NDArray[np.int64],
    sizes: tuple[NDArray[np.int64], NDArray[np.int64]],
    members: tuple[NDArray[np.int64], NDArray[np.int64]],
    min_similarity: float,
) -> Matching:
    """Return the assignment of new groups of topics to old ones with the largest total similarity.

    Parameters
    ----------
    shared : ndarray of shape (n_old, n_new), int64
        Documents that each pair of topics shares.
    sizes : pair of ndarray of shape (n_old,) and (n_new,), int64
        Documents of each old and each new topic.
    members : pair of ndarray of shape (n_old_groups, n_old) and (n_new_groups, n_new), int64
        1 for each topic of an old and of a new group. Groups may contain each other.
    min_similarity : float
        Pairs that share fewer documents (Dice) do not match.
    """
    old, new = members
    return match_sets(old @ shared @ new.T, old @ sizes[0], new @ sizes[1], min_similarity)


def match_sets(
    shared: NDArray[np.int64],
    old_sizes: NDArray[np.int64],
    new_sizes: NDArray[np.int64],
    min_similarity: float,
    cosines: NDArray[np.float64] | None = None,
    weight: float = 1.0,
    fixed: Mapping[int, int] | None = None,
) -> Matching:
    """Return the assignment of new sets of documents to old ones by shared documents and, with `weight`, `cosines`.

    `fixed` has the old set that a new set continues in any case.
    """
    from scipy.optimize import linear_sum_assignment

    dice = 2.0 * shared / np.maximum(old_sizes[:, None] + new_sizes[None, :], 1)
    similarity = dice if cosines is None else weight * dice + (1.0 - weight) * cosines
    wanted = similarity
    if fixed:
        new, old = np.array(list(fixed), np.int64), np.array(list(fixed.values()), np.int64)
        wanted = similarity.copy()
        wanted[old], wanted[:, new] = -1.0, -1.0
        wanted[old, new] = FIXED
    rows, columns = linear_sum_assignment(wanted, maximize=True)
    good = wanted[rows, columns] >= min_similarity
    old_of = np.full(len(new_sizes), -1, np.int64)
    old_of[columns[good]] = rows[good]
    return Matching(shared, old_sizes, new_sizes, similarity, old_of)


def shared_documents(old: LabelArray, new: LabelArray, n_old: int, n_new: int) -> NDArray[np.int64]:
    """Return how many documents (n_old, n_new) each pair of topics shares; documents with -1 are not counted."""
    both = (old >= 0) & (new >= 0)
    pairs = old[both].astype(np.int64) * n_new + new[both]
    return np.bincount(pairs, minlength=n_old * n_new).reshape(n_old, n_new)


def topic_events(
    matching: Matching, min_share: float = 0.5, totals: NDArray[np.int64] | None = None
) -> list[Event]:
    """Return an event for every topic: first all new topics, then the old topics that no new topic continues.

    A new topic that continues no old one is split from the old topic that at least `min_share` of its documents came
    from; otherwise it is born. An old topic that no new one continues is merged into the new topic that took at least
    `min_share` of all its documents; otherwise it died.

    Parameters
    ----------
    matching : Matching
        The result of `match_topics`.
    min_share : float
        Minimum share of the documents that makes a topic part of another one.
    totals : ndarray of shape (n_new,), int64, optional
        Documents of each new topic, including those outside the old labelling; default `matching.new_sizes`.
    """
    shared, events = matching.shared, []
    totals = matching.new_sizes if totals is None else totals
    for new, old in enumerate(matching.old_of.tolist()):
        if old >= 0:
            events.append(Event(CONTINUED, old, new, int(shared[old, new])))
            continue
        from_old = int(shared[:, new].argmax()) if shared.shape[0] else -1
        n = int(shared[from_old, new]) if from_old >= 0 else 0
        part = n > 0 and n >= min_share * int(totals[new])
        events.append(Event(SPLIT, from_old, new, n) if part else Event(BORN, -1, new, 0))
    for old in sorted(set(range(len(matching.old_sizes))) - set(matching.old_of.tolist())):
        into = int(shared[old].argmax()) if shared.shape[1] else -1
        n = int(shared[old, into]) if into >= 0 else 0
        part = n > 0 and n >= min_share * int(matching.old_sizes[old])
        events.append(Event(MERGED, old, into, n) if part else Event(DIED, old, -1, 0))
    return events


def _cosines(old: FloatArray, new: FloatArray) -> NDArray[np.float64]:
    """Return the cosines (n_old, n_new) of centroids; negative ones become 0."""
    unit = [
        each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12)
        for each in (old.astype(np.float64), new.astype(np.float64))
    ]
    cosines: NDArray[np.float64] = np.clip(unit[0] @ unit[1].T, 0.0, 1.0)
    return cosines
