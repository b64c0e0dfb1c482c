"""MCP: the operations as tools for language models, on the same port.

Each request stands alone (no sessions, no streams), so that a new state of an index or a restart cuts nobody off.
"""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from topicflow.flows.search_server.guard import MOST_BODY_BYTES, Receive, Scope, Send
from topicflow.flows.search_server.operations import OPERATIONS, Operation
from topicflow.flows.search_server.refusals import Refusal
from topicflow.flows.search_server.service import Service

INSTRUCTIONS = (
    "Search collections of documents by meaning and by words. Call indexes first: it lists the collections with the "
    "columns for conditions. Set max_chars to keep answers short, and document to read one document whole."
)

LIST = "indexes"
"""The tool that lists the indexes."""


class McpEndpoint:
    """The endpoint of MCP, an ASGI application.

    Parameters
    ----------
    service : Service
        Answers the calls.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        server: Server[Any] = Server(
            "topicflow", version=version("topicflow"), instructions=INSTRUCTIONS,
            on_list_tools=self._tools, on_call_tool=self._call,
        )  # fmt: skip
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=MOST_BODY_BYTES
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._manager.handle_request(scope, receive, send)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return the context in which requests can be answered; it can be entered once."""
        return self._manager.run()

    async def _tools(self, _context: object, _params: object) -> types.ListToolsResult:
        names = list(self._service.library.served)
        listed = types.Tool(
            name=LIST, description="List the indexes, with the columns that conditions may use.",
            input_schema={"type": "object", "properties": {}, "additionalProperties": False}, annotations=READ_ONLY,
        )  # fmt: skip
        return types.ListToolsResult(tools=[listed, *(_tool(each, names) for each in OPERATIONS.values())])

    async def _call(self, _context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Return what a tool found, or its error, which the model can read and mend."""
        try:
            body = await self._answer(params.name, dict(params.arguments or {}))
        except Refusal as refused:
            content = types.TextContent(type="text", text=refused.message)
            return types.CallToolResult(content=[content], is_error=True)
        content = types.TextContent(type="text", text=body.decode())
        return types.CallToolResult(content=[content], structured_content=json.loads(body))

    async def _answer(self, name: str, arguments: dict[str, Any]) -> bytes:
        if name == LIST:
            return self._service.summaries()
        if name not in OPERATIONS:
            raise Refusal(
                404, "unknown_tool", f"no tool {name[:100]!r}; there are: {', '.join([LIST, *OPERATIONS])}"
            )
        names = list(self._service.library.served)
        index = arguments.pop("index", names[0] if len(names) == 1 else None)
        if not isinstance(index, str):
            raise Refusal(400, "invalid", f"index={index!r}, expected one of: {', '.join(names)}")
        return await self._service.answer(index, name, arguments)


READ_ONLY = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)


def _tool(operation: Operation, names: list[str]) -> types.Tool:
    """Return the description of an operation's tool; the index need not be named if there is only one."""
    schema = operation.request.model_json_schema()
    index = {"type": "string", "enum": names, "description": "Name of the index."}
    if len(names) == 1:
        index["default"] = names[0]
    else:
        schema["required"] = ["index", *schema.get("required", [])]
    schema["properties"] = {"index": index, **schema["properties"]}
    return types.Tool(
        name=operation.name, description=operation.about, input_schema=schema, annotations=READ_ONLY
    )
