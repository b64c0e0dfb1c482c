"""Compare: the folders of two runs -> what became of each topic, in the words of lineage, and which documents moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.matching import (
    BORN,
    CONTINUED,
    DIED,
    MERGED,
    SPLIT,
    Event,
    Matching,
    match_topics,
    topic_events,
)
from topicflow.tasks.errors import DataError
from topicflow.tasks.runs.history import RunRecord, called, flow_of
from topicflow.tasks.runs.run_files import whole_file

if TYPE_CHECKING:
    from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray

MIN_SIMILARITY = 0.3
"""Minimum similarity of two topics that are shown as one; lower than in updates, as a person judges the result."""

GROWN, SHRUNK = "grown", "shrunk"

MIN_GROWTH = 0.25
"""Share of its documents by which a topic grows or shrinks before it is said."""

MIN_DOCUMENTS = 5
"""Documents by which it does so at least: small topics change by a few documents in each run."""

EVENTS = (CONTINUED, GROWN, SHRUNK, SPLIT, MERGED, BORN, DIED)


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes
    ----------
    matched : pl.DataFrame
        first, second (topic numbers), name_first, name_second, size_first, size_second, n_shared, similarity.
    events : pl.DataFrame
        event (one of `EVENTS`), first, second, name_first, name_second, size_first, size_second, n_shared: what became
        of every topic, by event; a topic that is split from another, or merged into another, has both.
    only_first, only_second : pl.DataFrame
        topic, size, name of topics that died and that were born: no topic of the other run has half of them.
    moves : pl.DataFrame
        first, second, n: documents by their topic in the first and in the second run, if these do not match; largest n
        first. -1 means no topic. A topic without a counterpart matches none of the other run's topics.
    n_shared, n_moved : int
        Documents in both runs, and how many of them moved.
    n_only_first, n_only_second : int
        Documents in only one run.
    """

    matched: pl.DataFrame
    events: pl.DataFrame
    only_first: pl.DataFrame
    only_second: pl.DataFrame
    moves: pl.DataFrame
    n_shared: int
    n_moved: int
    n_only_first: int
    n_only_second: int


@dataclass(frozen=True)
class MatchedRuns:
    """The topics of two runs matched: both tables of topics, the documents in both runs, and how topics match.

    Attributes
    ----------
    topics : tuple of two pl.DataFrame
        topics.parquet of each run; topics have the places of their rows in `matching`, `old` and `new`.
    n_documents : tuple of two int
        Documents of each run.
    both : pl.DataFrame
        doc_id, topic, topic_second of the documents in both runs.
    old, new : ndarray of shape (n_both,), int32
        Place of each document's topic in the tables, -1 for none.
    matching : Matching
        The first run's topics are the old ones. Sizes are those in the tables, with the documents of only one run.
    """

    topics: tuple[pl.DataFrame, pl.DataFrame]
    n_documents: tuple[int, int]
    both: pl.DataFrame
    old: LabelArray
    new: LabelArray
    matching: Matching


def match_runs(first: RunRecord, second: RunRecord) -> MatchedRuns:
    """Return the topics of two runs, matched by the documents that both have and, with one encoder, by centroids.

    Raises
    ------
    DataError
        If one of them has no documents or topics, because it failed or is another kind of run.

    Notes
    -----
    Documents are matched by doc_id; this takes about 40 bytes per document.
    """
    topics = (_read(first, "topics.parquet"), _read(second, "topics.parquet"))
    documents = [_read(record, "documents.parquet", ["doc_id", "topic"]) for record in (first, second)]
    both = documents[0].join(documents[1], on="doc_id", suffix="_second")
    places = [dict(zip(table["topic"], range(table.height), strict=True)) for table in topics]
    old, new = (
        _places(both[name], place) for name, place in zip(("topic", "topic_second"), places, strict=True)
    )
    centroids = [_centroids(record, table) for record, table in zip((first, second), topics, strict=True)]
    if first.get("embedding", {}).get("encoder") != second.get("embedding", {}).get("encoder"):
        centroids = [np.empty((table.height, 0), np.float32) for table in topics]
    matching = match_topics(old, new, centroids[0], centroids[1], min_similarity=MIN_SIMILARITY)
    sizes = [table["size"].to_numpy().astype(np.int64) for table in topics]
    matching = replace(matching, old_sizes=sizes[0], new_sizes=sizes[1])
    return MatchedRuns(topics, (documents[0].height, documents[1].height), both, old, new, matching)


