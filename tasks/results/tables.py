"""Tables: the record of a run -> the tables in its folder, with names of topics and without places of the store."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.runs.history import RunRecord, called, flow_of
from topicflow.tasks.runs.run_files import whole_file
from topicflow.tasks.topics.named import with_topic_names

FIRST = ("documents", "topics")
"""Tables that come before the others, which are in the order of their names."""


def table_names(record: RunRecord) -> list[str]:
    """Return the names of the tables in a run's folder."""
    found = sorted(path.stem for path in Path(record["folder"]).glob("*.parquet"))
    return [name for name in FIRST if name in found] + [name for name in found if name not in FIRST]


def read_table(record: RunRecord, name: str) -> pl.LazyFrame:
    """Return a table of a run, lazily, after a check of its bytes.

    Parameters
    ----------
    record : dict
        The run's record with its `folder`.
    name : str
        `documents` and `topics` of a topic model; `table_names` lists all.

    Raises
    ------
    ConfigError
        If the run has no such table; the message lists those that it has.
    DamagedError
        If the file is not the one that was written.
    """
    if name not in (known := table_names(record)):
        has = f"it has {', '.join(known)}" if known else "it has no tables"
        msg = f"{called(record)}: no table {name} (a {record['state']} run of {flow_of(record)}); {has}"
        raise ConfigError(msg)
    table = pl.scan_parquet(whole_file(Path(record["folder"]), f"{name}.parquet"))
    columns = table.collect_schema().names()
    if name == "topics":  # runs before 0.2 have the place of a centroid in the store
        return table.drop("centroid", strict=False)
    if name == "documents" and "topic" in columns and "topic_name" not in columns:
        return with_topic_names(table, topic_names(record))
    return table


def topic_names(record: RunRecord) -> pl.DataFrame:
    """Return number (topic) and name (name) of each topic of a run."""
    return read_table(record, "topics").select("topic", "name").collect()


def check_topic(record: RunRecord, topic: int) -> None:
    """Raise DataError if a run has no topic of this number; -1 is for documents without a topic."""
    known = read_table(record, "topics").select("topic").collect()["topic"].to_list()
    if topic != -1 and topic not in known:
        numbers = f"{min(known)} to {max(known)}" if known else "none"
        msg = f"{called(record)}: no topic {topic}; there are {numbers}, and -1 for documents without a topic"
        raise DataError(msg)
