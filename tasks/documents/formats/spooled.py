"""Spooled rows: rows that a reader yields one by one -> Parquet files in a temporary folder, as one lazy table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.tasks.documents.formats.text_files import new_copy

_PART_ROWS = 5_000
"""Rows that are in memory at a time."""


def spooled(
    rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any], scratch: Path, limit: int | None = None
) -> pl.LazyFrame:
    """Return the table of rows of known types; memory is one part."""
    chosen = islice(rows, limit) if limit is not None else rows
    frames = (pl.DataFrame(list(part), schema=dict(schema)) for part in _batched(chosen))
    return spooled_frames(frames, schema, scratch)


def _batched(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    rows = iter(rows)
    while part := list(islice(rows, _PART_ROWS)):
        yield part


def spooled_frames(frames: Iterable[pl.DataFrame], schema: Mapping[str, Any], scratch: Path) -> pl.LazyFrame:
    """Return the table of frames of one schema, which are written one after another."""
    paths = []
    for frame in frames:
        path = new_copy(scratch)
        frame.write_parquet(path)
        paths.append(path)
    if not paths:
        return pl.LazyFrame(schema=dict(schema))
    return pl.scan_parquet(paths, glob=False)
