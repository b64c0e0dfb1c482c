"""Interests: the vectors of liked documents -> a few interests, each with a centre and its share of the likes.

One mean of everything that a person likes lies between the interests, where nobody is interested in anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

MOST_LIKED = 2000
"""Liked documents that are clustered, those of the highest weight: all pairs of them are compared."""


@dataclass(frozen=True)
class Interest:
    """One interest.

    Attributes
    ----------
    centre : ndarray of shape (dim,), float32
        The unit vector of the weighted mean of its documents.
    share : float
        Its share of the weights; the shares of all interests add up to 1.
    places : ndarray of shape (n,), int64
        Places of its documents among the liked ones.
    """

    centre: FloatArray
    share: float
    places: NDArray[np.int64]


def find_interests(vectors: FloatArray, weights: NDArray[np.float64], least: float) -> list[Interest]:
    """Return the interests of a person, the largest share first.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit vectors of the liked documents.
    weights : ndarray of shape (n,), float64
        Above 0.
    least : float
        Minimum mean cosine between two groups of documents that are one interest.

    Notes
    -----
    Average linkage: two groups are joined as long as the mean cosine of their pairs is at least `least`. O(n²) time and
    memory, at most 32 MB for `MOST_LIKED` documents.

    References
    ----------
    Pal et al.: PinnerSage, multi-modal user embedding framework for recommendations at Pinterest (KDD 2020): a user as
    clusters of liked items.
    """
    kept = np.sort(np.argsort(-weights, kind="stable")[:MOST_LIKED])
    labels = _linked(vectors[kept], least)
    total = float(weights[kept].sum())
    found = []
    for label in np.unique(labels):
        places = kept[labels == label]
        mean = weights[places] @ vectors[places].astype(np.float64)
        centre = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
        found.append(Interest(centre, float(weights[places].sum()) / total, places))
    return sorted(found, key=lambda each: (-each.share, int(each.places[0])))


def _linked(vectors: FloatArray, least: float) -> NDArray[np.int64]:
    """Return the group (n,) of each vector by average linkage."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    distances = np.maximum(1.0 - vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0.0)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), method="average")
    return np.asarray(fcluster(tree, t=1.0 - least, criterion="distance"), np.int64)
