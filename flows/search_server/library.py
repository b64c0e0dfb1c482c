"""Library: the served indexes, each open in its newest published state; a newer state replaces it in one step."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.flows.search_server.refusals import Refusal
from topicflow.flows.search_server.shared_queries import SharedQueries
from topicflow.tasks.discovery.recommend import Items
from topicflow.tasks.errors import ConfigError, first_line
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.search.locate import find_index, index_key, open_record

RETRY_S = 30.0
"""Seconds until a state that could not be opened is tried again: reading its files costs as much as opening them."""


@dataclass(frozen=True)
class Opened:
    """One state of an index, opened completely: a search reads no file that is not open already.

    Attributes
    ----------
    index : SearchIndex
        The open index.
    run : str
        The id of its run.
    encodes : bool
        Whether it has an encoder for queries.
    alive : ndarray of shape (n,), bool
        Which documents are not removed.
    labels : ndarray of shape (n,), int32, or None
        The topic of each document; None if the index has no topics.
    centroids : ndarray of shape (n_topics, dim), float32, or None
        The topics' unit vectors.
    topics : pl.DataFrame or None
        The table of topics, in order of their numbers.
    opened : datetime
        When it was opened.
    """

    index: SearchIndex
    run: str
    encodes: bool
    alive: NDArray[np.bool_]
    labels: NDArray[np.int32] | None
    centroids: NDArray[np.float32] | None
    topics: pl.DataFrame | None
    opened: datetime

    @classmethod
    def of(cls, record: RunRecord, queries: SharedQueries) -> Opened:
        """Return the index of a run after reading everything; raise PipelineError if it cannot be opened."""
        store, key, _ = open_record(record)
        files = IndexFiles.open(store, key)
        encoder = None
        if not _is_without_encoder(files.meta):
            encoder = queries.of(store, files.meta)
        index = SearchIndex(files, record, encoder)
        labels = centroids = topics = None
        if files.meta["topics"] is not None:
            labels, centroids = files.topics()
            topics = files.topic_table().sort("topic")
        _answer_once(index, encodes=encoder is not None)
        return cls(
            index, str(record["run_id"]), encoder is not None, ~files.removed(), labels, centroids, topics,
            datetime.now(UTC),
        )  # fmt: skip

    @cached_property
    def items(self) -> Items:
        """What recommending needs to know of the documents; read at the first use."""
        return Items.of(self.index)


def _is_without_encoder(meta: dict[str, Any]) -> bool:
    """Return whether an index's vectors are precomputed and no model is set for queries: it takes vectors only."""
    return meta["embed"]["method"] == "precomputed" and meta["space"]["query_model"] is None


def _answer_once(index: SearchIndex, *, encodes: bool) -> None:
    """Answer one query in every way: opens the tables, the words and the graph, and compiles what is compiled."""
    index.filtered("doc_id is null")  # it reads the documents with their topics
    if not len(index):
        return
    index.search(index.vectors.gather(np.array([0]))[0], k=1)
    if encodes:
        index.search("first query", k=1)
    if index.files.meta["lexical"]:
        index.search("first query", k=1, mode="bm25")


class Served:
    """An index by its name, with the state that answers now.

    Parameters
    ----------
    runs : Path
        The folder of runs.
    wanted : str
        How the user names the run.
    queries : SharedQueries
        The encoders of all indexes.

    Attributes
    ----------
    now : Opened
        The state that answers.
    problem : str or None
        Why the newest state is not the one that answers.
    """

    def __init__(self, runs: Path, wanted: str | None, queries: SharedQueries) -> None:
        record = find_index(runs, wanted)
        self.name = str(record["name"])
        self._runs, self._wanted, self._queries = runs, wanted or self.name, queries
        self.now = Opened.of(record, queries)
        self.problem: str | None = None
        self._seen = self._tried = _state_of(record)
        self._retry_at = 0.0

    def look(self) -> str | None:
        """Open the newest state if there is a newer one; return a line about what has changed, None if nothing has.

        A state that cannot be opened is not used, and is tried again later, since it may be mended.
        """
        before, changed = self.problem, None
        try:
            record = find_index(self._runs, self._wanted)
            if (state := _state_of(record)) == self._seen:
                self.problem = None
            elif state != self._tried or time.monotonic() >= self._retry_at:
                self._tried = state
                self.now, self._seen, self.problem = Opened.of(record, self._queries), state, None
                changed = f"{self.name}: {self.said()}"
        except Exception as error:  # noqa: BLE001  (whatever is wrong with a newer state, the open one is served on)
            self.problem = first_line(error)
            self._retry_at = time.monotonic() + RETRY_S
        if changed is not None or self.problem == before:
            return changed
        if self.problem is None:
            return f"{self.name}: run {self.now.run} is the newest again"
        return f"warning: {self.name}: {self.problem}; run {self.now.run} is still served"

    def said(self) -> str:
        """Return a line about the state that answers."""
        topics = "" if self.now.topics is None else f", {self.now.topics.height:,} topics"
        only = "" if self.now.encodes else "; takes vectors and words, since it has no encoder for queries"
        return f"{len(self.now.index):,} documents{topics}, run {self.now.run}{only}"


def _state_of(record: RunRecord) -> tuple[str, str]:
    return str(record["run_id"]), index_key(record)


class Library:
    """The served indexes.

    Parameters
    ----------
    runs : Path
        The folder of runs.
    wanted : sequence of str
        How the user names the runs; the newest index if empty.

    Raises
    ------
    ConfigError
        If there is no such index, or two have the same name.
    ArtifactError
        If one of them cannot be opened.
    """

    def __init__(self, runs: Path, wanted: Sequence[str]) -> None:
        queries = SharedQueries()
        self.served: dict[str, Served] = {}
        names: Sequence[str | None] = wanted or [None]
        for each in names:
            served = Served(runs, each, queries)
            if served.name in self.served:
                msg = (
                    f"--index {each}: another --index names the index {served.name} too; name each index once"
                )
                raise ConfigError(msg)
            self.served[served.name] = served

    def opened(self, name: str) -> Opened:
        """Return the state of an index that answers now; raise Refusal if there is no such index."""
        if (found := self.served.get(name)) is not None:
            return found.now
        shown = name[:100]
        near = difflib.get_close_matches(shown, self.served, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.served)}"
        raise Refusal(404, "unknown_index", f"no index {shown!r}; {hint}")

    def look(self) -> list[str]:
        """Open newer states of the indexes; return a line about each that is new or cannot be opened."""
        return [line for served in self.served.values() if (line := served.look()) is not None]
