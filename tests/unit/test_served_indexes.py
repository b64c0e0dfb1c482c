"""Served indexes: newer states replace older ones, damaged ones do not; one encoder for all; the address and token."""

import asyncio
import shutil
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import Outcome
from tests.fakes import HashEncoder
from tests.indexes import build, documents_table
from topicflow.flows.search_server import library, serve, shared_queries
from topicflow.flows.search_server.library import Library
from topicflow.flows.search_server.shared_queries import BatchedQueries, EncodingThread, SharedQueries
from topicflow.tasks.errors import ConfigError, StageError
from topicflow.tasks.runs.records import point_latest
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.queries import QueryEncoder
from topicflow.tasks.store.artifact_store import ArtifactStore

TABLE = documents_table(30)
VECTORS = np.array(TABLE["vector"].to_list(), np.float32)
NAME = "search"


@pytest.fixture
def index(tmp_path: Path) -> SearchIndex:
    """An index of precomputed vectors."""
    return build(tmp_path, TABLE)


def add(index: SearchIndex, doc_id: str) -> str:
    """Return the id of the run that adds a document."""
    index.add([{"doc_id": doc_id, "text": "red", "bucket": 1, "kind": "odd"}], VECTORS[:1])
    assert index.record is not None
    return str(index.record["run_id"])


# --- newer states ---


def test_a_newer_state_replaces_the_open_one_and_whoever_has_the_old_one_keeps_it(
    tmp_path: Path, index: SearchIndex
) -> None:
    served = Library(tmp_path / "runs", [])
    old = served.opened(NAME)
    assert served.look() == []
    newer = add(index, "new")
    (line,) = served.look()
    assert (
        line
        == f"{NAME}: 31 documents, run {newer}; takes vectors and words, since it has no encoder for queries"
    )
    assert (served.opened(NAME).run, len(served.opened(NAME).index)) == (newer, 31)
    assert [hit.doc_id for hit in old.index.search(VECTORS[0], 30)].count("new") == 0
    assert served.look() == []


def test_a_run_that_is_named_by_its_id_stays(tmp_path: Path, index: SearchIndex) -> None:
    assert index.record is not None
    served = Library(tmp_path / "runs", [str(index.record["run_id"])])
    add(index, "new")
    assert served.look() == []
    assert len(served.opened(NAME).index) == 30


def test_a_damaged_latest_is_refused_until_it_is_mended(
    tmp_path: Path, index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Library(tmp_path / "runs", [NAME])
    before = served.opened(NAME).run
    newer = add(index, "new")
    part = index.files.path("documents/part-00001.arrow")
    whole = part.read_bytes()
    part.write_bytes(whole[:-8] + b"\0" * 8)
    (line,) = served.look()
    assert line.startswith(f"warning: {NAME}: index: ")
    assert line.endswith(f"run {before} is still served")
    assert "is damaged" in str(served.served[NAME].problem)
    assert len(served.opened(NAME).index.search(VECTORS[0], 40)) == 30
    assert served.look() == []
    part.write_bytes(whole)
    assert served.look() == []  # its files are not read again at each look
    monkeypatch.setattr(library, "RETRY_S", 0.0)
    served.served[NAME]._retry_at = 0.0
    assert [line.partition(",")[0] for line in served.look()] == [f"{NAME}: 31 documents"]
    assert (served.opened(NAME).run, served.served[NAME].problem) == (newer, None)


def test_a_fault_of_ours_in_opening_a_newer_state_is_one_line(
    tmp_path: Path, index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Library(tmp_path / "runs", [NAME])
    before = served.opened(NAME).run
    add(index, "new")

    def fail(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(library.IndexFiles, "open", fail)
    assert served.look() == [f"warning: {NAME}: 'a fault'; run {before} is still served"]
    assert served.look() == []


def test_an_index_that_is_deleted_is_served_on(tmp_path: Path, index: SearchIndex) -> None:
    served = Library(tmp_path / "runs", [NAME])
    kept = served.opened(NAME)
    wanted = [hit.doc_id for hit in kept.index.search(VECTORS[3], 5, where="kind = 'odd'")]
    (tmp_path / "runs").rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "store")
    (line,) = served.look()
    assert line.endswith(f"run {kept.run} is still served")
    assert [
        hit.doc_id for hit in served.opened(NAME).index.search(VECTORS[3], 5, where="kind = 'odd'")
    ] == wanted
    assert served.opened(NAME).index.search("red", 5, mode="bm25")
    (tmp_path / "moved").rename(tmp_path / "runs")
    assert served.look() == [f"{NAME}: run {kept.run} is the newest again"]


def test_latest_may_move_back(tmp_path: Path, index: SearchIndex) -> None:
    served = Library(tmp_path / "runs", [NAME])
    first = served.opened(NAME).run
    add(index, "new")
    served.look()
    point_latest(tmp_path / "runs" / NAME, first)
    assert [line.partition(",")[0] for line in served.look()] == [f"{NAME}: 30 documents"]
    assert served.opened(NAME).run == first


def test_one_name_is_served_once(tmp_path: Path, index: SearchIndex) -> None:
    with pytest.raises(
        ConfigError, match=f"^--index {NAME}/latest: another --index names the index {NAME} too"
    ):
        Library(tmp_path / "runs", [NAME, f"{NAME}/latest"])
    with pytest.raises(ConfigError, match="no run other"):
        Library(tmp_path / "runs", ["other"])


# --- encoders ---


class Slow(HashEncoder):
    """An encoder whose calls wait until all threads have asked; it fails at the text `bad`."""

    def __init__(self, n_threads: int) -> None:
        super().__init__()
        self.n_threads, self.thread = n_threads, EncodingThread()

    def encode_queries(self, texts: Any, prompt: str | None = None) -> Any:
        while len(self.calls) == 0 and self.thread.asked.qsize() < self.n_threads - len(texts):
            threading.Event().wait(0.001)
        if "bad" in texts:
            self.calls.append(list(texts))
            raise ConfigError("a bad text")
        return self.encode(texts)


def queries_of(encoder: Slow, store: ArtifactStore) -> BatchedQueries:
    return BatchedQueries.of(QueryEncoder(store, None, encoder, None, 3, 16), encoder.thread)


def test_queries_of_several_threads_are_encoded_together(store: ArtifactStore) -> None:
    texts = [f"word{number} and others too" if number % 3 else f"word{number}" for number in range(40)]
    encoder = Slow(40)
    queries = queries_of(encoder, store)
    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda text: queries.encode([text]), texts))
    for text, (vectors, is_cut) in zip(texts, found, strict=True):
        assert vectors.tolist() == HashEncoder().encode([text])[0].tolist()
        assert is_cut.tolist() == [len(text.split()) > 3]
    sizes = [len(call) for call in encoder.calls]
    assert (sum(sizes), max(sizes), len(sizes) <= 4) == (40, 32, True)


