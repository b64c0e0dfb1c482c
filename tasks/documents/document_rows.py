"""Document rows: ids -> rows in an artifact of documents; batches -> their own columns, row for row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


def rows_of(
    store: ArtifactStore, documents: ArtifactRef, wanted: Sequence[str]
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each wanted document that is there; those of all its passages if documents were split."""
    name = "parent" if store.meta(documents)["has_passages"] else "doc_id"
    ids = store.table(documents, "documents").select(pl.col(name).alias("id")).with_row_index("row")
    found = ids.filter(pl.col("id").is_in(pl.Series(wanted, dtype=pl.String).implode())).collect()
    grouped = found.group_by("id", maintain_order=True).agg(pl.col("row").cast(pl.Int64).sort())
    return {document: np.array(rows, np.int64) for document, rows in grouped.iter_rows()}


def own_columns(store: ArtifactStore, batches: Sequence[ArtifactRef]) -> pl.LazyFrame:
    """Return the input's own columns of all batches in order; a column is null in a batch that lacks it."""
    tables = [store.table(each, "columns") for each in batches]
    names = [table.collect_schema().names() for table in tables]
    if some := next(filter(None, names), None):
        null = pl.lit(None).alias(some[0])  # a table without columns has no rows either
        tables = [
            table
            if own
            else store.table(each, "documents").select("doc_id").with_columns(null).select(some[0])
            for table, own, each in zip(tables, names, batches, strict=True)
        ]
    return pl.concat(tables, how="diagonal_relaxed")
