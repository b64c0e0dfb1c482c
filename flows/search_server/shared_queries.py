"""Shared queries: encoders that are loaded once for all indexes, and that encode concurrent queries together.

Each loaded encoder has a thread that encodes what waits for it. The threads that search wait for their vectors only: if
they took turns at the encoder instead, each turn could wait for the interpreter as long as its switch interval.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.search.queries import QueryEncoder, open_queries
from topicflow.tasks.store.artifact_store import ArtifactStore, canonical_json

Encoded = tuple[NDArray[np.float32], NDArray[np.bool_]]

MOST_TOGETHER = 32
"""Queries that are encoded in one call. All that wait are sorted by length before: an encoder computes texts of one
length together, and of 200 titles a call has about six of each."""


class Turns:
    """Whoever computes has a turn, and gives it back while waiting for an encoder.

    So many searches may wait for an encoder together, which makes them cheaper, and few compute. Who has waited longest
    is the next: a semaphore of the standard library takes any.

    Parameters
    ----------
    n : int
        Turns at the same time.
    """

    def __init__(self, n: int) -> None:
        self._free, self._waiting = n, deque[threading.Event]()
        self._lock, self._own = threading.Lock(), threading.local()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Have a turn in this block."""
        self._take()
        self._own.has = True
        try:
            yield
        finally:
            self._own.has = False
            self._give()

    @contextlib.contextmanager
    def given_back(self) -> Iterator[None]:
        """Have none in this block, if this thread has one."""
        if not getattr(self._own, "has", False):
            yield
            return
        self._give()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def _give(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


@dataclass(frozen=True)
class _Asked:
    """Queries of one thread, who encodes them, and where their vectors will be."""

    queries: QueryEncoder
    texts: list[str]
    found: Future[Encoded] = field(default_factory=Future)


class EncodingThread:
    """The thread of one loaded encoder; indexes with other prompts or adapters may share it."""

    def __init__(self, turns: Turns | None = None) -> None:
        self.asked: SimpleQueue[_Asked] = SimpleQueue()
        self._turns = turns or Turns(1)
        threading.Thread(target=self._work, name="encode", daemon=True).start()

    def encode(self, queries: QueryEncoder, texts: Sequence[str]) -> Encoded:
        """Return what an encoder of queries gives for some texts."""
        asked = _Asked(queries, list(texts))
        self.asked.put(asked)
        with self._turns.given_back():
            return asked.found.result()

    def _work(self) -> None:
        while True:
            waiting = [self.asked.get()]
            with contextlib.suppress(Empty):
                while True:
                    waiting.append(self.asked.get_nowait())
            for queries in {id(each.queries): each.queries for each in waiting}.values():
                own = sorted((each for each in waiting if each.queries is queries), key=_length)
                for batch in batched(own, MOST_TOGETHER):
                    _encode_together(queries, batch)


def _length(asked: _Asked) -> int:
    return sum(map(len, asked.texts))


def batched(asked: Sequence[_Asked], size: int) -> Iterator[Sequence[_Asked]]:
    """Yield parts of at most `size`."""
    for start in range(0, len(asked), size):
        yield asked[start : start + size]


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
        self.turns = Turns(max(2, n_cores()))
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
                self._threads[id(queries.encoder)] = EncodingThread(self.turns)
            self._open[key] = BatchedQueries.of(queries, self._threads[id(queries.encoder)])
        return self._open[key]
