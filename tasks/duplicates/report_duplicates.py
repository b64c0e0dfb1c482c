"""Report duplicates: the duplicates' artifact and its texts -> the part of a report about near-duplicates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.duplicates.deduplicate import WAYS
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

N_LEAST = 10
"""Number of least similar duplicates in the list, so that a person can choose a threshold."""

METHODS = {"embedding": ("cosine", "threshold"), "minhash": ("Jaccard", "jaccard_threshold")}
"""The measure of each method, and the config's field with its threshold."""

COUNTS = ("n_documents", "n_kept", "n_duplicates", "n_equal_texts", "n_groups", "largest_group")


def duplicate_block(
    store: ArtifactStore, duplicates: ArtifactRef, read: Callable[[NDArray[np.int64]], pl.DataFrame]
) -> dict[str, Any]:
    """Return counts, methods, recall, the histogram of similarities, and the least similar duplicates.

    Parameters
    ----------
    store : ArtifactStore
    duplicates : ArtifactRef
        Duplicates of documents that were compared only with each other.
    read : callable
        Takes ascending rows of the documents before duplicates were removed; returns their `doc_id` and `text`.

    Returns
    -------
    dict
        The `COUNTS`; `methods`, each with its measure, threshold and number of pairs; `recall` by a sample of
        the kept documents, None if only words were compared or nothing is a duplicate; `histogram`
        of the first method's pairs;
        `least_similar` from the function with this name.
    """
    figures = store.json(duplicates, "figures")
    config = store.manifest(duplicates.kind, duplicates.key)["recipe"]["config"]
    methods = [
        {
            "method": method,
            "measure": measure,
            "threshold": config[field],
            "n_pairs": figures[f"n_pairs_{method}"],
        }
        for method, (measure, field) in METHODS.items()
        if field in config
    ]
    recall = {name: figures.get(f"recall_{name}") for name in ("low", "high", "sample")}
    return {
        **{name: figures[name] for name in COUNTS},
        "methods": methods,
        "search": figures.get("search"),
        "recall": {"share": figures["recall"], **recall} if figures.get("recall") is not None else None,
        "histogram": figures["histogram"],
        "least_similar": least_similar(store, duplicates, read),
    }


def least_similar(
    store: ArtifactStore, duplicates: ArtifactRef, read: Callable[[NDArray[np.int64]], pl.DataFrame]
) -> list[dict[str, Any]]:
    """Return the least similar duplicates, least similar first, with their text and the document kept instead.

    Equal texts are not included, nor are documents that are linked only through others.
    """
    similarity, way, kept_row = (
        np.asarray(store.array(duplicates, name)) for name in ("similarity", "way", "kept_row")
    )
    known = (way != WAYS.index("kept")) & (way != WAYS.index("text")) & np.isfinite(similarity)
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(similarity[rows], kind="stable")[:N_LEAST]]
    needed = np.unique(np.concatenate([rows, kept_row[rows]])).astype(np.int64)
    found = dict(zip(needed.tolist(), read(needed).iter_rows(named=True), strict=True))
    return [
        {
            "similarity": float(similarity[row]),
            "measure": METHODS[WAYS[way[row]]][0],
            "doc_id": found[row]["doc_id"],
            "text": found[row]["text"],
            "kept_id": found[int(kept_row[row])]["doc_id"],
            "kept_text": found[int(kept_row[row])]["text"],
        }
        for row in rows.tolist()
    ]
