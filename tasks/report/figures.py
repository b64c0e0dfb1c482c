"""Figures: metrics, topics and their centroids -> the entries that the page shows, with names and meanings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_SIMILAR = 60
"""Topics on the similarity map: more than 60 × 60 cells cannot be distinguished on half a page."""

METRICS: Mapping[str, tuple[str, str, str, tuple[float, float] | None]] = {
    "n_documents": ("Documents", "Documents in the model, without empty ones.", "", None),
    "n_topics": ("Topics", "Number of topics; outliers are not a topic.", "", None),
    "outlier_share": (
        "Outliers", "Share of documents without a topic.", "Up to a third is usual with HDBSCAN.", (0, 1),
    ),
    "outlier_share_before": (
        "Outliers before reassigning", "Share of documents that clustering left without a topic.",
        "The share of outliers after reassigning is what the topics have.", (0, 1),
    ),
    "truncated_share": (
        "Cut by the encoder", "Share of texts that are longer than the encoder reads.",
        "Near 0, the vectors stand for whole texts.", (0, 1),
    ),
    "n_empty": ("Empty rows", "Rows of the input without text; they are left out.", "", None),
    "stability": (
        "Stability", "How often documents keep their topic when a tenth of all documents is left out.",
        "Nearer 1 is better.", (0, 1),
    ),
    "median_topic_size": ("Median topic size", "Documents in the topic of median size.", "", None),
    "largest_topic_share": (
        "Largest topic", "Share of all documents in the largest topic.",
        "Above 0.5, one topic contains most documents.", (0, 1),
    ),
    "npmi": (
        "Coherence, NPMI", "Whether a topic's keywords occur together in documents more often than by chance.",
        "0 is chance; above 0.1 is good.", (-1, 1),
    ),
    "c_v": (
        "Coherence, C_v", "The same by another measure, which agrees best with people's ratings.",
        "Above 0.5 is good.", (0, 1),
    ),
    "diversity": (
        "Diversity", "Share of distinct words among the keywords of all topics.",
        "Near 1, topics share few keywords.", (0, 1),
    ),
    "trustworthiness": (
        "Trustworthiness", "Whether neighbours after the reduction are neighbours in the embeddings too.",
        "Above 0.9 the reduction is reliable.", (0, 1),
    ),
    "dbcv": (
        "Cluster validity, DBCV", "Whether documents are dense inside topics and sparse between them.",
        "Above 0 the topics are separate; 1 is best.", (-1, 1),
    ),
    "n_labelled": ("Labelled documents", "Documents with a known label; the next metrics use only these.", "", None),
    "nmi": (
        "NMI", "Information shared by topics and known labels; outliers count as one group.",
        "1 is the same grouping.", (0, 1),
    ),
    "ari": (
        "ARI", "Pairs of documents on which topics and known labels agree, compared with chance.",
        "0 is chance, 1 the same.", (-1, 1),
    ),
    "purity": (
        "Purity", "Share of documents whose label is the most frequent one in their topic.", "Nearer 1 is better.",
        (0, 1),
    ),
    "nmi_clustered": ("NMI, without outliers", "NMI over documents that have a topic.", "Nearer 1 is better.", (0, 1)),
    "ari_clustered": ("ARI, without outliers", "ARI over documents that have a topic.", "Nearer 1 is better.", (-1, 1)),
    "purity_clustered": (
        "Purity, without outliers", "Purity over documents that have a topic.", "Nearer 1 is better.", (0, 1),
    ),
}  # fmt: skip
"""The name, meaning, good values and bounds (if any) of each metric."""


def metric_entries(metrics: Mapping[str, float | int | None]) -> list[dict[str, Any]]:
    """Return the metrics with their explanations, known ones first and in the order of `METRICS`."""
    names = [name for name in METRICS if name in metrics] + [name for name in metrics if name not in METRICS]
    entries = []
    for name in names:
        label, meaning, good, bounds = METRICS.get(name, (name, "", "", None))
        entry = {"key": name, "label": label, "meaning": meaning, "good": good, "bounds": bounds}
        entries.append({**entry, "value": metrics[name]})
    return entries


def topic_entries(
    topics: pl.DataFrame, layout: NDArray[np.float32], labels: NDArray[np.int32], n_examples: int
) -> list[dict[str, Any]]:
    """Return the data of each topic on the page: name, size, keywords, middle on the map, rows of examples."""
    placed = pl.DataFrame({"topic": labels, "x": layout[:, 0], "y": layout[:, 1]})
    middles = {t: [x, y] for t, x, y in placed.group_by("topic").agg(pl.col("x", "y").median()).iter_rows()}
    return [
        {
            "topic": row["topic"],
            "name": row["name"],
            "size": row["size"],
            "keywords": row["keywords"],
            "weights": row["weights"],
            "middle": middles.get(row["topic"]),
            "examples": row["representative_rows"][:n_examples],
        }
        for row in topics.sort("topic").iter_rows(named=True)
    ]


def topic_similarity(centroids: NDArray[np.float32], sizes: Sequence[int]) -> dict[str, Any] | None:
    """Return the cosine similarity of the largest topics, similar ones next to each other; None for fewer than two.

    Parameters
    ----------
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embedding of each topic, not necessarily of unit length.
    sizes : sequence of int
        Documents of each topic.

    Returns
    -------
    dict or None
        `topics`, the topic numbers in the order of the axes, and `values`, rows of cosines with three digits.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(centroids) < 2:
        return None
    largest = np.sort(np.argsort(-np.asarray(sizes), kind="stable")[:MAX_SIMILAR])
    vectors = np.asarray(centroids, dtype=np.float64)[largest]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    order = leaves_list(linkage(vectors, "average"))
    cosines = np.clip(vectors[order] @ vectors[order].T, -1.0, 1.0)
    return {"topics": largest[order].tolist(), "values": np.round(cosines, 3).tolist()}
