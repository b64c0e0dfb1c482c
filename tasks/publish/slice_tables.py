"""Slice tables: topics over time, by group and by share -> the Parquet files of a run's folder, and columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

TABLES = (
    ("periods", "over_time", "topics_over_time.parquet"),
    ("periods", "trends", "topic_trends.parquet"),
    ("groups", "groups", "topics_by_group.parquet"),
)
"""Stage, table of its artifact, and file."""


def write_slices(
    folder: Path,
    store: ArtifactStore,
    stages: Mapping[str, ArtifactRef],
    ids: NDArray[np.int32] | None = None,
) -> None:
    """Write the tables of the stages `periods` and `groups`, if the run has them.

    `ids` has the lasting id of each topic, in a series of updates.
    """
    for stage, table, name in TABLES:
        if stage in stages:
            shown = store.table(stages[stage], table)
            shown = shown if ids is None else lasting_topics_of(shown, ids)
            shown.sink_parquet(folder / name)


def lasting_topics_of(table: pl.LazyFrame, ids: NDArray[np.int32]) -> pl.LazyFrame:
    """Return a table with lasting ids instead of the fit's numbers in `topic`, `topic_shares` and `topic_words`.

    -1 stays -1.
    """
    names = table.collect_schema().names()
    numbers = pl.Series(range(-1, len(ids)), dtype=pl.Int32)
    wanted = pl.Series([-1, *ids.tolist()], dtype=pl.Int32)

    def renumbered(topics: pl.Expr) -> pl.Expr:
        return topics.replace_strict(numbers, wanted, return_dtype=pl.Int32)

    columns = [renumbered(pl.col("topic"))] if "topic" in names else []
    for name, fields in (("topic_shares", ("topic", "share")), ("topic_words", ("word", "topic", "weight"))):
        parts = [pl.element().struct.field(field) for field in fields]
        parts[fields.index("topic")] = renumbered(parts[fields.index("topic")])
        columns += [pl.col(name).list.eval(pl.struct(parts))] if name in names else []
    return table.with_columns(columns)


def with_shares(
    store: ArtifactStore, stages: Mapping[str, ArtifactRef], documents: pl.LazyFrame
) -> pl.LazyFrame:
    """Return the table of documents with `topic_shares` (and `topic_words`) beside it, if the run has them."""
    if "shares" not in stages:
        return documents
    return pl.concat([documents, store.table(stages["shares"], "shares")], how="horizontal")
