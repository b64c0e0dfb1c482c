"""Sender: texts -> vectors, with several requests at a time; the vectors are stored as they arrive."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.api.batches import Batches, Done
from topicflow.tasks.errors import DataError, StageError
from topicflow.tasks.servers.pace import StoppedError

COMMIT_S = 1.0
"""Seconds between two commits: a kill loses the answers since the last one, and the running requests."""

COMMIT_TEXTS = 16_384
"""Approximate maximum number of texts in a commit."""

Keep = Callable[[NDArray[np.int64], NDArray[np.float32], NDArray[np.int32]], None]
"""Takes rows (n,), vectors (n, dim) and token counts (n,) of texts, negative if a text was cut."""


def send_all(batches: Batches, n_threads: int, keep: Keep) -> None:
    """Call `keep` with the vectors of all texts, in any order, from this thread.

    Parameters
    ----------
    batches : Batches
        The texts and the server.
    n_threads : int
        Number of requests at the same time.
    keep : callable
        Stores vectors permanently.

    Raises
    ------
    DataError
        If the server gives no vector for some texts. All other vectors are kept.
    StageError
        If the server fails, or the maximum number of requests is reached. All vectors so far are kept.
    """
    answers: queue.SimpleQueue[Done | BaseException | None] = queue.SimpleQueue()
    stopped = batches.client.pace.stopped
    stopped.clear()
    kept = _Kept(keep)
    with ThreadPoolExecutor(n_threads, "embed") as pool:
        for _ in range(n_threads):
            pool.submit(_work, batches, answers)
        try:
            error = _keep_all(batches, answers, n_threads, kept)
        finally:
            stopped.set()
    if isinstance(error, StageError):
        raise type(error)(f"{error}; {kept.n_texts:,} texts were embedded before and are kept") from error
    if error is not None:
        raise error
    if batches.failed:
        raise _refused(batches)


class _Kept:
    """Stores the answers of about a second together: each commit is a folder in the store."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._waiting: list[Done] = []
        self._last = -np.inf
        self.n_texts = 0

    @property
    def timeout_s(self) -> float | None:
        """Seconds until the next commit; None if nothing waits for it."""
        return max(0.0, self._last + COMMIT_S - time.monotonic()) if self._waiting else None

    def add(self, done: Done) -> None:
        """Add vectors."""
        if done.rows:
            self._waiting.append(done)

    def commit(self, *, due_only: bool) -> None:
        """Store the waiting vectors; with `due_only` only if the last commit was a second ago, or many wait."""
        n_texts = sum(len(done.rows) for done in self._waiting)
        if not n_texts or (due_only and (self.timeout_s or 0.0) > 0.0 and n_texts < COMMIT_TEXTS):
            return
        rows = np.concatenate([np.array(done.rows, np.int64) for done in self._waiting])
        n_tokens = np.concatenate([np.array(done.n_tokens, np.int32) for done in self._waiting])
        self._keep(rows, np.concatenate([done.vectors for done in self._waiting]), n_tokens)
        self._waiting, self._last = [], time.monotonic()
        self.n_texts += n_texts


def _keep_all(
    batches: Batches, answers: queue.SimpleQueue[Done | BaseException | None], n_threads: int, kept: _Kept
) -> BaseException | None:
    """Store the answers of the threads until all have ended; return the first error of a thread."""
    n_ended, error = 0, None
    try:
        while n_ended < n_threads:
            try:
                found = answers.get(timeout=kept.timeout_s)
            except queue.Empty:
                kept.commit(due_only=True)
                continue
            if isinstance(found, Done):
                kept.add(found)
                kept.commit(due_only=True)
                continue
            n_ended += 1
            if found is not None:
                error = error or found
                batches.client.pace.stopped.set()  # the other threads end after their request; its answer is kept
    finally:
        kept.commit(due_only=False)
    return error


def _work(batches: Batches, answers: queue.SimpleQueue[Done | BaseException | None]) -> None:
    """Embed batches until none is left; put the error, or None, at the end."""
    error: BaseException | None = None
    try:
        while not batches.client.pace.stopped.is_set() and (rows := batches.take()):
            batches.embed(rows, answers.put)
    except StoppedError:
        pass
    except BaseException as found:  # noqa: BLE001  (raised in the waiting thread)
        error = found
    answers.put(error)


def _refused(batches: Batches) -> DataError:
    """Return the error with the texts that have no vector."""
    row, why = batches.failed[0]
    return DataError(
        f"embed: {batches.client.endpoint.url} gives no vector for {len(batches.failed):,} of {len(batches.texts):,} "
        f"texts, the first is {batches.texts[row][:60]!r} ({why}); the vectors of the others are kept: correct these "
        "texts or leave them out"
    )
