"""Shared queries: encoders that are loaded once for all indexes, and that encode concurrent queries together.

Each loaded encoder has a thread that encodes what waits for it. The threads that search wait for their vectors only: if
they took turns at the encoder instead, each turn could wait for the interpreter as long as its switch interval.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.search.queries import QueryEncoder, open_queries
from topicflow.tasks.store.artifact_store import ArtifactStore, canonical_json

Encoded = tuple[NDArray[np.float32], NDArray[np.bool_]]

MOST_TOGETHER = 32
"""Queries that are encoded in one call; more of them do not make a query cheaper."""


@dataclass(frozen=True)
class _Asked:
    """Queries of one thread, who encodes them, and where their vectors will be."""

    queries: QueryEncoder
    texts: list[str]
    found: Future[Encoded] = field(default_factory=Future)


class EncodingThread:
    """The thread of one loaded encoder; indexes with other prompts or adapters may share it."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[_Asked] = SimpleQueue()
        threading.Thread(target=self._work, name="encode", daemon=True).start()

    def encode(self, queries: QueryEncoder, texts: Sequence[str]) -> Encoded:
        """Return what an encoder of queries gives for some texts."""
        asked = _Asked(queries, list(texts))
        self.asked.put(asked)
        return asked.found.result()

    def _work(self) -> None:
        while True:
            batch = [self.asked.get()]
            try:
                while len(batch) < MOST_TOGETHER:
                    batch.append(self.asked.get_nowait())
            except Empty:
                pass
            for queries in {id(each.queries): each.queries for each in batch}.values():
                _encode_together(queries, [each for each in batch if each.queries is queries])


def _encode_together(queries: QueryEncoder, batch: Sequence[_Asked]) -> None:
    """Encode the queries of several threads; one that fails does not fail the others."""
    try:
        vectors, is_cut = queries.encode([text for each in batch for text in each.texts])
    except BaseException as error:  # noqa: BLE001  (the thread that asked raises it)
        if len(batch) == 1:
            batch[0].found.set_exception(error)
        else:
            for each in batch:
                _encode_together(queries, [each])
        return
    start = 0
    for each in batch:
        end = start + len(each.texts)
        each.found.set_result((vectors[start:end], is_cut[start:end]))
        start = end


@dataclass(frozen=True)
class BatchedQueries(QueryEncoder):
    """An encoder of queries for many threads: it encodes the queries that wait together.

    Nothing waits for a batch to fill, and the more threads ask, the larger the batches are.

    Attributes
    ----------
    alone : QueryEncoder
        The encoder.
    thread : EncodingThread
        Where it encodes.
    """

    alone: QueryEncoder = field(kw_only=True)
    thread: EncodingThread = field(kw_only=True)

    @classmethod
    def of(cls, queries: QueryEncoder, thread: EncodingThread) -> BatchedQueries:
        """Return a loaded encoder as one that encodes the queries of several threads together."""
        own = {each.name: getattr(queries, each.name) for each in fields(QueryEncoder)}
        return cls(**own, alone=queries, thread=thread)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return unit vectors (n, dim) and whether each text (n,) is longer than the encoder reads."""
        return self.thread.encode(self.alone, texts)


class SharedQueries:
    """The encoders of all indexes; each model is loaded once."""

    def __init__(self) -> None:
        self._load = lru_cache(maxsize=None)(load_encoder)
        self._threads: dict[int, EncodingThread] = {}  # by the id of an encoder, which `_load` keeps
        self._open: dict[bytes, BatchedQueries] = {}

    def of(self, store: ArtifactStore, meta: dict[str, Any]) -> BatchedQueries:
        """Return the encoder of an index's queries, which indexes with the same space share.

        Raises
        ------
        ConfigError
            If the index has no encoder for queries, or the model found here has another space.
        """
        key = canonical_json([store.location, meta["space"], meta["embed"]])
        if key not in self._open:
            queries = open_queries(store, meta, load=self._load)
            if id(queries.encoder) not in self._threads:
                self._threads[id(queries.encoder)] = EncodingThread()
            self._open[key] = BatchedQueries.of(queries, self._threads[id(queries.encoder)])
        return self._open[key]
