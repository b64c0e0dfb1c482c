"""Service: the name of an index, an operation and its values -> the JSON of the answer; the same for HTTP and for MCP.

Searches run in threads, so that the event loop only moves bytes. The number of requests that wait is limited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pydantic_core
from pydantic import ValidationError

from topicflow.flows.search_server.answers import IndexSummary
from topicflow.flows.search_server.figures import Figures
from topicflow.flows.search_server.library import Library, Served
from topicflow.flows.search_server.operations import OPERATIONS, Operation
from topicflow.flows.search_server.refusals import Refusal, invalid, refusal_of, unexpected
from topicflow.flows.search_server.requests import Request

MOST_AT_WORK = 1_000
"""Requests that wait or are at work; a further one is refused at once, so that the others keep their time."""

TIMEOUT_S = 60.0
"""Seconds until a request without a result fails."""

N_THREADS = 16
"""Threads that search. Most of them wait for the thread of the encoder, which takes all their queries together."""


class Service:
    """The operations on the served indexes.

    Parameters
    ----------
    library : Library
        The served indexes.
    """

    def __init__(self, library: Library) -> None:
        self.library, self.figures = library, Figures(library)
        self._threads = ThreadPoolExecutor(N_THREADS, thread_name_prefix="search")
        self._n_at_work = 0

    async def answer(self, index: str, name: str, asked: Request | Mapping[str, Any]) -> bytes:
        """Return the JSON of an operation's answer.

        Raises
        ------
        Refusal
            If there is none, for any reason.
        """
        began, outcome = time.perf_counter(), "ok"
        operation = OPERATIONS[name]
        try:
            return await self._run(lambda: self._answer(index, operation, asked))
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            outcome = "cancelled"
            raise
        except BaseException as error:  # a panic of native code is no Exception
            refused = refusal_of(error) or unexpected(error, f"{index}/{name}")
            outcome = refused.code
            raise refused from error
        finally:
            self.figures.count(index, name, outcome, time.perf_counter() - began)

    def _answer(self, index: str, operation: Operation, asked: Request | Mapping[str, Any]) -> bytes:
        opened = self.library.opened(index)
        if not isinstance(asked, Request):
            try:
                asked = operation.request.model_validate(asked)
            except ValidationError as error:
                raise invalid(error.errors(include_url=False)) from None
        found = operation.do(opened, asked)
        return to_json({"index": index, "run": opened.run, **found})

    async def _run(self, work: Callable[[], bytes]) -> bytes:
        """Return the result of a function that runs in a thread."""
        if self._n_at_work >= MOST_AT_WORK:
            msg = f"{MOST_AT_WORK:,} requests wait already; try again in a second"
            raise Refusal(503, "busy", msg)
        self._n_at_work += 1
        self.figures.at_work.set(self._n_at_work)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._n_at_work -= 1
            self.figures.at_work.set(self._n_at_work)

    def summaries(self) -> bytes:
        """Return the JSON of the list of indexes."""
        return to_json({"indexes": [_summary(served) for served in self.library.served.values()]})

    def health(self) -> bytes:
        """Return the JSON of the server's health."""
        stale = any(served.problem for served in self.library.served.values())
        return to_json({"status": "stale" if stale else "ok"})

    def close(self) -> None:
        """End the threads; searches that have not begun are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def to_json(value: Any) -> bytes:  # noqa: ANN401  (an answer)
    """Return JSON; numbers that JSON does not have are null, and types that it does not have are texts."""
    return pydantic_core.to_json(value, inf_nan_mode="null", bytes_mode="base64", serialize_unknown=True)


def _summary(served: Served) -> dict[str, Any]:
    now = served.now
    documents = now.index.documents
    summary = IndexSummary(
        name=served.name,
        run=now.run,
        n_documents=len(now.index),
        n_topics=None if now.topics is None else now.topics.height,
        dim=now.index.vectors.dim,
        has_words=bool(now.index.files.meta["lexical"]),
        encodes=now.encodes,
        columns={name: str(dtype) for name, dtype in documents.schema.items()},
        opened=now.opened.isoformat(timespec="seconds"),
        problem=served.problem,
    )
    return summary.model_dump()
