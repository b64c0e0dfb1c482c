"""HTTP: the routes of the search server, and their description in OpenAPI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from topicflow.flows.running.watching import say_line
from topicflow.flows.search_server import requests
from topicflow.flows.search_server.answers import ErrorAnswer, Health, Indexes
from topicflow.flows.search_server.mcp_api import McpEndpoint
from topicflow.flows.search_server.operations import OPERATIONS, Operation
from topicflow.flows.search_server.refusals import Refusal, invalid
from topicflow.flows.search_server.service import Service

POLL_S = 2.0
"""Seconds between two looks for newer states of the indexes."""

ABOUT = "Search indexes of topicflow, read-only: documents by meaning and words, similar documents, topics."

ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}}


def http_app(service: Service, mcp: McpEndpoint) -> FastAPI:
    """Return the application with all routes; it looks for newer states of the indexes as long as it runs."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with mcp.running():
            looking = asyncio.create_task(_look(service))
            yield
            looking.cancel()
            service.close()

    app = FastAPI(
        title="topicflow search", version=version("topicflow"), description=ABOUT, lifespan=lifespan,
        docs_url=None, redoc_url=None, responses=ERRORS,  # both pages load scripts from the network
    )  # fmt: skip
    _add_fixed_routes(app, service)
    for operation in OPERATIONS.values():
        app.add_api_route(
            f"/indexes/{{index}}/{operation.path}", _endpoint(service, operation), methods=["POST"],
            name=operation.name, summary=operation.about, response_model=operation.answer, tags=["search"],
        )  # fmt: skip
    app.router.routes.append(Route("/mcp", mcp, methods=["POST"], include_in_schema=False))
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Refusal, _refused)
    return app


def _add_fixed_routes(app: FastAPI, service: Service) -> None:
    @app.get("/health", response_model=Health, tags=["server"])
    async def health() -> Response:
        """Return whether the server answers; this needs no token."""
        return _json(service.health())

    @app.get("/indexes", response_model=Indexes, tags=["search"])
    async def indexes() -> Response:
        """List the indexes, with the columns that conditions may use."""
        return _json(service.summaries())

    @app.get("/metrics", tags=["server"])
    async def metrics() -> Response:
        """Return figures in Prometheus' text format."""
        return Response(service.figures.text(), media_type="text/plain; version=1.0.0; charset=utf-8")


def _endpoint(service: Service, operation: Operation) -> Callable[..., Awaitable[Response]]:
    """Return the function that answers the requests of an operation; FastAPI reads its annotations."""

    async def endpoint(index: str, asked: requests.Request) -> Response:
        return _json(await service.answer(index, operation.name, asked))

    endpoint.__annotations__ = {"index": str, "asked": operation.request, "return": Response}
    return endpoint


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def _look(service: Service) -> None:
    """Look for newer states of the indexes until this is cancelled; opening one runs in a thread."""
    while True:
        await asyncio.sleep(POLL_S)
        for line in await asyncio.to_thread(service.library.look):
            say_line(line)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return Response(error.json(), error.status, error.headers, media_type="application/json")


async def _invalid_request(asked: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if not asked.headers.get("content-type", "").lower().startswith("application/json"):
        msg = "request: expected JSON; send the header Content-Type: application/json, as curl --json does"
        return await _refused(asked, Refusal(415, "invalid", msg))
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        said = f"request: not JSON, {first['ctx']['error']} at character {first['loc'][-1]}"
        return await _refused(asked, Refusal(400, "invalid", said))
    return await _refused(asked, invalid(error.errors()))


async def _no_route(asked: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        msg = f"no path {asked.url.path[:100]}; GET /openapi.json describes all"
        return await _refused(asked, Refusal(404, "unknown_path", msg))
    if error.status_code == 405:
        msg = f"{asked.url.path[:100]} does not take {asked.method}; GET /openapi.json describes all"
        return await _refused(asked, Refusal(405, "wrong_method", msg))
    return await _refused(asked, Refusal(error.status_code, "invalid", f"request: {error.detail}"))
