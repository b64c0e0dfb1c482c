"""Adopt: the documents that a topic model's run loaded -> arrivals by which a series of updates knows them.

arrivals: the files of the stage `new_documents`. Ids are known by their printed form, which is all that documents have
of them; `printed` in the meta data says so. Documents without ids are known by their texts and times.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.identity import Digests, digests_of_texts
from topicflow.tasks.documents.load import content_ids
from topicflow.tasks.documents.time_texts import MICROSECONDS
from topicflow.tasks.documents.timestamps import Order, Timestamps
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.digests import text_digests
from topicflow.tasks.updates import recipes
from topicflow.tasks.updates.sieve import highest_mark


@stage("adopt")
def adopt(
    context: Context,
    documents: ArtifactRef,
    loaded: ArtifactRef,
    loading: LoadConfig,
    watermark: str | None,
) -> ArtifactRef:
    """Return the arrivals of a run's documents, made on a miss.

    Parameters
    ----------
    context : Context
        The context of the update.
    documents : ArtifactRef
        The documents of the run's topics.
    loaded : ArtifactRef
        All documents that the run loaded: those that it left out as near-duplicates are known too.
    loading : LoadConfig
        How the updates read documents.
    watermark : str or None
        The column of `new_documents.watermark`.

    Raises
    ------
    ConfigError
        If the run did not keep a column of times that the updates need.

    Notes
    -----
    Reads the texts part by part; memory is 16 bytes a document, and its id or time.
    """
    store = context.store
    recipe = recipes.adopted(loading, watermark, {"documents": documents.key, "loaded": loaded.key})
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        times = _Times(store, loaded, loading)
        texts = np.concatenate([text_digests(part)[:, 0] for part in text_parts(store, loaded)])
        has_ids = loading.id_column is not None or not _is_made_from(store, loaded, texts[0])
        column = None if has_ids else loading.timestamp_column or watermark
        identities = (
            _of_ids(store, loaded)
            if has_ids
            else _of_texts(store, loaded, None if column is None else times.read(column))
        )
        marks = None if watermark is None else times.plausible(watermark)
        own = store.table(documents, "columns").collect_schema()
        writer.save_json("documents", {"documents": documents.key})
        writer.save_array("identities", np.sort(identities))
        writer.save_array("texts", np.sort(texts))
        writer.rows = documents.rows
        writer.meta = {
            "n_new": documents.rows,
            "n_late": 0,
            "watermark": None if marks is None else highest_mark(marks, None),
            "date_orders": times.orders,
            "schema": {name: str(kind) for name, kind in own.items()},
            "printed": has_ids,
        }
    return store.committed(recipe, writer)


@dataclass
class _Times:
    """Reads columns of times that a run kept, as the run read them."""

    store: ArtifactStore
    documents: ArtifactRef
    loading: LoadConfig
    readers: dict[str, Timestamps] = field(default_factory=dict)

    def read(self, column: str) -> pl.Series:
        """Return the times (n,) of a column as they are written, plausible or not."""
        values = self._values(column)
        if column not in self.readers:
            found = self.store.meta(self.documents).get("date_order")
            known = found if column == self.loading.timestamp_column else None
            given = None if self.loading.date_order == "auto" else self.loading.date_order
            self.readers[column] = Timestamps(
                f"update: column {column!r} of the run to continue", order=known or given,
                column=lambda: [values], form=self.loading.time_format,
            )  # fmt: skip
        return self.readers[column].read(values, pl.Series(np.arange(len(values), dtype=np.uint32)))

    def plausible(self, column: str) -> pl.Series:
        """Return the times (n,) of a column without those that stand for no date."""
        times = self.read(column)
        return self.readers[column].plausible(times)

    @property
    def orders(self) -> dict[str, Order]:
        """The order of dates of each column that has one; the run's column of times is one, read or not."""
        orders = {column: reader.order for column, reader in self.readers.items()}
        if (column := self.loading.timestamp_column) is not None:
            orders.setdefault(column, self.store.meta(self.documents).get("date_order"))
        return {column: order for column, order in orders.items() if order is not None}

    def _values(self, column: str) -> pl.Series:
        """Return a column of the input, or the times that were read from it if the run did not keep it."""
        own = self.store.table(self.documents, "columns")
        if column in own.collect_schema():
            return own.select(column).collect().to_series()
        documents = self.store.table(self.documents, "documents")
        if column == self.loading.timestamp_column and "timestamp" in documents.collect_schema():
            return documents.select(pl.col("timestamp").cast(MICROSECONDS)).collect().to_series()
        raise ConfigError(
            f"update: the run to continue did not keep the column {column!r}, whose times the updates need; add it to "
            "load.columns and run `topicflow run` again"
        )


def _is_made_from(store: ArtifactStore, documents: ArtifactRef, text: np.uint64) -> bool:
    """Return whether ids are made from texts, given the digest of the first one; a source may have ids of its own."""
    first = store.table(documents, "documents").select("doc_id").head(1).collect().item()
    return [first] == content_ids(np.array([text]), np.zeros(1, np.int64))


def _of_ids(store: ArtifactStore, documents: ArtifactRef) -> Digests:
    """Return the digests (n,) of the documents' ids, as they are printed."""
    ids = store.table(documents, "documents").select("doc_id").collect()["doc_id"]
    return digests_of_texts(ids, None)


def _of_texts(store: ArtifactStore, documents: ArtifactRef, times: pl.Series | None) -> Digests:
    """Return the digests (n,) of the documents' texts, with their times if there are any."""
    found, start = [], 0
    for texts in text_parts(store, documents):
        of_part = None if times is None else times.slice(start, len(texts))
        found.append(digests_of_texts(texts, of_part))
        start += len(texts)
    return np.concatenate(found)
