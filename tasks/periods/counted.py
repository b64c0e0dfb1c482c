"""Counted: documents, labels and word counts -> what topics over time and by group count: documents, and their words.

Words are those of passages if documents were split, because topics were found in passages; documents count once, in
the topic that documents.parquet gives them. In a series of updates the documents of all batches count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.tasks.core.words.joined_counts import join_counts
from topicflow.tasks.documents.passages import join_passages
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, canonical_json, digest
from topicflow.tasks.topics.count import read_counts

IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class Counted:
    """The artifacts that are counted; their keys are the recipes' inputs."""

    documents: ArtifactRef
    labels: ArtifactRef
    counts: ArtifactRef

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items()}

    @property
    def parts(self) -> Sequence[Counted]:
        """What is counted together: only itself."""
        return (self,)

    def words(self, store: ArtifactStore) -> tuple[csr_matrix, list[str]]:
        """Return the counts (n_rows, n_words) and the words."""
        return read_counts(store, self.counts)


@dataclass(frozen=True)
class CountedBatches:
    """Batches of documents that are counted together; their labels are numbers of the same topics.

    Attributes
    ----------
    parts : tuple of Counted
        The batches in order, with the counts of all of their words.
    min_df : int
        Minimum number of documents, in all batches, that contain a word.
    max_features : int or None
        Keep only this many words, the most frequent ones in all batches.
    """

    parts: tuple[Counted, ...]
    min_df: int = 1
    max_features: int | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs; those of the only part if there is no other and it has all words."""
        chosen = {"words": f"{self.min_df} {self.max_features}"} if self.chooses_words else {}
        if len(self.parts) == 1:
            return self.parts[0].keys | chosen
        keys = [part.keys for part in self.parts]
        return {role: digest(canonical_json([each[role] for each in keys])) for role in keys[0]} | chosen

    @property
    def chooses_words(self) -> bool:
        """Whether words are left out that all batches together have too rarely."""
        return self.min_df > 1 or self.max_features is not None

    def words(self, store: ArtifactStore) -> tuple[csr_matrix, list[str]]:
        """Return the counts (n_rows, n_words) and the words of all batches, as one count of all texts has them.

        Notes
        -----
        No text is read. Memory is 5 to 8 bytes for each entry of the counts.
        """
        if len(self.parts) == 1 and not self.chooses_words:
            return self.parts[0].words(store)
        return join_counts((part.words(store) for part in self.parts), self.min_df, self.max_features)


AnyCounted = Counted | CountedBatches


def read_times(store: ArtifactStore, counted: AnyCounted) -> pl.Series:
    """Return the time of each row; null in a batch that was read without times."""
    tables = [store.table(part.documents, "documents") for part in counted.parts]
    undated = pl.lit(None, pl.Datetime("us")).alias("timestamp")
    dated = [
        table if "timestamp" in table.collect_schema() else table.with_columns(undated) for table in tables
    ]
    return pl.concat([table.select("timestamp") for table in dated]).collect().to_series()


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


def read_units(store: ArtifactStore, counted: AnyCounted) -> Units:
    """Return the documents of a run with their topics; only a run of one part can have passages."""
    labels = np.concatenate([np.asarray(store.array(part.labels, "labels")) for part in counted.parts])
    n_topics = int(labels.max(initial=-1)) + 1
    first_part = counted.parts[0]
    if not store.meta(first_part.documents)["has_passages"]:
        return Units(labels, np.arange(len(labels)), labels, n_topics)
    rows = store.table(first_part.documents, "documents").select(doc_id="parent").collect()
    placed = rows.with_columns(
        pl.Series("topic", labels),
        pl.Series("probability", np.asarray(store.array(first_part.labels, "probabilities"))),
        outlier_score=pl.lit(0.0),
        reassigned=pl.lit(value=False),
        x=pl.lit(0.0),
        y=pl.lit(0.0),
    )
    topics = join_passages(placed)["topic"].to_numpy().astype(np.int32)
    first = rows.with_row_index("at").group_by("doc_id", maintain_order=True).first()["at"]
    return Units(topics, first.to_numpy().astype(np.int64), labels, n_topics)
