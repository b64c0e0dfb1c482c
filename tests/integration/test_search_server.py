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
    """Return status and run of every answer to clients that ask at once, each over its own connection."""
    answers = []

    async def ask(number: int) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            for turn in range(n_each):
                answer = await client.post(
                    f"{address}/{PATH}", json={"query": f"red tea {number} {turn}", "k": 3}
                )
                answers.append(
                    (answer.status_code, answer.json().get("run"), len(answer.json().get("hits", ())))
                )
                if stop is not None and stop.is_set():
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


def test_two_hundred_clients_a_newer_state_and_no_failed_request(folder: Path) -> None:
    with search_server(folder) as server:
        lines = list(server.lines)
        answers = asyncio.run(ask_often(server.address, 200, 2))
        assert {(status, n_hits) for status, _, n_hits in answers} == {(200, 3)}
        assert len(answers) == 400
        index, stop = SearchIndex.open(folder / "runs/search/latest"), threading.Event()

        def renew() -> None:
            index.add([{"doc_id": "new", "text": "red tea", "bucket": 1, "kind": "odd"}])
            wait_for_line(server, f"{N + 1} documents")
            stop.set()

        renewing = threading.Thread(target=renew)
        renewing.start()
        answers = asyncio.run(ask_often(server.address, 20, 1_000_000, stop))
        renewing.join()
        assert {status for status, _, _ in answers} == {200}
        assert len({run for _, run, _ in answers}) >= 1
        latest = server.post(PATH, query="red", k=1).json()["run"]
        assert index.record is not None
        assert latest == index.record["run_id"]
        assert server.stop() == 0
    assert [line[10:].split(",")[0] for line in lines] == [
        "search: 60 documents", f"HTTP: {server.address}", "serving; Ctrl-C or SIGTERM stops",
    ]  # fmt: skip
    assert [line[10:].split(",")[0] for line in server.lines[3:]] == ["search: 61 documents", "stopped"]


def wait_for_line(server: RunningServer, text: str) -> None:
    for _ in range(600):
        if any(text in line for line in server.lines):
            return
        threading.Event().wait(0.1)
    raise AssertionError(server.lines)


def test_mcp_a_kill_a_new_start_clients_that_leave_and_a_stop(folder: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    arguments = ("--token-env", "SEARCH_TOKEN")
    with search_server(folder, *arguments, SEARCH_TOKEN=TOKEN) as server:
        port = server.port
        assert not [line for line in server.lines if TOKEN in line]
        for mode in ("auto", "legacy"):
            tools, found, wrong = asyncio.run(use_mcp(f"{server.address}/mcp", mode, headers))
            assert tools[0] == "indexes"
            assert len(found.structured_content["hits"]) == 2
            assert (found.is_error, wrong.is_error) == (False, True)
        assert server.post(PATH, query="red").status_code == 401
        server.process.kill()
        server.process.wait()
    with search_server(folder, *arguments, "--port", port, SEARCH_TOKEN=TOKEN) as server:
        for number in range(50):  # clients that leave in the middle
            with socket.create_connection(("127.0.0.1", port)) as gone:
                body = b'{"query": "red"}'[: number % 16]
                gone.sendall(
                    f"POST /{PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: 16\r\n\r\n".encode()
                    + body
                )
        with socket.create_connection(("127.0.0.1", port)) as odd:
            odd.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            assert odd.recv(100).startswith(b"HTTP/1.1 400 ")
        assert server.post(PATH, headers, query="red", k=2).status_code == 200
        waiting = [threading.Thread(target=lambda: codes.append(ask(server, headers))) for _ in range(8)]
        codes: list[int] = []
        for each in waiting:
            each.start()
        assert server.stop() == 0
        for each in waiting:
            each.join()
        assert set(codes) <= {200, 0}
    assert [line[10:].split(",")[0] for line in server.lines[3:]] == ["stopped"]


def ask(server: RunningServer, headers: dict[str, str]) -> int:
    """Return the status of an answer, 0 if the server accepts no connection any more."""
    try:
        return server.post(PATH, headers, query="red").status_code
    except httpx.ConnectError:
        return 0
