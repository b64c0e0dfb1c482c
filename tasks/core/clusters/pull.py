"""Pull: embeddings (n, dim) and seeds -> vectors (n, dim) in which documents near a seed are nearer to it.

A document moves towards the seed whose document it is, by a share of the way that falls with its distance from the
seed. All others stay where they are, so that documents of a seed move apart from the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray
from topicflow.tasks.core.clusters.given import BLOCK_ROWS, Given, directions, nearest_names, place


@dataclass(frozen=True)
class Pulled:
    """Some documents after the pull.

    Attributes
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit vectors.
    seeds : ndarray of shape (n,), int32
        The seed that pulled each document, -1 for none.
    nearest : ndarray of shape (n,), int32
        The seed with the largest cosine to each document: the baseline without fit and threshold.
    """

    vectors: FloatArray
    seeds: LabelArray
    nearest: LabelArray


def pull_rows(
    embeddings: FloatArray, rows: NDArray[np.int64], names: FloatArray, seeds: Given, strength: float
) -> Iterator[Pulled]:
    """Yield the documents of `rows` after the pull, in blocks of BLOCK_ROWS.

    Parameters
    ----------
    embeddings : ndarray of shape (n, dim), float32
        Unit vectors; may be memory-mapped.
    rows : ndarray of shape (n_rows,), int64
        Distinct documents, in an order that their vectors decide: the last bits of a product depend on its place.
    names : ndarray of shape (k, dim), float32
        Unit vectors of the seeds as they were given.
    seeds : Given
        Where the seeds are, from `fit_given`.
    strength : float
        Share of the way to the seed for a document that is as near as the seed's own documents.
    """
    for start in range(0, len(rows), BLOCK_ROWS):
        block = np.asarray(embeddings[rows[start : start + BLOCK_ROWS]], np.float32)
        placed = place(block, seeds)
        weights = np.where(placed.topics >= 0, np.float32(strength) * placed.nearness, np.float32(0.0))
        vectors = block.copy()
        moved = weights > 0.0
        vectors[moved] = towards(
            block[moved], seeds.mean, seeds.vectors[placed.topics[moved]], weights[moved]
        )
        yield Pulled(vectors, placed.topics, nearest_names(block, names))


def towards(vectors: FloatArray, mean: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Return vectors (n, dim) turned towards unit targets (n, dim) by weights (n,), with length one.

    They are turned around the mean of the corpus, and keep their distance from it: else a document of a seed would come
    nearer to the middle of all documents, and so to documents of every kind.
    """
    away = vectors - mean
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    share = weights[:, None]
    turned = directions((1 - share) * directions(away) + share * targets)
    return directions(mean + lengths * turned)