def test_a_text_that_fails_does_not_fail_the_others(store: ArtifactStore) -> None:
    queries = queries_of(Slow(8), store)

    def ask(text: str) -> str:
        try:
            return str(queries.encode([text])[0].shape)
        except ConfigError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, ["a", "b", "bad", "c", "d", "bad", "e", "f"]))
    assert found == [
        ("(1, 16)", "a bad text")[text == "bad"] for text in ["a", "b", "bad", "c", "d", "bad", "e", "f"]
    ]


def test_indexes_share_one_encoder_and_its_thread(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    load = shared_queries.load_encoder
    monkeypatch.setattr(shared_queries, "load_encoder", lambda *given: loaded.append(given) or load(*given))
    metas, shared = [], SharedQueries()
    for prompt in (None, "query: "):
        (folder := tmp_path / str(prompt)[:4]).mkdir()
        made = build(
            folder, TABLE.drop("vector"), {"model": str(tiny), "precision": "float32"}, query_prompt=prompt
        )
        metas.append((made.store, made.files.meta))
    first, second = (shared.of(*each) for each in metas)
    assert len(loaded) == 1
    assert first.encoder is second.encoder
    assert first.thread is second.thread
    assert (first.prompt, second.prompt) == (None, "query: ")
    assert shared.of(*metas[0]) is first


# --- address and token ---


def test_an_address_that_others_reach_needs_a_token(
    tmp_path: Path, run_here: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("0.0.0.0", "::"):
        refused = run_here("serve", "--search", "--host", host, "--runs", tmp_path)
        assert refused.code == 2
        assert refused.err.startswith(
            f"error: --host {host}: other machines can reach this address and no token is "
        )
    monkeypatch.setenv("SEARCH_TOKEN", "")
    options = ("--host", "0.0.0.0", "--token-env", "SEARCH_TOKEN", "--runs", tmp_path)
    refused = run_here("serve", "--search", *options)
    assert (refused.code, refused.err) == (
        2, "error: --token-env SEARCH_TOKEN: this environment variable is not set; set it to a long random text\n",
    )  # fmt: skip
    monkeypatch.setenv("SEARCH_TOKEN", "two words")
    with pytest.raises(
        ConfigError, match=r"^--token-env SEARCH_TOKEN: its value cannot be sent in a header"
    ) as error:
        serve.read_token("SEARCH_TOKEN")
    assert "two words" not in str(error.value)
    with pytest.raises(ConfigError, match=r"^--host nowhere\.invalid: no such address"):
        serve._bind("nowhere.invalid", 0, has_token=True)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    taken, is_local = serve._bind("localhost", 0, has_token=False)
    with taken:
        assert is_local
        port = taken.getsockname()[1]
        with pytest.raises(StageError, match=rf"^serve: 127\.0\.0\.1:{port} cannot be used \(address"):
            serve._bind("127.0.0.1", port, has_token=False)


def test_answers_are_not_held_back() -> None:
    """Without TCP_NODELAY each answer on a kept connection takes 40 ms longer: findings/asyncio_socket_delay.sh."""
    found = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        found.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask() -> None:
        bound, _ = serve._bind("127.0.0.1", 0, has_token=False)
        async with await asyncio.start_server(answer, sock=bound):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            assert await reader.read() == b""
            writer.close()

    asyncio.run(ask())
    assert found == [1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--port", "1", "--index", "a"],
            "serve: only --search has --index, --port; add --search or leave them out",
        ),
        (
            ["serve.toml", "--search"],
            "serve: --search takes no file of schedules, found serve.toml; start a second ",
        ),
        (
            ["--search", "--runs", "nowhere", "--port", "0"],
            "nowhere: no published run of build_index; make one with ",
        ),
    ],
)
def test_wrong_arguments(run_here: Callable[..., Outcome], arguments: list[str], said: str) -> None:
    refused = run_here("serve", *arguments)
    assert refused.code == 2
    assert refused.err.startswith(f"error: {said}")
