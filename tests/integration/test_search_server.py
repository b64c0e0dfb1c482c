"""`topicflow serve --search` as a real process: many clients, MCP's own client, newer states, signals, kills."""

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.search_servers import N, RunningServer, index_with_topics, search_server
from topicflow.tasks.search.index import SearchIndex

PATH = "indexes/search/search"
TOKEN = "t0ken-for-tests"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of an index."""
    made = tmp_path_factory.mktemp("served")
    index_with_topics(made)
    return made


async def ask_often(
    address: str, n_clients: int, n_each: int, stop: threading.Event | None = None
) -> list[Any]:
    """Return status, run and number of hits of every answer to clients that ask at once over their own connections."""
    answers = []
    limits = httpx.Limits(max_connections=n_clients, max_keepalive_connections=n_clients)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:

        async def ask(number: int) -> None:
            for turn in range(n_each):
                answer = await client.post(
                    f"{address}/{PATH}", json={"query": f"red tea {number} {turn}", "k": 3}
                )
                answers.append(
                    (answer.status_code, answer.json().get("run"), len(answer.json().get("hits", ())))
                )
                if stop is not None:
                    await asyncio.sleep(
                        0.02
                    )  # the processors are for the server, which reads the newer state
                    if stop.is_set():
                        return

        await asyncio.gather(*(ask(number) for number in range(n_clients)))
    return answers


async def use_mcp(url: str, mode: str, headers: dict[str, str] | None = None) -> Any:
    """Return the names of the tools and what a search and a wrong one give, by MCP's own client."""
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        found = await client.call_tool("search", {"query": "red", "k": 2})
        wrong = await client.call_tool("search", {"query": "red", "where": "kid = 1"})
        return tools, found, wrong


def test_a_kill_and_a_new_start_many_clients_a_newer_state_and_a_stop(folder: Path) -> None:
    headers, arguments = {"Authorization": f"Bearer {TOKEN}"}, ("--token-env", "SEARCH_TOKEN")
    with search_server(folder, *arguments, SEARCH_TOKEN=TOKEN) as server:
        port = server.port
        for mode in ("auto", "legacy"):
            tools, found, wrong = asyncio.run(use_mcp(f"{server.address}/mcp", mode, headers))
            assert tools[0] == "indexes"
            assert len(found.structured_content["hits"]) == 2
            assert (found.is_error, wrong.is_error) == (False, True)
        assert server.post(PATH, query="red").status_code == 401
        server.process.kill()
        server.process.wait()
    with search_server(folder, "--port", port) as server:
        answers = asyncio.run(ask_often(server.address, 200, 1))
        assert (len(answers), {(status, n_hits) for status, _, n_hits in answers}) == (200, {(200, 3)})
        _leave_in_the_middle(port)
        answers, newest = _answers_during_a_newer_state(server, folder)
        assert {status for status, _, _ in answers} == {200}
        assert server.post(PATH, query="red", k=1).json()["run"] == newest
        assert _codes_during_a_stop(server) <= {200, 0}
    assert not [line for line in server.lines if TOKEN in line]
    assert [line[10:].split(",")[0] for line in server.lines] == [
        "search: 60 documents", f"HTTP: {server.address}", "serving; Ctrl-C or SIGTERM stops",
        "search: 61 documents", "stopped",
    ]  # fmt: skip


def _leave_in_the_middle(port: int) -> None:
    """Send the beginnings of requests and go, and something that is no HTTP."""
    for number in range(50):
        with socket.create_connection(("127.0.0.1", port)) as gone:
            head = f"POST /{PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            gone.sendall(f"{head}Content-Length: 16\r\n\r\n".encode() + b'{"query": "red"}'[: number % 17])
    with socket.create_connection(("127.0.0.1", port)) as odd:
        odd.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        assert odd.recv(100).startswith(b"HTTP/1.1 400 ")


def _answers_during_a_newer_state(server: RunningServer, folder: Path) -> tuple[list[Any], str]:
    """Return the answers to clients that ask until a newer state is served, and the id of its run."""
    index, stop = SearchIndex.open(folder / "runs/search/latest"), threading.Event()

    def renew() -> None:
        index.add([{"doc_id": "new", "text": "red tea", "bucket": 1, "kind": "odd"}])
        for _ in range(600):
            if any(f"{N + 1} documents" in line for line in server.lines):
                break
            stop.wait(0.1)
        stop.set()

    renewing = threading.Thread(target=renew)
    renewing.start()
    answers = asyncio.run(ask_often(server.address, 4, 1_000_000, stop))
    renewing.join()
    assert index.record is not None
    return answers, str(index.record["run_id"])


def _codes_during_a_stop(server: RunningServer) -> set[int]:
    """Return the answers' codes to clients that ask when the server stops; 0 if it takes no more connections."""
    codes = set[int]()

    def ask() -> None:
        try:
            codes.add(server.post(PATH, query="red").status_code)
        except httpx.ConnectError:
            codes.add(0)

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for each in asking:
        each.start()
    assert server.stop() == 0
    for each in asking:
        each.join()
    return codes
