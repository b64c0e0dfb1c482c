"""Counted: documents, labels and word counts -> what topics over time and by group count: documents, and their words.

Words are those of passages if documents were split, because topics were found in passages; documents count once, in
the topic that documents.parquet gives them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.documents.passages import join_passages
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class Counted:
    """The artifacts that are counted; the fields are the recipes' inputs."""

    documents: ArtifactRef
    labels: ArtifactRef
    counts: ArtifactRef

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items()}


@dataclass(frozen=True)
class Units:
    """The documents that count.

    Attributes
    ----------
    topics : ndarray of shape (n_documents,), int32
        Topic of each document, -1 for none.
    first : ndarray of shape (n_documents,), int64
        The row of each document, or of its first passage.
    labels : ndarray of shape (n_rows,), int32
        Topic of each row: a document or a passage.
    n_topics : int
        Number of topics.
    """

    topics: IntArray
    first: NDArray[np.int64]
    labels: IntArray
    n_topics: int

    @property
    def shown(self) -> list[int]:
        """The topics that tables list: all, and -1 if a document has none."""
        return [*([-1] if (self.topics < 0).any() else []), *range(self.n_topics)]

    def cross(self, slices: IntArray, n_slices: int) -> NDArray[np.int64]:
        """Return the documents (n_shown, n_slices) of each topic in each slice; documents in slice -1 do not count."""
        low = self.shown[0] if self.shown else 0
        inside = slices >= 0
        codes = (self.topics[inside].astype(np.int64) - low) * n_slices + slices[inside]
        n_rows = len(self.shown)
        return np.bincount(codes, minlength=n_rows * n_slices).reshape(n_rows, n_slices)


def read_units(store: ArtifactStore, counted: Counted) -> Units:
    """Return the documents of a run with their topics."""
    labels = np.asarray(store.array(counted.labels, "labels"))
    n_topics = int(labels.max(initial=-1)) + 1
    if not store.meta(counted.documents)["has_passages"]:
        return Units(labels, np.arange(len(labels)), labels, n_topics)
    rows = store.table(counted.documents, "documents").select(doc_id="parent").collect()
    placed = rows.with_columns(
        pl.Series("topic", labels),
        pl.Series("probability", np.asarray(store.array(counted.labels, "probabilities"))),
        outlier_score=pl.lit(0.0),
        reassigned=pl.lit(value=False),
        x=pl.lit(0.0),
        y=pl.lit(0.0),
    )
    topics = join_passages(placed)["topic"].to_numpy().astype(np.int32)
    first = rows.with_row_index("at").group_by("doc_id", maintain_order=True).first()["at"]
    return Units(topics, first.to_numpy().astype(np.int64), labels, n_topics)
