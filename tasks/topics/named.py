"""Named: documents with the numbers of their topics -> the same with the topics' names."""

from __future__ import annotations

import polars as pl

NO_TOPIC = "no topic"
"""Name of the topic -1."""


def with_topic_names(documents: pl.LazyFrame, names: pl.DataFrame) -> pl.LazyFrame:
    """Return documents with the column `topic_name` after `topic`.

    Parameters
    ----------
    documents : pl.LazyFrame
        Has `topic`, -1 for none.
    names : pl.DataFrame
        Number (topic) and name (name) of each topic.
    """
    named = pl.col("topic").replace_strict(
        names["topic"], names["name"], default=NO_TOPIC, return_dtype=pl.String
    )
    columns = documents.collect_schema().names()
    after = columns.index("topic") + 1
    return documents.with_columns(named.alias("topic_name")).select(
        [*columns[:after], "topic_name", *columns[after:]]
    )