def compare_runs(first: RunRecord, second: RunRecord) -> Comparison:
    """Return what changed between the topics of two runs; see `match_runs`."""
    found = match_runs(first, second)
    topics, both, matching = found.topics, found.both, found.matching
    pairs = [(int(o), n) for n, o in enumerate(matching.old_of) if o >= 0]
    follows = np.append(
        np.full(topics[0].height, -2, np.int64), -1
    )  # the topic to which a topic's documents should go; noise: -1
    for one, other in pairs:
        follows[one] = other
    moved = found.new != follows[found.old]
    events = topic_events(matching)
    return Comparison(
        _matched(topics, pairs, matching.shared, matching.similarity),
        _events(topics, events),
        _left(topics[0], [each.old for each in events if each.event == DIED]),
        _left(topics[1], [each.new for each in events if each.event == BORN]),
        both.filter(moved)
        .group_by(pl.col("topic").alias("first"), pl.col("topic_second").alias("second"))
        .agg(pl.len().alias("n"))
        .sort("n", "first", "second", descending=[True, False, False]),
        both.height,
        int(moved.sum()),
        found.n_documents[0] - both.height,
        found.n_documents[1] - both.height,
    )


def _matched(
    topics: tuple[pl.DataFrame, pl.DataFrame],
    pairs: list[tuple[int, int]],
    shared: NDArray[np.int64],
    similarity: NDArray[np.float64],
) -> pl.DataFrame:
    rows = [
        (
            *(topics[side]["topic"][pair[side]] for side in (0, 1)),
            *(topics[side]["name"][pair[side]] for side in (0, 1)),
            *(topics[side]["size"][pair[side]] for side in (0, 1)),
            int(shared[pair]),
            float(similarity[pair]),
        )
        for pair in pairs
    ]
    names = (
        "first",
        "second",
        "name_first",
        "name_second",
        "size_first",
        "size_second",
        "n_shared",
        "similarity",
    )
    table = pl.DataFrame(rows, schema=names, orient="row")
    return table.sort("size_first", "first", descending=[True, False])


def _events(topics: Sequence[pl.DataFrame], events: Sequence[Event]) -> pl.DataFrame:
    """Return what became of every topic, in the order of `EVENTS`, the largest first."""
    rows = []
    for each in events:
        absent: dict[str, Any] = {"topic": None, "name": None, "size": None}
        old, new = (
            absent if row < 0 else table.row(row, named=True)
            for table, row in zip(topics, (each.old, each.new), strict=True)
        )
        event = each.event
        if event == CONTINUED:
            event = growth(old["size"], new["size"]) or CONTINUED
        rows.append(
            (event, *(side[key] for key in ("topic", "name", "size") for side in (old, new)), each.n_shared)
        )
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "event": pl.Enum(EVENTS), "first": pl.Int64, "second": pl.Int64, "name_first": pl.String,
        "name_second": pl.String, "size_first": pl.Int64, "size_second": pl.Int64, "n_shared": pl.Int64,
    }  # fmt: skip
    table = pl.DataFrame(rows, schema=schema, orient="row")
    largest = pl.max_horizontal("size_first", "size_second")
    return table.sort("event", largest, "first", "second", descending=[False, True, False, False])


def growth(before: int, now: int) -> str | None:
    """Return whether a topic has grown or shrunk; None if it has about as many documents as before."""
    if abs(now - before) < max(MIN_DOCUMENTS, MIN_GROWTH * before):
        return None
    return GROWN if now > before else SHRUNK


def _left(topics: pl.DataFrame, rows: list[int]) -> pl.DataFrame:
    return topics[sorted(rows)].select("topic", "size", "name")


def _places(topics: pl.Series, places: dict[int, int]) -> LabelArray:
    """Return the row of each document's topic in its run's table, -1 for no topic."""
    return topics.replace_strict(places, default=-1, return_dtype=pl.Int32).to_numpy()


def _centroids(record: RunRecord, topics: pl.DataFrame) -> FloatArray:
    """Return the topics' centroids in the order of their table; the row of noise, if there is one, is the first."""
    from safetensors.numpy import load_file

    path = whole_file(Path(record["folder"]), "model/topic_embeddings.safetensors")
    if not path.exists():
        return np.empty((topics.height, 0), np.float32)
    vectors: FloatArray = load_file(path)["topic_embeddings"]
    numbers = topics["model_topic" if "model_topic" in topics.columns else "topic"].to_numpy()
    n_topics = int(numbers.max(initial=-1)) + 1
    own: FloatArray = vectors[len(vectors) - n_topics :][numbers]
    return own


def _read(record: RunRecord, name: str, columns: list[str] | None = None) -> pl.DataFrame:
    path = whole_file(Path(record["folder"]), name)
    if not path.exists():
        msg = (
            f"compare: {called(record)} has no {name} (flow {flow_of(record)}, "
            f"{record.get('state')}); name two completed runs with topics"
        )
        raise DataError(msg)
    return pl.read_parquet(path, columns=columns)
