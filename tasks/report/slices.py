"""Slices: tables of topics over time and by group -> the data of the page's parts on trends, periods and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from topicflow.tasks.report.over_time import MAX_LINES
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

MAX_TOPICS = 60
"""Topics whose words of each period are in the page, the largest ones."""

MAX_ROWS = 40
"""Topics that the page lists for each group, the most certain ones."""


def period_blocks(store: ArtifactStore, periods: ArtifactRef, sizes: Sequence[int]) -> dict[str, Any]:
    """Return the `timeline` of the page's chart and the block `periods`: trends, and the words of each period.

    `sizes` are the documents of each topic.
    """
    calendar = store.table(periods, "calendar").collect()
    over_time = store.table(periods, "over_time").collect()
    trends, meta = store.table(periods, "trends").collect(), store.meta(periods)
    largest = np.argsort(-np.asarray(sizes), kind="stable").tolist()
    largest = [topic for topic in largest if topic < trends.height]
    counts = {
        topic: own["n_documents"].to_list()
        for (topic,), own in over_time.partition_by("topic", as_dict=True, maintain_order=True).items()
    }
    timeline = {
        "step": meta["step"],
        "starts": calendar["start"].cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S").to_list(),
        "totals": calendar["n_documents"].to_list(),
        "topics": largest[:MAX_LINES],
        "counts": [counts[topic] for topic in largest[:MAX_LINES]],
        "n_undated": meta["n_undated"],
    }
    called = trends.filter(pl.col("trend") != "none").sort(pl.col("z").abs(), descending=True)
    spoken = over_time.filter(pl.col("topic").is_in(largest[:MAX_TOPICS]))
    words, numbered = _numbered(spoken["keywords"])
    places = spoken.with_columns(numbered).partition_by("topic", as_dict=True, maintain_order=True)
    block = {
        "names": calendar["period"].to_list(),
        "zone": meta["zone"],
        "n_tested": int(trends["q_value"].count()),
        "trends": [
            {**row, "counts": counts[row["topic"]]}
            for row in called.head(2 * MAX_ROWS)
            .select("topic", "trend", "share_first_half", "share_second_half", "q_value")
            .iter_rows(named=True)
        ],
        "words": words,
        "topics": [
            {"topic": topic, "counts": counts[topic], "words": places[(topic,)]["keywords"].to_list()}
            for topic in largest[:MAX_TOPICS]
        ],
    }
    return {"timeline": timeline if calendar.height > 1 else None, "periods": block}


def _numbered(keywords: pl.Series) -> tuple[list[str], pl.Series]:
    """Return the distinct words of lists, and the lists with the words' positions: words repeat in many periods."""
    words = keywords.explode().drop_nulls().unique().sort()
    places = pl.Series("place", range(len(words)), dtype=pl.UInt32)
    found = keywords.list.eval(pl.element().replace_strict(words, places, return_dtype=pl.UInt32))
    return words.to_list(), found


def group_block(store: ArtifactStore, groups: ArtifactRef) -> list[dict[str, Any]]:
    """Return the block `groups`: for each column its values, and the topics that are unusual in each."""
    table = store.table(groups, "groups").collect()
    columns: Mapping[str, Mapping[str, int]] = store.meta(groups)["columns"]
    found = []
    for column, left in columns.items():
        own = table.filter(pl.col("column") == column)
        parts = own.partition_by("value", maintain_order=True)
        values = [
            {"value": part["value"][0], "n": part["n_value"][0], "topics": _unusual(part)} for part in parts
        ]
        found.append({"column": column, **left, "values": values})
    return found


def _unusual(part: pl.DataFrame) -> list[dict[str, Any]]:
    shown = ("topic", "n_documents", "share", "share_rest", "log2_ratio", "log2_low", "log2_high", "keywords")
    called = part.filter((pl.col("represented") != "none") & (pl.col("topic") >= 0))
    return (
        called.sort("q_value", "topic")
        .head(MAX_ROWS)
        .sort("log2_ratio", descending=True)
        .select(shown)
        .to_dicts()
    )
