"""Similarity: unit vectors (n, dim) and known similarities -> how well the cosine agrees with them, floats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.quality import sample_rows

FloatArray = NDArray[np.float32]

BLOCK_ROWS = 512
"""Rows compared with all others at a time: 512 × 10,000 cosines are 20 MB."""


DOCUMENT_ROWS = 8192
"""Documents compared with `BLOCK_ROWS` queries at a time: 16 MB of cosines."""

SAME_COSINE = 1e-6
"""Cosines that differ by less are equal: products of other shapes round differently."""


def same_class_shares(
    vectors: FloatArray, classes: NDArray[np.int64], neighbors: Sequence[int], sample: int, seed: int
) -> dict[int, float]:
    """Return, for each k, the mean share of the same class among the k nearest other vectors of each vector.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit vectors.
    classes : ndarray of shape (n,), int64
        Class of each vector.
    neighbors : sequence of int
        The values of k; values of n or more are left out.
    sample : int
        Maximum number of vectors whose neighbours are searched among all.
    seed : int
        Seed of the sample.

    Notes
    -----
    O(sample × n × dim) time. Neighbours at equal distance are in arbitrary order.
    """
    n = len(vectors)
    wanted = sorted(k for k in neighbors if k < n)
    rows = sample_rows(n, sample, seed)
    shares = np.zeros(len(wanted))
    for start in range(0, len(rows) if wanted else 0, BLOCK_ROWS):
        part = rows[start : start + BLOCK_ROWS]
        cosines = vectors[part] @ vectors.T
        cosines[np.arange(len(part)), part] = -np.inf
        nearest = np.argpartition(cosines, -wanted[-1], axis=1)[:, -wanted[-1] :]
        ranked = np.argsort(-np.take_along_axis(cosines, nearest, axis=1), axis=1)
        same = classes[np.take_along_axis(nearest, ranked, axis=1)] == classes[part][:, None]
        shares += [same[:, :k].mean(axis=1).sum() for k in wanted]
    return dict(zip(wanted, (shares / max(1, len(rows))).tolist(), strict=True))


def chance_share(classes: NDArray[np.int64]) -> float:
    """Return the expected share of the same class among random other documents."""
    sizes = np.bincount(classes).astype(np.float64)
    n = len(classes)
    return float((sizes * (sizes - 1)).sum() / (n * (n - 1))) if n > 1 else float("nan")


def ranking_quality(cosines: NDArray[np.float32], similar: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: how often a similar pair is closer than a dissimilar one; ties count half.

    NaN unless there are pairs of both kinds.
    """
    n_similar, n_other = int(similar.sum()), int((~similar).sum())
    if not n_similar or not n_other:
        return float("nan")
    _, inverse, counts = np.unique(cosines, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[similar].sum() - n_similar * (n_similar + 1) / 2.0) / (n_similar * n_other))


def rank_agreement(cosines: NDArray[np.float32], scores: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation of cosines with scores; NaN if either are all equal."""
    from scipy.stats import rankdata

    if len(scores) < 2 or len(np.unique(scores)) < 2 or len(np.unique(cosines)) < 2:
        return float("nan")
    return float(np.corrcoef(rankdata(cosines), rankdata(scores))[0, 1])


def partner_ranks(
    vectors: FloatArray, pairs: NDArray[np.int64], sample: int, seed: int
) -> NDArray[np.float64]:
    """Return for each pair the rank of its second member by similarity to the first, among all second ones; 1 is best.

    Parameters
    ----------
    vectors : ndarray of shape (n_items, dim), float32
        Unit vectors.
    pairs : ndarray of shape (n, 2), int64
        Similar items. Another partner of the first item, or the first item itself, is not counted.
    sample : int
        Number of pairs that are ranked.
    seed : int
        Seed of the sample.

    Notes
    -----
    O(sample × n × dim) time. An equally near item counts half.
    """
    first, second = pairs.T
    others = np.asarray(vectors[second])
    rows = sample_rows(len(pairs), sample, seed)
    ranks = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK_ROWS):
        part = rows[start : start + BLOCK_ROWS]
        cosines = np.asarray(vectors[first[part]]) @ others.T
        own = cosines[np.arange(len(part)), part][:, None]
        known = (
            (first[part][:, None] == first)
            | (second[part][:, None] == second)
            | (first[part][:, None] == second)
        )
        counted = ((cosines > own) + 0.5 * (cosines == own)) * ~known
        ranks[start : start + len(part)] = 1.0 + counted.sum(axis=1)
    return ranks


def document_ranks(queries: FloatArray, documents: FloatArray, own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each query the rank of its own document by cosine among all documents (n_queries,); 1 is best.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, dim), float32
        Unit vectors.
    documents : ndarray of shape (n_docs, dim), float32
        Unit vectors; may be memory-mapped.
    own : ndarray of shape (n_queries,), int64
        Row of each query's document.

    Notes
    -----
    O(n_queries × n_docs × dim) time. Documents at the same distance do not count, so that copies are as good.
    """
    least = np.einsum("nd,nd->n", queries, np.asarray(documents[own])) + SAME_COSINE
    ranks = np.ones(len(queries), np.int64)
    for start in range(0, len(documents), DOCUMENT_ROWS):
        block = np.asarray(documents[start : start + DOCUMENT_ROWS])
        for first in range(0, len(queries), BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            ranks[part] += (queries[part] @ block.T > least[part, None]).sum(axis=1)
    return ranks


def retrieval_figures(ranks: NDArray[np.int64]) -> dict[str, float]:
    """Return nDCG@10, mean reciprocal rank and recall@10 of queries with one relevant document each, from its ranks."""
    near = ranks <= 10
    return {
        "ndcg_at_10": float(np.where(near, 1.0 / np.log2(1.0 + ranks), 0.0).mean()),
        "mean_reciprocal_rank": float((1.0 / ranks).mean()),
        "recall_at_10": float(near.mean()),
    }


def triplet_accuracy(anchors: FloatArray, positives: FloatArray, negatives: FloatArray) -> float:
    """Return the share of triplets whose positive is closer to the anchor than the negative; NaN without triplets."""
    if not len(anchors):
        return float("nan")
    return float((np.einsum("ij,ij->i", anchors, positives - negatives) > 0).mean())
