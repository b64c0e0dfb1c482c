"""The search server in this process: what each operation answers, what is refused and how, figures, MCP."""

import inspect
import json
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

import topicflow as tf
from tests.search_servers import TABLE, N, index_with_topics
from tests.unit.test_index_topics import TOPICS
from topicflow.flows.commands.search import HowToSearch, IndexOptions, Limits
from topicflow.flows.search_server import guard, service
from topicflow.flows.search_server.guard import Guard
from topicflow.flows.search_server.http_api import http_app
from topicflow.flows.search_server.library import Library
from topicflow.flows.search_server.mcp_api import McpEndpoint
from topicflow.flows.search_server.operations import OPERATIONS
from topicflow.flows.search_server.requests import SearchRequest
from topicflow.flows.search_server.service import Service, to_json
from topicflow.tasks.search.index import SearchIndex

NAME = "search"
SEARCH = f"/indexes/{NAME}/search"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of an index and its topics."""
    made = tmp_path_factory.mktemp("served")
    index_with_topics(made)
    return made


@pytest.fixture(scope="module")
def index(folder: Path) -> SearchIndex:
    """The same index, opened without a server."""
    return SearchIndex.open(folder / "runs" / NAME / "latest")


@pytest.fixture(scope="module")
def served(folder: Path) -> Service:
    """The service of the index."""
    return Service(Library(folder / "runs", [NAME]))


@pytest.fixture(scope="module")
def app(served: Service) -> Any:
    """The application without its guard."""
    return http_app(served, McpEndpoint(served))


@pytest.fixture(scope="module")
def client(app: Any, served: Service) -> Iterator[TestClient]:
    """A client of a server without a token."""
    guarded = Guard(app, served.figures, None)
    with TestClient(guarded, base_url="http://localhost:8765", raise_server_exceptions=False) as opened:
        yield opened


def post(client: TestClient, operation: str, **values: Any) -> Any:
    answer = client.post(f"/indexes/{NAME}/{operation}", json=values)
    assert answer.status_code == 200, answer.text
    return answer.json()


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()["error"]
    assert found["message"].count("\n") == 0
    return answer.status_code, found["code"], found["message"]


# --- what is found ---


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({}, {}),
        ({"k": 3, "offset": 2}, {"k": 3, "offset": 2}),
        ({"mode": "bm25", "where": "kind = 'odd'"}, {"mode": "bm25", "where": "kind = 'odd'"}),
        ({"ids": ["d1", "d4", "unknown"], "mode": "dense"}, {"ids": ["d1", "d4"], "mode": "dense"}),
        ({"group_by": "kind"}, {"group_by": "kind"}),
        ({"min_score": 0.05}, {"min_score": 0.05}),
        *(
            (each, each)
            for each in (
                {"expand": "feedback"},
                {"dense_weight": 0.9, "fusion_k": 2.5},
                {"mode": "bm25", "k1": 3, "b": 0.1},
                {"explain": True, "highlight": True, "k": 5},
            )
        ),
    ],
)
def test_a_search_finds_what_the_index_finds(
    client: TestClient, index: SearchIndex, values: dict[str, Any], arguments: dict[str, Any]
) -> None:
    found = post(client, "search", query="red tea horse", **values)["hits"]
    wanted = index.search("red tea horse", **arguments)
    assert [(hit["doc_id"], hit["score"], hit["topic"]) for hit in found] == [
        (hit.doc_id, hit.score, hit.topic) for hit in wanted
    ]
    assert found
    for own, theirs in zip(wanted, found, strict=True):
        shown = json.loads(to_json({"ranks": own.ranks, "highlight": own.highlight}))
        assert {name: theirs[name] for name in shown} == shown


def test_each_option_of_a_search_has_its_name_and_default_everywhere(app: Any) -> None:
    """Python, HTTP, MCP and the command line; a reranker is loaded by none of the server's clients."""
    python = inspect.signature(SearchIndex.search).parameters
    names = set(python) - {"self", "query", "rerank"}
    assert names | {"query", "vector", "max_chars"} == set(SearchRequest.model_fields)
    for name in names:
        assert SearchRequest.model_fields[name].default == python[name].default, name
    command = {
        each.name: each.default for options in (IndexOptions, HowToSearch, Limits) for each in fields(options)
    }
    for name in names | {"rerank"}:
        assert command[name] == python[name].default, name
    (tool,) = [each for each in OPERATIONS.values() if each.name == "search"]
    assert tool.request is SearchRequest
    schema = app.openapi()["components"]["schemas"]["SearchRequest"]["properties"]
    assert set(schema) == set(SearchRequest.model_fields)


