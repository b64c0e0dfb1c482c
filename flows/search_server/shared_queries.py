"""Shared queries: encoders that are loaded once for all indexes, and that encode concurrent queries together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.search.queries import QueryEncoder, open_queries
from topicflow.tasks.store.artifact_store import ArtifactStore, canonical_json

Encoded = tuple[NDArray[np.float32], NDArray[np.bool_]]

MOST_TOGETHER = 32
"""Queries that are encoded in one call; more of them do not make a query cheaper."""


class _Waiting:
    """Queries of one thread, and what became of them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        self.encoded: Encoded | None = None
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.encoded is not None or self.error is not None

    def result(self) -> Encoded:
        if self.error is not None:
            raise self.error
        assert self.encoded is not None
        return self.encoded


@dataclass(frozen=True)
class BatchedQueries(QueryEncoder):
    """An encoder of queries for many threads.

    The thread whose turn it is encodes the queries of all threads that wait for theirs. So nothing waits for a batch
    to fill, and the more threads ask, the larger the batches are.

    Attributes
    ----------
    turn : threading.Lock
        One for each loaded encoder: indexes with other prompts or adapters may share it.
    """

    turn: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)
    _queue: list[_Waiting] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, queries: QueryEncoder, turn: threading.Lock) -> BatchedQueries:
        """Return a loaded encoder as one that encodes the queries of several threads together."""
        own = {each.name: getattr(queries, each.name) for each in fields(QueryEncoder)}
        return cls(**own, turn=turn)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return unit vectors (n, dim) and whether each text (n,) is longer than the encoder reads."""
        mine = _Waiting(texts)
        self._queue.append(mine)  # lists are safe for threads: appending is one step
        with self.turn:
            while not mine.is_done:
                self._encode_next()
        return mine.result()

    def _encode_next(self) -> None:
        """Encode the queries that have waited longest; only one thread at a time is here."""
        batch = self._queue[:MOST_TOGETHER]
        del self._queue[: len(batch)]
        try:
            encoded = super().encode([text for each in batch for text in each.texts])
        except Exception as error:  # noqa: BLE001  (each thread raises its own)
            if len(batch) == 1:
                batch[0].error = error
                return
            for each in batch:  # one text must not fail the others
                self._encode_alone(each)
            return
        start = 0
        for each in batch:
            end = start + len(each.texts)
            each.encoded = encoded[0][start:end], encoded[1][start:end]
            start = end

    def _encode_alone(self, waiting: _Waiting) -> None:
        try:
            waiting.encoded = super().encode(waiting.texts)
        except Exception as error:  # noqa: BLE001
            waiting.error = error


class SharedQueries:
    """The encoders of all indexes; each model is loaded once."""

    def __init__(self) -> None:
        self._load = lru_cache(maxsize=None)(load_encoder)
        self._turns: dict[int, threading.Lock] = {}  # by the id of an encoder, which `_load` keeps
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
            turn = self._turns.setdefault(id(queries.encoder), threading.Lock())
            self._open[key] = BatchedQueries.of(queries, turn)
        return self._open[key]
