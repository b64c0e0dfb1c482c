"""Slice tables: topics over time and by group -> the Parquet files of a run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

TABLES = (
    ("periods", "over_time", "topics_over_time.parquet"),
    ("periods", "trends", "topic_trends.parquet"),
    ("groups", "groups", "topics_by_group.parquet"),
)
"""Stage, table of its artifact, and file."""


def write_slices(folder: Path, store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> None:
    """Write the tables of the stages `periods` and `groups`, if the run has them."""
    for stage, table, name in TABLES:
        if stage in stages:
            store.table(stages[stage], table).sink_parquet(folder / name)