def test_values_that_json_lacks_are_null_and_dates_are_texts(client: TestClient) -> None:
    answer = post(client, "document", doc_id="d3")
    (hit,) = answer["hits"]
    assert (hit["fields"]["price"], hit["fields"]["created"], hit["text"]) == (
        None,
        "2013-04-01",
        TABLE["text"][3],
    )
    assert (answer["index"], hit["topic"], hit["topic_name"]) == (NAME, 0, "reds")


def test_a_vector_is_a_query(client: TestClient, index: SearchIndex) -> None:
    vector = index.encode("blue cat")
    found = post(client, "search", vector=vector.tolist(), k=4)["hits"]
    assert [hit["doc_id"] for hit in found] == [
        hit.doc_id for hit in index.search("blue cat", 4, mode="dense")
    ]


def test_similar_documents_and_short_texts(client: TestClient, index: SearchIndex) -> None:
    found = post(client, "similar", doc_id="d7", k=5, max_chars=4)["hits"]
    assert [hit["doc_id"] for hit in found] == [hit.doc_id for hit in index.similar("d7", 5)]
    assert {len(hit["text"]) for hit in found} == {5}


def test_recommendations_are_those_of_python(client: TestClient, index: SearchIndex) -> None:
    asked = {
        "liked": ["d1", "d4", "unknown"],
        "disliked": ["d7"],
        "k": 4,
        "where": "kind = 'odd'",
        "diversity": 0.2,
    }
    found = post(client, "recommend", **asked, max_chars=3)["hits"]
    wanted = tf.recommend(index, **asked)
    assert [(hit["doc_id"], hit["score"], hit["interest"], hit["because"]) for hit in found] == [
        (each.hit.doc_id, each.hit.score, each.interest, each.because) for each in wanted
    ]
    assert found
    assert {len(hit["text"]) for hit in found} == {4}
    called = rpc(client, "tools/call", name="recommend", arguments={"liked": ["d1"], "k": 2})
    assert [hit["doc_id"] for hit in called["structuredContent"]["hits"]] == [
        each.hit.doc_id for each in tf.recommend(index, ["d1"], k=2)
    ]


def test_topics_are_listed_and_found(client: TestClient, index: SearchIndex) -> None:
    everything = post(client, "topics")
    assert [(each["topic"], each["name"], each["score"]) for each in everything["topics"]] == [
        (0, "reds", None), (1, "teas", None), (2, "cats", None),
    ]  # fmt: skip
    assert post(client, "topics", k=1, offset=2)["topics"] == everything["topics"][2:]
    found = post(client, "topics", query="red", k=2)
    assert [(each["topic"], each["score"]) for each in found["topics"]] == [
        (each.topic, each.score) for each in index.topics("red", 2)
    ]


def test_documents_of_a_topic_are_ordered_by_their_cosine_to_its_centroid(
    client: TestClient, index: SearchIndex
) -> None:
    vectors = index.vectors.gather(np.arange(N))
    members = np.flatnonzero(TOPICS == 1)
    centroid = vectors[members].mean(axis=0)
    order = members[np.argsort(-(vectors[members] @ centroid), kind="stable")]
    found = post(client, "topic-documents", topic=1, k=N)["hits"]
    assert [hit["doc_id"] for hit in found] == [f"d{row}" for row in order]
    page = post(client, "topic-documents", topic=1, k=3, offset=2, where="kind = 'odd'")["hits"]
    assert [hit["doc_id"] for hit in page] == [f"d{row}" for row in order if row % 2][2:5]
    assert post(client, "topic-documents", topic=1, where="kind = 'none'")["hits"] == []
    assert post(client, "topic-documents", topic=1, offset=N)["hits"] == []


def test_indexes_are_listed_with_their_columns(client: TestClient) -> None:
    (summary,) = client.get("/indexes").json()["indexes"]
    assert (summary["name"], summary["n_documents"], summary["n_topics"]) == (NAME, N, 3)
    assert (summary["encodes"], summary["has_words"], summary["problem"]) == (True, True, None)
    assert summary["columns"] == {
        "doc_id": "String", "text": "String", "id": "String", "bucket": "Int64", "kind": "String", "price": "Float64",
        "created": "Date",
    }  # fmt: skip


# --- what is refused ---


