"""Gather: the documents of several batches -> one documents artifact, in the order in which they came."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from topicflow.tasks.documents.document_rows import own_columns
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates import recipes

PART_ROWS = 20_000
"""Documents of a part, as in `load`; a constant, because it decides the artifact's bytes."""


@stage("merge_batches")
def merge_batches(context: Context, batches: Sequence[ArtifactRef]) -> ArtifactRef:
    """Return the documents of all batches as one artifact, written on a miss.

    Notes
    -----
    Reads and writes every document, part by part; a column that a batch lacks is null there.
    """
    store = context.store
    recipe = recipes.merged_batches([batch.key for batch in batches])
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        texts, n = hashlib.blake2b(digest_size=16), 0
        own, beside = _parts(own_columns(store, batches)), pl.DataFrame()
        documents = _parts(
            pl.concat([store.table(batch, "documents") for batch in batches], how="diagonal_relaxed")
        )
        for number, part in enumerate(documents):
            beside = next(own, beside)  # no batch may have columns of its own
            texts.update(text_digests(part["text"]).tobytes())
            rows = pl.Series("row", np.arange(n, n + part.height, dtype=np.uint32))
            _write(writer.path(f"documents/part-{number:05d}.parquet"), part.with_columns(rows))
            _write(writer.path(f"columns/part-{number:05d}.parquet"), beside)
            n += part.height
        writer.rows = n
        writer.meta = _meta(store, batches, texts.hexdigest(), n, beside.columns)
    return store.committed(recipe, writer)


def _parts(table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield the rows in order, PART_ROWS at a time."""
    for chunk in table.collect_batches(chunk_size=PART_ROWS, maintain_order=True):
        yield from (chunk.slice(start, PART_ROWS) for start in range(0, chunk.height, PART_ROWS))


def _write(path: Any, part: pl.DataFrame) -> None:  # noqa: ANN401
    """Write a part through memory, as `load` does, so that a full disk can be distinguished from other errors."""
    buffer = io.BytesIO()
    part.write_parquet(buffer, compression="zstd")
    path.write_bytes(buffer.getbuffer())


def _meta(
    store: ArtifactStore, batches: Sequence[ArtifactRef], texts: str, n_documents: int, columns: list[str]
) -> dict[str, Any]:
    """Return the values that `load` records about documents, for all batches together."""
    each = [store.meta(batch) for batch in batches]
    sums = {name: sum(meta[name] for meta in each) for name in ("n_input_rows", "n_empty", "n_replaced")}
    return {**each[-1], **sums, "texts": texts, "n_documents": n_documents, "columns": columns}
