"""Backfill: a series and its input -> the configs of its last periods, one run each, without processed periods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.load import times_of
from topicflow.tasks.documents.sources import open_source
from topicflow.tasks.documents.timestamps import Order
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.updates.topic_state import published_runs


def due_periods(config: UpdateTopicsConfig, n: int) -> Iterator[UpdateTopicsConfig]:
    """Yield the config of each of the last `n` periods that no published run has processed yet, oldest first.

    Each is the config with `new_documents.until` at the end of the period, so that its run takes the documents
    before that time. The first run of a series also takes all older documents, from `new_documents.since` if it is
    set. After a kill the same call skips the periods that are processed, and the killed run continues.

    Raises
    ------
    ConfigError
        If the config has no `new_documents.watermark`, or already sets `new_documents.until`.
    DataError
        If the input has no date in that column.
    """
    if config.new_documents.watermark is None or config.new_documents.until is not None:
        wrong = (
            "no new_documents.watermark, the column of times"
            if config.new_documents.watermark is None
            else "new_documents.until"
        )
        msg = f"--backfill sets its own periods, but the config has {wrong}; change the config"
        raise ConfigError(msg)
    past = published_runs(Path(config.runtime.runs), config.name)
    done = [_moment(until) for record in past if (until := record["update"]["until"])]
    if config.new_documents.since is not None:
        done.append(_moment(config.new_documents.since))
    orders = past[0]["source"].get("date_orders", {}) if past else {}
    for end in period_ends(newest(config, orders.get(config.new_documents.watermark)), config.period, n):
        until = f"{end:%Y-%m-%d}" if f"{end:%H%M}" == "0000" else f"{end:%Y-%m-%dT%H:%M:%S}"
        if any(_moment(until) <= moment for moment in done):
            continue
        yield config.model_copy(
            update={"new_documents": config.new_documents.model_copy(update={"until": until})}
        )


def _moment(text: str) -> datetime:
    """Return the time of a bound, in UTC if it has a zone; a date alone is its midnight."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def period_ends(last: datetime, period: str, n: int) -> list[datetime]:
    """Return the exclusive ends of `n` periods, ascending; the last period contains the time `last`.

    Periods follow the calendar: months begin on the 1st, weeks on Monday.
    """
    start = pl.Series([last]).dt.truncate(period)
    ends = [start.dt.offset_by(f"{_times(1 - i, period)}")[0] for i in range(n)]
    return list(reversed(ends))


def _times(n: int, period: str) -> str:
    """Return `n` times a period in the notation of polars."""
    amount = period.rstrip("hdwmoqy")
    unit = period[len(amount) :]
    return f"{n * int(amount)}{unit}"


def newest(config: UpdateTopicsConfig, order: Order | None = None) -> datetime:
    """Return the latest time in the input's watermark column; `order` is how the runs before read its dates."""
    column = str(config.new_documents.watermark)
    latest: datetime | None = None
    with open_source(config.load, config.runtime.chunk_rows) as source:
        times = times_of(config.load, source, column, order)
        require_column(f"load: {source.name}", column, source.schema, "new_documents.watermark")
        n = 0
        for chunk in source.chunks:
            numbers = pl.Series(np.arange(n, n + chunk.height, dtype=np.uint32))
            top = times.parse(chunk[column], numbers).max()
            n += chunk.height
            if isinstance(top, datetime):
                latest = max(latest or top, top)
    if latest is None:
        msg = f"load: {source.name}: column {column!r} (new_documents.watermark) has no date, so there are no periods"
        raise DataError(msg)
    return latest