@pytest.mark.parametrize(
    ("operation", "values", "said"),
    [
        ("search", {}, "request: expected either query or vector"),
        ("search", {"query": "a", "vector": [1.0]}, "request: expected either query or vector"),
        ("search", {"query": " "}, "search: the query is empty; give some words"),
        (
            "search",
            {"query": "a", "k": 100_000},
            "request: k=100000, expected at most 1,000",
        ),
        ("search", {"query": "a", "k": True}, "request: k=True, expected a whole number"),
        ("search", {"query": "a", "k": 0}, "request: k=0, expected 1 or more"),
        ("search", {"query": "a", "offset": -1}, "request: offset=-1, expected 0 or more"),
        ("search", {"query": "a", "k": 2.5}, "request: k=2.5, expected a whole number"),
        ("search", {"query": "a", "min_score": "1"}, "request: min_score='1', expected a number"),
        (
            "search",
            {"query": "a", "dense_weight": 1.5},
            "search: dense_weight=1.5, expected a number from 0 to 1",
        ),
        ("search", {"query": "a", "fusion_k": -1}, "search: fusion_k=-1, expected a number, 0 or more"),
        ("search", {"query": "a", "k1": -1}, "search: k1=-1, expected a number from 0 to 1000"),
        ("search", {"query": "a", "b": 2}, "search: b=2, expected a number from 0 to 1"),
        (
            "search",
            {"query": "a", "expand": "x"},
            "request: expand='x', expected one of none, feedback, hypothetical",
        ),
        ("search", {"query": "a", "explain": 1}, "request: explain=1, expected true or false"),
        ("search", {"query": "a", "ids": "d1"}, "request: ids='d1', expected a list"),
        ("search", {"query": "a", "where": 1}, "request: where=1, expected a text"),
        ("search", {"query": ""}, "request: query='', expected a text that is not empty"),
        (
            "search",
            {"query": "a", "highlight": True, "k": 101},
            "request: k=101, expected at most 100 with highlight",
        ),
        (
            "recommend",
            {"liked": []},
            "recommend: no document is liked; name at least one, dislikes alone do not say what to look for",
        ),
        (
            "recommend",
            {"liked": ["x"]},
            "recommend: none of the 1 liked documents is in the index; check their ids",
        ),
        (
            "recommend",
            {"liked": ["d1"], "diversity": 2},
            "recommend: diversity=2, expected a number from 0 to 1",
        ),
        (
            "search",
            {"query": "a", "mode": "x"},
            "request: mode='x', expected one of auto, dense, bm25, hybrid",
        ),
        (
            "search",
            {"query": "a", "wher": "x", "rerank": "m"},
            "request: unknown value 'wher'; remove it (and 1 more)",
        ),
        (
            "search",
            {"vector": [1.0, 2.0]},
            "search: the query's vector has 2 dimensions, the index 32: another space",
        ),
        (
            "search",
            {"query": "a" * 10_001},
            f"request: query='{'a' * 59}…, expected at most 10,000 characters",
        ),
        ("document", {}, "request: doc_id is missing"),
    ],
)
def test_a_wrong_request_gets_one_line(
    client: TestClient, operation: str, values: dict[str, Any], said: str
) -> None:
    assert error_of(client.post(f"/indexes/{NAME}/{operation}", json=values)) == (400, "invalid", said)


@pytest.mark.parametrize(
    ("operation", "values", "wanted"),
    [
        ("similar", {"doc_id": "x"}, ("unknown_document", "index: no document 'x'; ids are like 'd0'")),
        ("document", {"doc_id": "x"}, ("unknown_document", "index: no document 'x'; ids are like 'd0'")),
        ("topic-documents", {"topic": 9}, ("unknown_topic", "no topic 9; topics have numbers from 0 to 2")),
    ],
)
def test_what_is_not_there_is_named(
    client: TestClient, operation: str, values: dict[str, Any], wanted: tuple[str, str]
) -> None:
    assert error_of(client.post(f"/indexes/{NAME}/{operation}", json=values)) == (404, *wanted)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("kid = 'odd'", "kind"),
        ("kind = ", "kind ="),
        ("(" * 1500 + "kind = 'odd'" + ")" * 1500, "nested"),
        ("not " * 900 + "kind = 'odd'", None),
        ("kind = 'odd'" + " or kind = 'odd'" * 200, None),
        ("kind like '" + "%a" * 400 + "'", None),
        ("1; drop table documents", ""),
        ("kind = '\x00'", None),
    ],
)
def test_a_hostile_condition_is_answered(client: TestClient, where: str, said: str | None) -> None:
    answer = client.post(SEARCH, json={"query": "red", "where": where})
    if said is None:
        assert answer.status_code == 200, answer.text
    else:
        status, code, message = error_of(answer)
        assert (status, code) == (400, "invalid")
        assert said in message


