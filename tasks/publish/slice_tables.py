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
            if ids is not None:
                from topicflow.tasks.updates.sliced import lasting_topics_of  # with compiled loops

                shown = lasting_topics_of(shown, ids)
            shown.sink_parquet(folder / name)


def with_shares(
    store: ArtifactStore, stages: Mapping[str, ArtifactRef], documents: pl.LazyFrame
) -> pl.LazyFrame:
    """Return the table of documents with `topic_shares` (and `topic_words`) beside it, if the run has them."""
    if "shares" not in stages:
        return documents
    return pl.concat([documents, store.table(stages["shares"], "shares")], how="horizontal")
