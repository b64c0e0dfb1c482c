#!/usr/bin/env bash
# Guess, written down first: a tool of an MCP server receives the text that its client sends, whether its parameter is
# `str` or `str | None`. The schema of both says that a string is fine.
#
# Seen: a parameter `str | None` receives None for the text `null`, without an error, and the texts `[1998]` and `{}`
# are refused as a list and a dict. So a search for the word "null" lists everything. A parameter `str` gets the text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0 pydantic==2.14.3
"$work/venv/bin/python" - <<'PYTHON'
import asyncio
import logging
import sys
from importlib.metadata import version

from mcp import Client
from mcp.server import MCPServer

print("mcp", version("mcp"), "pydantic", version("pydantic"))
server = MCPServer("findings")
logging.disable(logging.CRITICAL)


@server.tool()
def optional(query: str | None = None) -> str:
    return repr(query)


@server.tool()
def required(query: str) -> str:
    return repr(query)


async def answers() -> dict[str, tuple[str, str]]:
    async with Client(server) as client:
        found = {}
        for text in ("red", "12", "null", "[1998]", "{}"):
            called = [await client.call_tool(tool, {"query": text}) for tool in ("required", "optional")]
            found[text] = tuple("an error" if each.is_error else each.content[0].text for each in called)
        return found


seen = asyncio.run(answers())
print("expected: both tools receive each text as it is")
for text, (required_got, optional_got) in seen.items():
    print(f"  sent {text!r:9} `str` received {required_got:9} `str | None` received {optional_got}")
plain = all(seen[text][0] == repr(text) for text in seen)
surprising = plain and seen["null"][1] == "None" and seen["[1998]"][1] == seen["{}"][1] == "an error"
print("as recorded" if surprising else "CHANGED: look at findings/README.md")
sys.exit(0 if surprising else 1)
PYTHON
