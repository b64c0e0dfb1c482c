"""Hypothetical answers: a passage of a language model moves a query as computed by hand; a fault leaves it alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.chat_server import ChatServer
from tests.embedding_server import CutError, error
from tests.indexes import build, index_config, run
from tests.unit.test_feedback import rarity_of
from topicflow.configs.sections.index import HypotheticalConfig
from topicflow.flows.search_server.operations import search
from topicflow.flows.search_server.refusals import refusal_of
from topicflow.flows.search_server.requests import SearchRequest
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.scoring.hypothetical import VECTOR_SHARE, WORD_SHARE, mixed_vector, mixed_words
from topicflow.tasks.search.scoring.passage_writer import KEPT, PassageWriter
from topicflow.tasks.servers import pace

TEXTS = [
    "car automobile wheel",
    "automobile museum",
    "bread butter",
    "butter milk",
    "milk bread",
    "road bread",
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a hundredth as long between tries."""
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.005)


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    """A language model; each test sets what it says."""
    with ChatServer() as served:
        yield served


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny: Path, server: ChatServer) -> Path:
    """The folder of the run of an index that names the model."""
    folder = tmp_path_factory.mktemp("cars")
    table = pl.DataFrame({"id": [f"d{row}" for row in range(len(TEXTS))], "text": TEXTS})
    table.write_parquet(folder / "documents.parquet")
    section = HypotheticalConfig(
        url=server.url, model="m", corpus="manuals", language="English", max_words=20
    )
    config = index_config(folder, {"model": str(tiny), "precision": "float32"})
    run(config.model_copy(update={"hypothetical": section}))
    return folder / "runs" / config.name / "latest"


@pytest.fixture
def index(made: Path, server: ChatServer) -> SearchIndex:
    """The index, opened again: it remembers no passages."""
    server.bodies.clear()
    server.say = lambda *_: "A museum of automobile engines."
    return SearchIndex.open(made)


def test_vectors_and_words_are_mixed_as_computed_by_hand() -> None:
    mixed = mixed_vector(np.array([1, 0], np.float32), np.array([0, 1], np.float32))
    expected = np.array([1, VECTOR_SHARE])
    np.testing.assert_allclose(mixed, expected / np.linalg.norm(expected), rtol=1e-6)
    words = mixed_words({"car": 1.0, "unknown": 1.0}, ["wheel", "the", "unheard"], rarity_of)
    wheel, the = 2.0 / 3, 0.1 / 3
    assert words == pytest.approx(
        {
            "car": 1 - WORD_SHARE, "unknown": 1 - WORD_SHARE, "unheard": 0.0,
            "wheel": WORD_SHARE * wheel / (wheel + the), "the": WORD_SHARE * the / (wheel + the),
        }
    )  # fmt: skip
    assert mixed_words({"car": 1.0}, [], rarity_of) == {"car": 1.0}


def test_the_words_and_the_vector_of_the_passage_find_documents(
    index: SearchIndex, server: ChatServer
) -> None:
    assert {hit.doc_id for hit in index.search("car", mode="bm25")} == {"d0"}
    found = index.search("car", mode="bm25", expand="hypothetical")
    assert [hit.doc_id for hit in found] == ["d0", "d1"]
    assert found.note == ""
    body = server.bodies[0]
    assert "response_format" not in body
    assert "at most 20 words" in body["messages"][0]["content"]
    assert "in English" in body["messages"][0]["content"]
    assert body["messages"][1] == {"role": "user", "content": "car"}
    passage = index.queries.encode_documents(["A museum of automobile engines."])[0]
    expected = index.search(mixed_vector(index.encode("car"), passage), len(index), mode="dense")
    dense = index.search("car", len(index), mode="dense", expand="hypothetical")
    assert [hit.doc_id for hit in dense] == [hit.doc_id for hit in expected]
    assert [hit.score for hit in dense] == pytest.approx([hit.score for hit in expected], abs=1e-5)


def test_pages_of_one_query_ask_once_and_nothing_is_sent_unless_a_search_asks(
    index: SearchIndex, server: ChatServer
) -> None:
    whole = index.search("car road", 6, expand="hypothetical")
    assert index.search("car road", 2, offset=3, expand="hypothetical") == whole[3:5]
    assert len(server.bodies) == 1
    index.search("car road")
    index.search("car road", expand="feedback")
    assert len(server.bodies) == 1
    index.search("bread", expand="hypothetical")
    assert len(server.bodies) == 2
    assert not [entry for entry in index.store.entries() if entry.kind == "answers"]  # no query is written


