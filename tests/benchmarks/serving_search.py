"""The search server under load: queries a second and latencies of a real process; prints JSON.

    python -m tests.benchmarks.serving_search --scratch DIR [--seconds 10] [--clients 1 8 200] [--beside CHECKOUT]

An index of 100,000 arXiv titles (all-MiniLM-L6-v2 in int8) is made once in the scratch folder and served by
`topicflow serve --search`. Each client keeps one connection and asks its next query when the last answer has arrived,
for the given seconds after a warm-up; queries are titles that are not in the index, each asked once, k is 10.
Latencies are seen by the clients, which run in another process on the same machine. Processor seconds are those of
the server. An answer that is not a 200 with a list of hits counts as an error; by words
the list may be empty. With `--beside` a server of another checkout
serves the same index at the same time, and both are asked in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl

from tests.benchmarks.corpora import CORPORA, DATA
from tests.benchmarks.peer import machine
from tests.search_servers import RunningServer, search_server
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish.index import publish_index
from topicflow.tasks.runs.records import RunId
from topicflow.tasks.search.build_stage import index
from topicflow.tasks.store.artifact_store import open_store

CORPUS, K, WARM_UP_S = "arxiv_100k", 10, 2.0

WAYS: dict[str, dict[str, Any]] = {
    "by words": {"mode": "bm25"},
    "by meaning": {"mode": "dense"},
    "by both": {"mode": "hybrid"},
    "by both, a condition that half of them fulfil": {"mode": "hybrid", "where": "length(text) > 60"},
}


def make_index(scratch: Path, n_documents: int) -> None:
    """Make the index in the scratch folder, unless it is there."""
    if (scratch / "runs").exists():
        return
    config = BuildIndexConfig(
        load={**CORPORA[CORPUS].load_config(scratch).model_dump(), "limit": n_documents},
        embed={"precision": "int8"},
        runtime={"store": str(scratch / "store"), "runs": str(scratch / "runs"), "device": "cpu"},
    )
    store = open_store(config.runtime)
    context = Context(store, config.seed, config.runtime)
    documents = load.fn(context, config.load)
    embeddings = embed.fn(context, documents, config.embed)
    made = index.fn(context, documents, embeddings, config, None, None)
    stages = {"load": documents, "embed": embeddings, "index": made}
    publish_index.fn(store, config, stages, RunId.new(config.name))


def queries() -> list[str]:
    """Return titles that are not in the index."""
    titles = pl.read_parquet(DATA / "arxiv_titles.parquet", columns=["title"])["title"]
    rows = np.random.default_rng(0).permutation(len(titles))[100_000:200_000]
    return titles.gather(rows).to_list()


Seen = tuple[float, float, bool]
"""When a client asked, how long it waited, and whether the answer was right."""


async def one_client(port: int, values: dict[str, Any], asked: Iterator[str], until: float) -> list[Seen]:
    """Return what one client saw."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    while (began := time.perf_counter()) < until:
        body = json.dumps({"query": next(asked), "k": K, **values}).encode()
        head = (
            "POST /indexes/search/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        status = await reader.readuntil(b"\r\n\r\n")
        length = int(status.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        good = status.startswith(b"HTTP/1.1 200 ") and b'"hits"' in answer
        found.append((began, time.perf_counter() - began, good))
    writer.close()
    return found


@dataclass(frozen=True)
class Load:
    """What clients ask: other values beside the query, how many clients, for how long, and their queries."""

    values: dict[str, Any]
    n_clients: int
    seconds: float
    queries: Sequence[str]


def load_server(port: int, load: Load, answer: Any) -> None:
    """Send what the clients saw: a process of its own, so that clients and server do not share an interpreter."""
    asked, start = itertools.cycle(load.queries), time.perf_counter()

    async def all_clients() -> list[list[Seen]]:
        until = start + WARM_UP_S + load.seconds
        return await asyncio.gather(
            *(one_client(port, load.values, asked, until) for _ in range(load.n_clients))
        )

    seen = [each for client in asyncio.run(all_clients()) for each in client]
    answer.send([(took, good) for began, took, good in seen if began >= start + WARM_UP_S])


def measure(server: RunningServer, load: Load) -> dict[str, Any]:
    """Return queries a second and latencies of one kind of queries and a number of clients."""
    there, here = multiprocessing.Pipe()
    forking = multiprocessing.get_context("fork")  # the child uses no library with threads
    clients = forking.Process(target=load_server, args=(server.port, load, here))
    before, n_before = processor_s(server), n_answered(server)
    clients.start()
    seen = there.recv()
    clients.join()
    took = np.array([each[0] for each in seen])
    spent, n_all = processor_s(server) - before, n_answered(server) - n_before
    return {
        "clients": load.n_clients,
        "queries": len(seen),
        "errors": sum(not good for _, good in seen),
        "queries_per_s": round(len(seen) / load.seconds, 1),
        "p50_ms": round(float(np.quantile(took, 0.5)) * 1000, 1),
        "p99_ms": round(float(np.quantile(took, 0.99)) * 1000, 1),
        "server_processor_ms_per_query": round(spent / n_all * 1000, 2),
    }


def figure(server: RunningServer, name: str) -> float:
    """Return the sum of a figure of the server."""
    lines = httpx.get(f"{server.address}/metrics", timeout=60).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def processor_s(server: RunningServer) -> float:
    """Return the processor seconds of the server until now."""
    return figure(server, "process_cpu_seconds_total")


def n_answered(server: RunningServer) -> int:
    """Return the number of searches that the server has answered."""
    return int(figure(server, "topicflow_search_requests_total"))


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 200])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--beside", type=Path)
    given = parser.parse_args()
    make_index(given.scratch, given.documents)
    asked, servers = queries(), {}
    with contextlib.ExitStack() as running:
        for name, checkout in {"ours": None, "beside": given.beside}.items():
            if name == "ours" or checkout is not None:
                began = time.perf_counter()
                places = {} if checkout is None else {"PYTHONPATH": str(checkout)}
                server = running.enter_context(search_server(given.scratch, **places))
                servers[name] = server, round(time.perf_counter() - began, 1)
        measured: dict[str, dict[str, list[Any]]] = {
            name: {way: [] for way in given.ways} for name in servers
        }
        for way, n in itertools.product(given.ways, given.clients):
            for name, (server, _) in servers.items():
                measured[name][way].append(measure(server, Load(WAYS[way], n, given.seconds, asked)))
        for name, (server, start_s) in servers.items():
            memory = figure(server, "process_resident_memory_bytes")
            measured[name] |= {"start_s": start_s, "memory_bytes": memory}  # type: ignore[dict-item]
    print(json.dumps({**machine(), "documents": given.documents, **measured}, indent=2))


if __name__ == "__main__":
    main()
