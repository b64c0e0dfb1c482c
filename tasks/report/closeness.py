"""Closeness: embeddings (n_docs, dim) and centroids (n_topics, dim) -> how central each document is in its topic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import give_back

BLOCK_ROWS = 50_000
"""Documents at a time: 77 MB of vectors with 384 dimensions."""

SCALE = 10_000
"""A cosine of 1 on the page."""


def closeness(
    embeddings: NDArray[np.float32], labels: NDArray[np.int32], centroids: NDArray[np.float32]
) -> NDArray[np.int16]:
    """Return the cosine of each document and the centroid of its topic, times SCALE; 0 without a topic.

    Parameters
    ----------
    embeddings : ndarray of shape (n_docs, dim), float32
        Vectors of any length; memory-mapped ones are read block by block.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embedding of each topic.
    """
    found = np.zeros(len(labels), np.int16)
    lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
    units = centroids / np.maximum(lengths, 1e-12)
    for start in range(0, len(labels), BLOCK_ROWS):
        own = np.flatnonzero(labels[start : start + BLOCK_ROWS] >= 0) + start
        vectors = np.asarray(embeddings[own], np.float32)
        norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        cosines = np.einsum("ij,ij->i", vectors, units[labels[own]]) / norms
        found[own] = np.rint(np.clip(cosines, -1.0, 1.0) * SCALE)
        give_back(embeddings[start : start + BLOCK_ROWS])
    return found
