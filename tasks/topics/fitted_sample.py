"""Fitted sample: the rows that are fitted, in an order that content decides, and how other documents follow them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.assign import NearestWeights, vote_topics, weighted_means
from topicflow.tasks.core.clusters.clustering import Clustering
from topicflow.tasks.core.vectors.unit_rows import unit_rows
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

N_NEAREST = 8
"""Fitted neighbours that decide a document's topic and position."""

OFTEN = 10
"""Minimum number of documents with one vector that is reported to the user."""


@dataclass(frozen=True)
class FittedSample:
    """The fitted rows of a corpus and every document's nearest fitted documents.

    Attributes
    ----------
    rows : ndarray of shape (n_fitted,), int64
        Fitted rows, in the order in which they were fitted.
    nearest : ndarray of shape (n_docs, N_NEAREST), int32
        Positions in `rows` of each document's nearest fitted documents; only its own vector's if all are fitted.
    weights : ndarray of shape (n_docs, N_NEAREST), float32, or NearestWeights
        Weights of these in the vote; a document with the vector of a fitted document follows only that one.
    counts : ndarray of shape (n_fitted,), int32, optional
        Number of documents with the vector of each fitted row, including itself; default 1.
    """

    rows: NDArray[np.int64]
    nearest: NDArray[np.int32]
    weights: NDArray[np.float32] | NearestWeights
    counts: NDArray[np.int32] | None = None

    @property
    def share(self) -> float:
        """Share of the documents that are fitted, including copies of fitted vectors."""
        n_fitted = len(self.rows) if self.counts is None else int(self.counts.sum())
        return n_fitted / len(self.nearest)

    def place(self, fitted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the positions (n_docs, dim) of all documents; others are at the mean of their nearest fitted ones."""
        positions = self.means(fitted)
        positions[self.rows] = fitted
        return positions

    def means(self, fitted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the means (n_docs, dim) of every document's nearest fitted ones, for fitted documents too."""
        return weighted_means(fitted, self.nearest, self.weights)

    def extend(self, fitted: Clustering) -> Clustering:
        """Return the clustering of all documents; others get the vote of their nearest fitted documents."""
        voted = self.vote(fitted)
        for name, everyone in vars(voted).items():
            if everyone is not None:
                everyone[self.rows] = getattr(fitted, name)
        return voted

    def vote(self, fitted: Clustering) -> Clustering:
        """Return the clustering of all documents by the vote of their nearest fitted ones, for fitted documents too.

        A probability is the share of the vote times the mean probability of the voters.
        """
        labels, shares = vote_topics(fitted.labels, self.nearest, self.weights)
        probabilities = shares * weighted_means(fitted.probabilities, self.nearest, self.weights)
        scores = weighted_means(fitted.outlier_scores, self.nearest, self.weights)
        probabilities[labels < 0] = 0.0
        stability = fitted.stability
        if stability is not None:
            stability = weighted_means(stability, self.nearest, self.weights)
        return Clustering(labels, probabilities, scores, stability)


def share_of_copies(counts: NDArray[np.integer]) -> dict[str, float | int]:
    """Return how many vectors have at least OFTEN documents, and the share of all documents with one of them.

    Parameters
    ----------
    counts : ndarray of shape (n_points,), integer
        Number of documents with each vector.
    """
    often = counts[counts >= OFTEN]
    return {"n_vectors": len(often), "share": round(float(often.sum() / counts.sum()), 6)}


def sample_of(store: ArtifactStore, neighbors: ArtifactRef) -> ArtifactRef | None:
    """Return the artifact with the fitted `rows` of a neighbour graph; None if they are all documents in order.

    Only graphs of version 5 and before are without `rows`.
    """
    meta = store.meta(neighbors)
    return neighbors if meta.get("sampled", False) or "copies" in meta or "ordered" in meta else None


def read_sample(store: ArtifactStore, neighbors: ArtifactRef) -> FittedSample | None:
    """Return the sample of a neighbour graph; None if it is all documents in order."""
    if sample_of(store, neighbors) is None:
        return None
    rows, counts = (np.asarray(store.array(neighbors, name)) for name in ("rows", "counts"))
    if not store.meta(neighbors)["sampled"]:
        own = np.asarray(store.array(neighbors, "point"))[:, None]
        return FittedSample(rows, own, np.ones(own.shape, np.float32), counts)
    weights = NearestWeights(store.array(neighbors, "nearest_distances"))
    return FittedSample(rows, np.asarray(store.array(neighbors, "nearest")), weights, counts)


@dataclass(frozen=True)
class PlacedPoints:
    """The reduced vectors of all documents, of which only the fitted ones are stored.

    Attributes
    ----------
    fitted : ndarray of shape (n_fitted, dim), float32
        Directions of the fitted documents.
    sample : FittedSample
        Whose means give the directions of the others.
    """

    fitted: NDArray[np.float32]
    sample: FittedSample

    def __getitem__(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the directions (m, dim) of some documents; one at the mean has none, and is zero."""
        found = weighted_means(self.fitted, self.sample.nearest[rows], self.sample.weights[rows])
        place = np.full(len(self.sample.nearest), -1, np.int32)
        place[self.sample.rows] = np.arange(len(self.sample.rows))
        is_fitted = place[rows] >= 0
        found[is_fitted] = self.fitted[place[rows[is_fitted]]]
        return unit_or_zero(found)


def unit_or_zero(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, dim) as unit vectors; zeros stay."""
    unit, lengths = unit_rows(vectors)
    unit[lengths == 0.0] = 0.0
    return unit


def fitted_points(
    store: ArtifactStore, reduced: ArtifactRef, sample: FittedSample | None
) -> NDArray[np.float32]:
    """Return the reduced vectors (n_fitted, dim) of the fitted documents."""
    points: NDArray[np.float32] = store.array(reduced, "reduced")
    if store.meta(reduced).get("fitted", False):
        return unit_or_zero(points)
    return points if sample is None else points[sample.rows]


def reduced_points(store: ArtifactStore, reduced: ArtifactRef) -> NDArray[np.float32] | PlacedPoints:
    """Return the reduced vectors of all documents."""
    points: NDArray[np.float32] = store.array(reduced, "reduced")
    if not store.meta(reduced).get("fitted", False):
        return points
    inputs = store.manifest(reduced.kind, reduced.key)["recipe"]["inputs"]
    sample = read_sample(store, ArtifactRef("neighbors", inputs["neighbors"], "neighbors"))
    assert sample is not None
    return PlacedPoints(points, sample)