UNREADABLE = "request: There was an error parsing the body"
NO_TEXT = r"request: '\ud800': Input should be a valid string, unable to parse raw data as a unicode string"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"query": "a", "min_score": NaN}', "request: min_score=nan, expected a number"),
        (
            b'{"vector": [Infinity, 1e999]}',
            "request: vector.0=inf, expected a number (and 1 more)",
        ),
        (
            b'{"vector": [1e300]}',
            "request: vector.0=1e+300, expected at most 1e+15",
        ),
        (b'{"query": "\\ud800"}', f"request: query={NO_TEXT.removeprefix('request: ')}"),
        (b'{"query": "a", "\\ud800": 1}', NO_TEXT),
        (b'{"query": "a"', "request: not JSON, Expecting ',' delimiter at character 13"),
        (b"[" * 100_000, UNREADABLE),
        (b'{"k": ' + b"9" * 5000 + b"}", UNREADABLE),
        (b'{"query": "\xff"}', UNREADABLE),
        (b"", "request: the body is empty; send a JSON object"),
        (b"[1]", "request: [1]: Input should be a valid dictionary or object to extract fields from"),
    ],
)
def test_a_hostile_body_gets_one_line(client: TestClient, body: bytes, said: str) -> None:
    assert error_of(client.post(SEARCH, content=body, headers=JSON)) == (400, "invalid", said)


def test_a_body_that_is_too_large_or_no_json(client: TestClient) -> None:
    too_large = (413, "too_large", "the body exceeds 1,048,576 bytes; ask for less at once")
    large = b'{"query": "' + b"a" * guard.MOST_BODY_BYTES + b'"}'
    assert error_of(client.post(SEARCH, content=large, headers=JSON)) == too_large
    pieces = (b"x" * 100_000 for _ in range(11))  # their whole length is not declared
    assert error_of(client.post(SEARCH, content=pieces, headers=JSON)) == too_large
    said = "request: expected JSON; send the header Content-Type: application/json, as curl --json does"
    assert error_of(client.post(SEARCH, data={"query": "a"})) == (415, "invalid", said)


def test_unknown_paths_methods_and_indexes(client: TestClient) -> None:
    hint = "GET /openapi.json describes all"
    assert error_of(client.get("/nothing")) == (404, "unknown_path", f"no path /nothing; {hint}")
    assert error_of(client.get(SEARCH)) == (405, "wrong_method", f"{SEARCH} does not take GET; {hint}")
    assert error_of(client.post("/indexes/serch/topics", json={})) == (
        404, "unknown_index", "no index 'serch'; did you mean 'search'?",
    )  # fmt: skip
    assert error_of(client.post("/indexes/zzz/topics", json={}))[2] == "no index 'zzz'; there are: search"


# --- who may ask ---


def test_without_a_token_only_names_of_this_machine_are_answered(client: TestClient) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8765", "[::1]:8765"):
        assert client.get("/indexes", headers={"host": host}).status_code == 200
    for host in ("example.org", "localhost.example.org", "127.0.0.1.example.org:80", ""):
        status, code, _ = error_of(client.get("/indexes", headers={"host": host}))
        assert (status, code) == (421, "wrong_host")
    for origin, wanted in (("http://localhost:3000", 200), ("https://example.org", 403), ("null", 403)):
        assert client.get("/indexes", headers={"origin": origin}).status_code == wanted


