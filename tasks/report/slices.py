"""Slices: tables of topics over time, by group and by share -> the data of the page's parts that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.report.over_time import largest_topics
from topicflow.tasks.report.points import pack
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

MAX_TOPICS = 60
"""Topics whose words of each period are in the page, the largest ones."""

N_SHARES = 3
"""Topics of a document in its tooltip."""

MAX_SPOKEN = 20_000
"""Points whose words are marked by topic; the words of more would make the page too large."""

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
    drawn = [topic for topic in largest_topics(sizes, calendar.height) if topic < trends.height]
    counts = {
        topic: own["n_documents"].to_list()
        for (topic,), own in over_time.partition_by("topic", as_dict=True, maintain_order=True).items()
    }
    timeline = {
        "step": meta["step"],
        "starts": calendar["start"].cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S").to_list(),
        "totals": calendar["n_documents"].to_list(),
        "topics": drawn,
        "counts": [counts.get(topic, []) for topic in drawn],
        "trends": trends.sort("topic")["trend"].gather(drawn).to_list(),
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
            if topic in counts
        ],
    }
    return {"timeline": timeline if calendar.height else None, "periods": block}


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


def share_block(store: ArtifactStore, shares: ArtifactRef, documents: NDArray[np.int64]) -> dict[str, Any]:
    """Return the block `shares`: topics and percent of each point (n_points, N_SHARES), packed, and words by topic.

    `documents` are the rows of the points in the table of shares.
    """
    return block_of_shares(store.table(shares, "shares").collect()[documents])


def block_of_shares(table: pl.DataFrame) -> dict[str, Any]:
    """Return the block `shares` of points with these rows in the table of shares."""
    n_points = table.height
    part = pl.col("topic_shares").list.head(N_SHARES)
    placed = table.select(part.alias("pair"), pl.int_range(pl.len()).alias("point")).explode("pair")
    placed = placed.drop_nulls("pair").unnest("pair")
    place = placed.select(pl.int_range(pl.len()).over("point")).to_series().to_numpy()
    topics = np.full((n_points, N_SHARES), -1, np.int32)
    percent = np.zeros((n_points, N_SHARES), np.uint8)
    topics[placed["point"].to_numpy(), place] = placed["topic"].to_numpy()
    percent[placed["point"].to_numpy(), place] = np.rint(100 * placed["share"].to_numpy())
    block = {"n": N_SHARES, "topics": pack(topics), "percent": pack(percent), "words": [], "spoken": []}
    if "topic_words" not in table.columns or n_points > MAX_SPOKEN:
        return block
    lists = pl.col("topic_words").list
    spoken = table.select(
        word=lists.eval(pl.element().struct.field("word")),
        topic=lists.eval(pl.element().struct.field("topic")),
    )
    words, numbered = _numbered(spoken["word"])
    pairs = zip(numbered.to_list(), spoken["topic"].to_list(), strict=True)
    return block | {"words": words, "spoken": [[*map(list, zip(*pair, strict=True))] for pair in pairs]}