def cut(*_: object) -> Any:
    raise CutError


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (lambda *_: error(503, "overloaded"), "does not answer"),
        (lambda *_: error(500, "broken"), "500: broken"),
        (lambda *_: error(400, "context length exceeded"), "400: context length exceeded"),
        (lambda *_: error(402, "insufficient_quota"), "no credit left"),
        (cut, "does not answer"),
        (lambda *_: "<think>a car is a", "the model's answer is empty"),
        (lambda *_: "so.", "the model's answer is empty"),
    ],
)
def test_a_fault_leaves_the_query_alone_and_is_said(
    index: SearchIndex, server: ChatServer, says: Any, why: str
) -> None:
    server.say = says
    found = index.search("car road", 6, expand="hypothetical")
    assert found == index.search("car road", 6)
    assert found.note.startswith("no hypothetical answer (")
    assert why in found.note
    assert found.note.endswith("; the query alone was searched")
    server.say = lambda *_: "A museum of automobile engines."
    assert index.search("car road", 6, expand="hypothetical").note == ""  # a fault is not remembered


def test_what_a_user_must_mend_is_an_error(
    tmp_path: Path, made: Path, index: SearchIndex, tiny: Path, server: ChatServer
) -> None:
    server.models = ["other"]
    try:
        with pytest.raises(ConfigError, match=r"^hypothetical: http\S+ has no model 'm'") as caught:
            index.search("car", expand="hypothetical")
    finally:
        server.models = None
    refused = refusal_of(caught.value)
    assert refused is not None
    assert (refused.status, refused.code) == (503, "unavailable")  # a client of a server cannot mend it
    with pytest.raises(ConfigError, match="expand 'hypothetical' reads texts and the query is a vector"):
        index.search(index.encode("car"), expand="hypothetical")
    table = pl.DataFrame({"id": ["d0"], "text": ["car"]})
    plain = build(tmp_path, table, {"model": str(tiny), "precision": "float32"})
    with pytest.raises(ConfigError, match=r"needs a language model; add a section \[hypothetical\]"):
        plain.search("car", expand="hypothetical")
    unnamed = SearchIndex(plain.files)  # an artifact's folder has no config
    with pytest.raises(ConfigError, match="needs a language model"):
        unnamed.search("car", expand="hypothetical")


def test_the_server_answers_with_it_and_says_why_not(index: SearchIndex, server: ChatServer) -> None:
    class Opened:
        def __init__(self) -> None:
            self.index = index

    asked = SearchRequest(query="car", mode="bm25", expand="hypothetical")
    found = search(Opened(), asked)  # type: ignore[arg-type]
    assert ([hit.doc_id for hit in found["hits"]], found["note"]) == (["d0", "d1"], "")
    server.say = lambda *_: error(500, "broken")
    other = search(Opened(), asked.model_copy(update={"query": "car wheel"}))  # type: ignore[arg-type]
    assert "500: broken" in other["note"]


def test_added_documents_keep_the_model_and_its_passages(index: SearchIndex, server: ChatServer) -> None:
    index.search("car", expand="hypothetical")
    index.add([{"doc_id": "new", "text": "museum engines"}])
    found = index.search("car", mode="bm25", expand="hypothetical")
    assert "new" in [hit.doc_id for hit in found]
    assert len(server.bodies) == 1
    assert index.record is not None
    again = SearchIndex.open(index.record["folder"])
    assert "new" in [hit.doc_id for hit in again.search("car", mode="bm25", expand="hypothetical")]


def test_long_answers_are_cut_and_few_passages_are_kept(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topicflow.tasks.search.scoring.passage_writer.KEPT", 2)
    assert KEPT > 2
    server.bodies.clear()
    server.say = lambda *_: "word " * 100
    writer = PassageWriter(HypotheticalConfig(url=server.url, model="m", max_words=5))
    assert writer.write("a") == (" ".join(["word"] * 10), "")
    for query in ("a", "b", "c", "c", "a"):
        writer.write(query)
    assert [body["messages"][1]["content"] for body in server.bodies] == ["a", "b", "c", "a"]