def test_with_a_token_only_health_is_answered_without_it(app: Any, served: Service) -> None:
    client = TestClient(Guard(app, served.figures, "s3cret"), base_url="http://example.org")
    assert client.get("/health").json() == {"status": "ok"}
    for path in ("/indexes", "/metrics", "/openapi.json", "/mcp", "/nothing", "/health/"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for given in ("Bearer wrong", "Bearer s3cret2", "Bearer", "Basic s3cret", "s3cret", "Bearer ß"):
        answer = client.get("/indexes", headers={"authorization": given.encode()})
        assert error_of(answer)[:2] == (401, "unauthorized")
    assert client.get("/indexes", headers={"authorization": "bearer s3cret"}).status_code == 200


# --- faults of the server ---


def test_a_fault_is_one_line_here_and_says_nothing_there(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Panic(BaseException):
        """What a panic of native code looks like."""

    for fault in (KeyError("a secret"), Panic("a secret")):

        def fail(*_: object, fault: BaseException = fault, **__: object) -> None:
            raise fault

        monkeypatch.setattr(SearchIndex, "search", fail)
        wanted = (500, "internal", "the server failed at this request; its log has the reason")
        assert error_of(client.post(SEARCH, json={"query": "a"})) == wanted
        (line,) = capsys.readouterr().out.splitlines()
        assert f"  error: search/search: {type(fault).__name__}: " in line
        assert "a secret" in line


def test_a_search_that_takes_too_long_and_too_many_requests(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(SearchIndex, "search", lambda *_, **__: go_on.wait(30))
    with monkeypatch.context() as quick:
        quick.setattr(service, "TIMEOUT_S", 0.05)
        assert error_of(client.post(SEARCH, json={"query": "a"}))[:2] == (504, "timeout")
    go_on.set()
    monkeypatch.setattr(service, "MOST_AT_WORK", 0)
    answer = client.post(SEARCH, json={"query": "a"})
    assert error_of(answer) == (503, "busy", "0 requests wait already; try again in a second")
    assert answer.headers["retry-after"] == "1"


def test_figures_count_requests_and_unknown_indexes_as_one(client: TestClient) -> None:
    post(client, "topics")
    for number in range(3):
        client.post(f"/indexes/unknown{number}/topics", json={})
    lines = client.get("/metrics").text.splitlines()
    assert f'topicflow_search_index_documents{{index="{NAME}"}} {N}.0' in lines
    assert f'topicflow_search_index_stale{{index="{NAME}"}} 0.0' in lines
    assert not [line for line in lines if "unknown1" in line]
    counted = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
    assert (
        counted['topicflow_search_requests_total{index="",operation="topics",outcome="unknown_index"}'] >= 3
    )
    assert counted[f'topicflow_search_requests_total{{index="{NAME}",operation="topics",outcome="ok"}}'] >= 1
    assert counted["topicflow_search_at_work"] == 0


# --- how it is described ---


def test_openapi_describes_every_operation_and_its_errors(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    paths = {path: next(iter(methods)) for path, methods in described["paths"].items()}
    operations = {f"/indexes/{{index}}/{each.path}": "post" for each in OPERATIONS.values()}
    assert paths == {"/health": "get", "/indexes": "get", "/metrics": "get", **operations}
    for path in operations:
        assert set(described["paths"][path]["post"]["responses"]) == {"200", "4XX", "5XX"}
    fields = described["components"]["schemas"]["SearchRequest"]["properties"]
    assert (fields["k"]["maximum"], fields["k"]["default"]) == (1000, 10)
    assert "doc_id" in described["components"]["schemas"]["Hit"]["properties"]


def rpc(client: TestClient, method: str, **params: Any) -> Any:
    headers = {"accept": "application/json, text/event-stream"}
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = client.post("/mcp", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_mcp_has_a_tool_for_each_operation(client: TestClient) -> None:
    tools = {tool["name"]: tool for tool in rpc(client, "tools/list")["tools"]}
    assert set(tools) == {"indexes", *OPERATIONS}
    assert all(tool["annotations"]["readOnlyHint"] for tool in tools.values())
    schema = tools["similar"]["inputSchema"]
    assert (schema["required"], schema["properties"]["index"]["enum"]) == (["doc_id"], [NAME])


def test_mcp_answers_as_http_does(client: TestClient) -> None:
    values = {"query": "red tea", "k": 2}
    called = rpc(client, "tools/call", name="search", arguments=values)
    assert called["structuredContent"] == post(client, "search", **values)
    assert json.loads(called["content"][0]["text"]) == called["structuredContent"]
    for text in (
        "null",
        "[1]",
        "{}",
    ):  # findings/mcp_null_argument.sh: the SDK's own tools would not get these
        called = rpc(client, "tools/call", name="topics", arguments={"query": text})
        assert called["structuredContent"] == post(client, "topics", query=text)
        assert called["structuredContent"]["topics"][0]["score"] is not None
    listed = rpc(client, "tools/call", name="indexes", arguments={})
    assert listed["structuredContent"] == client.get("/indexes").json()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("search", {"query": "a", "k": 0}, "request: k=0, expected 1 or more"),
        ("search", {"query": "a", "index": "other"}, "no index 'other'; there are: search"),
        ("search", {"query": "a", "index": 3}, "index=3, expected one of: search"),
        (
            "delete",
            {},
            "no tool 'delete'; there are: indexes, search, similar, recommend, topics, topic_documents, document",
        ),
        ("search", {"query": "a", "where": "kid = 1"}, "kind"),
    ],
)
def test_mcp_says_errors_to_the_model(
    client: TestClient, name: str, arguments: dict[str, Any], said: str
) -> None:
    called = rpc(client, "tools/call", name=name, arguments=arguments)
    assert called["isError"]
    assert said in called["content"][0]["text"]
