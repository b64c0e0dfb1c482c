"""Central documents: embeddings (n_docs, dim), labels (n_docs,) -> the rows nearest to each topic's centroid."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.assign import CHUNK_ROWS
from topicflow.tasks.core.vectors.blocks import give_back

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int32]


def closest_rows(
    embeddings: FloatArray, labels: LabelArray, centroids: FloatArray, n: int
) -> list[NDArray[np.int64]]:
    """Return the rows of the `n` documents closest to each topic's centroid, closest first."""
    similarity = np.zeros(len(labels), np.float32)
    directions = centroids / np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    for start in range(0, len(labels), CHUNK_ROWS):
        part = labels[start : start + CHUNK_ROWS]
        own = directions[part] if len(directions) else np.zeros((len(part), embeddings.shape[1]), np.float32)
        read = embeddings[start : start + len(part)]
        similarity[start : start + len(part)] = np.einsum("ij,ij->i", read, own)
        give_back(read)
    order = np.lexsort((np.arange(len(labels)), -similarity, labels))
    bounds = np.searchsorted(labels[order], np.arange(len(centroids) + 1))
    return [order[low : min(high, low + n)] for low, high in pairwise(bounds.tolist())]
