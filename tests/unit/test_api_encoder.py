"""API encoder: each text gets its vector once from servers with every fault; other faults are one clear line."""

import itertools
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from tests.embedding_server import CutError, EmbeddingServer, Reply, error
from tests.fakes import save_documents
from topicflow.configs.sections.embed import HOW_ASKED, ApiEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.api import batches, probes, sender
from topicflow.tasks.encoding.api.encoder import ApiEncoder
from topicflow.tasks.encoding.api.probes import PROBES
from topicflow.tasks.encoding.embed import embed, embed_missing
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.vector_store import VectorStore, is_cut, text_digests
from topicflow.tasks.errors import ConfigError, DataError, PipelineError, StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.servers import pace
from topicflow.tasks.servers.pace import BudgetSpentError
from topicflow.tasks.store.artifact_store import ArtifactStore

TEXTS = [f"word{i} among {i % 7} others" for i in range(300)]
LONG = "a long text with some words " * 150 + "end"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget servers of other tests, and wait only a hundredth of the time."""
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.005)
    probes.probe.cache_clear()
    yield
    probes.probe.cache_clear()


def config_of(server: EmbeddingServer, **values: Any) -> ApiEmbed:
    return ApiEmbed(method="api", url=server.url, model="m", **values)


def load(server: EmbeddingServer, **values: Any) -> ApiEncoder:
    config = config_of(server, **values)
    encoder = load_encoder.__wrapped__(find_encoder(config), config)
    assert type(encoder) is ApiEncoder
    return encoder


def others(server: EmbeddingServer) -> list[int]:
    """Return the sizes of the requests, except probes and checks that the server is alive."""
    return [len(texts) for texts in server.requests if texts != list(PROBES) and texts != [batches.ALIVE]]


def assert_each_once(server: EmbeddingServer, texts: list[str]) -> None:
    assert {text: server.embedded[text] for text in texts} == dict.fromkeys(texts, 1)


# --- vectors ---


@pytest.mark.parametrize("faults", [{}, {"only_floats": True}, {"numbers": False}, {"counts": False}])
def test_vectors_are_those_of_the_server_at_unit_length(faults: dict[str, Any]) -> None:
    with EmbeddingServer(**faults) as server:
        vectors, n_tokens = load(server).encode(TEXTS)
        np.testing.assert_allclose(vectors, server.unit(TEXTS), atol=1e-6)
        assert_each_once(server, TEXTS)
    assert np.abs(n_tokens - 4).max() <= 2  # words are tokens; without a count they are estimated


def test_the_order_is_that_of_the_index() -> None:
    with EmbeddingServer(change=lambda data: data[::-1]) as server:
        np.testing.assert_allclose(load(server).encode(TEXTS)[0], server.unit(TEXTS), atol=1e-6)


def test_no_texts_ask_nothing() -> None:
    with EmbeddingServer() as server:
        vectors, n_tokens = load(server).encode([])
        assert others(server) == []
    assert (vectors.shape, n_tokens.shape) == ((0, 16), (0,))


def test_an_empty_text_is_a_vector_at_every_server() -> None:
    with EmbeddingServer(refuses_empty=True) as server:
        vectors, _ = load(server).encode(["", "a b"])
        assert np.isfinite(vectors).all()
        assert [" ", "a b"] in server.requests


def test_the_prompts_are_before_documents_and_queries() -> None:
    with EmbeddingServer() as server:
        encoder = load(server, prompt="doc: ", query_prompt="ask: ")
        encoder.encode(["x"])
        encoder.encode_queries(["x"])
        encoder.encode_queries(["x"], prompt="find ")
        assert server.requests[-3:] == [["doc: x"], ["ask: x"], ["find x"]]


def test_fewer_dimensions_are_cut_here_and_never_asked_for() -> None:
    with EmbeddingServer() as server:
        encoder = load(server, dim=5)
        vectors, _ = encoder.encode(TEXTS[:9])
        np.testing.assert_allclose(vectors, server.unit(TEXTS[:9], 5), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        assert encoder.dim == 5
        assert not any("dimensions" in body for body in server.bodies)
        with pytest.raises(
            ConfigError, match=r"^embed\.dim=17 exceeds the 16 dimensions that m at http://127"
        ):
            load(server, dim=17)


# --- batches ---


def test_batches_keep_to_number_and_tokens() -> None:
    with EmbeddingServer() as server:
        load(server, batch_texts=50).encode(TEXTS)
        assert others(server) == [50] * 6
    with EmbeddingServer() as server:
        load(server, batch_tokens=64, n_concurrent=1).encode(TEXTS)
        assert max(len(" ".join(texts)) for texts in server.requests[1:]) <= 3 * 64
        assert sum(others(server)) == 300
        assert len(others(server)) < 60


def test_requests_run_at_the_same_time() -> None:
    with EmbeddingServer(delay_s=0.05) as server:
        load(server, batch_texts=25, n_concurrent=3).encode(TEXTS)
        assert server.most_at_once == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (413, "batch size {n} > maximum allowed batch size {allowed}"),
        (422, "invalid"),
        (400, "Too many inputs"),
    ],
)
def test_the_number_of_texts_is_learnt_from_what_is_refused(status: int, message: str) -> None:
    with EmbeddingServer(max_texts=32, texts_status=status, texts_message=message) as server:
        encoder = load(server, n_concurrent=1)
        vectors, _ = encoder.encode(TEXTS)
        np.testing.assert_allclose(vectors, server.unit(TEXTS), atol=1e-6)
        assert_each_once(server, TEXTS)
        before = len(server.requests)
        encoder.encode([f"{text} again" for text in TEXTS])
        assert len(server.requests) - before == 10  # of 32 and fewer: nothing is refused any more


def test_the_tokens_of_a_request_are_learnt_from_what_is_refused() -> None:
    def fail(number: int, texts: list[str]) -> Reply | None:
        return error(400, "maximum request size is 1000 tokens") if sum(map(len, texts)) > 4000 else None

    with EmbeddingServer(fail=fail) as server:
        encoder = load(server, n_concurrent=1)
        texts = [f"{text} {'more words ' * 20}" for text in TEXTS]
        encoder.encode(texts)
        assert_each_once(server, texts)
        before = len(server.requests)
        encoder.encode([f"{text} again" for text in texts])
        assert not any(sum(map(len, texts)) > 4000 for texts in server.requests[before:])


# --- long texts ---

LLAMA_CPP = (
    "input ({n} tokens) is too large. increase the physical batch size (current batch size: {allowed})"
)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, LLAMA_CPP),
        (400, "This model's maximum context length is {allowed} tokens. However, you requested {n} tokens."),
        (413, "`inputs` must have less than {allowed} tokens. Given: {n}"),
    ],
)
def test_a_text_that_is_too_long_is_cut_by_the_servers_count_and_the_others_are_embedded(
    status: int, message: str
) -> None:
    with EmbeddingServer(max_tokens=512, tokens_status=status, tokens_message=message) as server:
        encoder = load(server)
        vectors, n_tokens = encoder.encode([*TEXTS, LONG])
        np.testing.assert_allclose(vectors[:300], server.unit(TEXTS), atol=1e-6)
        assert_each_once(server, TEXTS)
        sent = max(server.embedded, key=len)
        assert 480 <= len(sent.split()) <= 512
        assert LONG.startswith(sent)
        np.testing.assert_allclose(vectors[300:], server.unit([sent]), atol=1e-6)
        assert n_tokens[300] <= -900
        assert is_cut(n_tokens, None).tolist() == [False] * 300 + [True]
        before = len(server.requests)
        encoder.encode([f"{LONG} {i}" for i in range(3)])
        assert len(server.requests) - before == 6  # alone, refused, cut, each: no request is halved any more


def test_equal_texts_are_cut_equally_beside_any_texts() -> None:
    def cut(company: list[str]) -> str:
        with EmbeddingServer(max_tokens=512, tokens_status=500, tokens_message=LLAMA_CPP) as server:
            load(server).encode([*company, LONG])
            (sent,) = [text for text in server.embedded if text.startswith("a long")]
            return sent

    assert cut(TEXTS) == cut([]) == cut(["b " * 900, "c d " * 700])


def test_an_error_for_good_on_long_texts_ends_and_costs_that_text_alone() -> None:
    """llama.cpp always answers 500 to a long text, which is found and halved until it passes."""
    with EmbeddingServer(max_tokens=512, tokens_status=500, tokens_message="oops") as server:
        vectors, n_tokens = load(server, retries=6).encode([*TEXTS, LONG])
        np.testing.assert_allclose(vectors[:300], server.unit(TEXTS), atol=1e-6)
        assert_each_once(server, TEXTS)
        assert n_tokens[300] < 0
        assert len(server.requests) < 60


def test_max_tokens_cuts_here_before_the_server_would() -> None:
    with EmbeddingServer() as server:
        vectors, n_tokens = load(server, max_tokens=100).encode([*TEXTS, LONG])
        sent = max((text for text in server.embedded if text != LONG and LONG.startswith(text)), key=len)
        assert 90 <= len(sent.split()) <= 100
        np.testing.assert_allclose(vectors[300:], server.unit([sent]), atol=1e-6)
        assert is_cut(n_tokens, 100).sum() == 1
    with EmbeddingServer(counts=False) as server:  # by estimate, if the server counts no tokens
        _, n_tokens = load(server, max_tokens=100).encode([*TEXTS, LONG])
        assert is_cut(n_tokens, 100).sum() == 1
        assert any(len(text) < 310 and LONG.startswith(text) for text in server.embedded)


@pytest.mark.parametrize("counts", [True, False])
def test_a_server_that_cuts_without_an_error_is_noticed_and_counted(
    counts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddingServer(reads=300, counts=counts) as server:
        texts = [*TEXTS, LONG, "b " * 1000]
        vectors, n_tokens = load(server).encode(texts)
        np.testing.assert_allclose(vectors, server.unit(texts), atol=1e-6)
    assert is_cut(n_tokens, None).tolist() == [False] * 300 + [True, True]
    (line,) = [line for line in caplog.messages if "without an error" in line]
    found = re.search(r"reads about (\d+) tokens of a text", line)
    assert found
    assert int(found[1]) == 300 if counts else 200 < int(found[1]) < 700
    assert "set embed.max_tokens to choose the limit" in line


def test_a_server_that_reads_to_the_end_is_not_suspected(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddingServer() as server:
        _, n_tokens = load(server).encode([*TEXTS, LONG])
        assert not is_cut(n_tokens, None).any()
        assert sorted(others(server)) == [2, 45, 128, 128]  # one more than the batches
    assert not [line for line in caplog.messages if "without an error" in line]


# --- faults that pass ---


@pytest.mark.parametrize("kind", ["500", "502", "503", "429", "cut", "html", "short", "order", "nothing"])
def test_one_request_in_three_fails_and_each_text_is_embedded_once(kind: str) -> None:
    tries: Counter[tuple[str, ...]] = Counter()

    def fail(number: int, texts: list[str]) -> Reply | None:
        tries[tuple(texts)] += 1
        if (
            number % 3 or number == 3 or tries[tuple(texts)] > 1
        ):  # else requests in turns may fail three times
            return None
        if kind == "cut":
            raise CutError
        if kind == "html":
            return 200, "<html>please wait</html>", {}
        if kind == "short":
            return 200, {"data": []}, {}
        if kind == "order":
            return 200, {"data": [{"index": 5, "embedding": [1.0]} for _ in texts]}, {}
        if kind == "nothing":
            return 200, {"error": {"message": "upstream failed"}}, {}
        return error(int(kind), "try again")

    with EmbeddingServer(fail=fail) as server:
        vectors, _ = load(server, batch_texts=20).encode(TEXTS)
        np.testing.assert_allclose(vectors, server.unit(TEXTS), atol=1e-6)
        assert_each_once(server, TEXTS)


def test_ten_thousand_texts_through_a_server_that_fails_one_request_in_ten(store: ArtifactStore) -> None:
    """Each text is embedded once, also by a second run; the faults are of every kind."""
    texts = [f"n{i} of {i % 7}" for i in range(10_000)]
    faults: list[Callable[[], Reply]] = [
        lambda: error(500, "oops"), lambda: error(429, "slow down", Retry_After="0.01"), _cut_off,
        lambda: (200, {"data": []}, {}), lambda: error(503, "loading"), lambda: (200, "<html>", {}),
    ]  # fmt: skip
    failed = itertools.count()

    def fail(number: int, asked: list[str]) -> Reply | None:
        probes = asked == list(PROBES) or asked == [batches.ALIVE]
        return None if probes or number % 10 else faults[next(failed) % len(faults)]()

    with EmbeddingServer(fail=fail) as server:
        documents, config = save_documents(store, texts), config_of(server, batch_texts=50)
        made = embed.fn(Context(store), documents, config)
        assert_each_once(server, texts)
        assert next(failed) > 20
        np.testing.assert_allclose(
            store.array(made, "embeddings")[::500], server.unit(texts[::500]), atol=1e-6
        )
        again = embed.fn(Context(store), save_documents(store, texts[::-1], "again"), config)
        assert store.meta(again)["n_embedded"] == 0
        assert_each_once(server, texts)


def _cut_off() -> Reply:
    raise CutError


def test_retry_after_holds_all_threads() -> None:
    refused_at: list[float] = []

    def fail(number: int, texts: list[str]) -> Reply | None:
        if number == 4:
            refused_at.append(time.monotonic())
            return error(429, "slow down", Retry_After="0.5")
        if refused_at:
            arrived.append(time.monotonic() - refused_at[0])
        return None

    arrived: list[float] = []
    with EmbeddingServer(fail=fail) as server:
        load(server, batch_texts=10, n_concurrent=3).encode(TEXTS)
    assert len(arrived) == 28  # of 30 batches: all but the two before, and one again
    assert not [seconds for seconds in arrived if 0.2 < seconds < 0.5]  # earlier ones were under way
    assert len([seconds for seconds in arrived if seconds <= 0.2]) < 6


def test_a_longer_pause_than_we_wait_ends_the_run_with_a_line() -> None:
    def fail(number: int, texts: list[str]) -> Reply | None:
        return error(429, "tomorrow", Retry_After="86400") if number > 1 else None

    with (
        EmbeddingServer(fail=fail) as server,
        pytest.raises(
            StageError,
            match=r"asks for a pause of 86,400 s \(429: tomorrow \(invalid_request_error\)\); run again after",
        ),
    ):
        load(server).encode(TEXTS)


def test_the_rate_is_kept() -> None:
    with EmbeddingServer() as server:
        encoder = load(server, batch_texts=30, requests_per_minute=600)
        started = time.monotonic()
        encoder.encode(TEXTS)
        assert time.monotonic() - started >= 0.9


def test_a_slow_server_gets_smaller_batches() -> None:
    def fail(number: int, texts: list[str]) -> Reply | None:
        time.sleep(0.004 * len(texts))
        return None

    with EmbeddingServer(fail=fail) as server:
        encoder = load(server, timeout_s=0.3, n_concurrent=1, retries=1)
        vectors, _ = encoder.encode(TEXTS)
        np.testing.assert_allclose(vectors, server.unit(TEXTS), atol=1e-6)
        assert encoder._limits.texts <= 64


# --- faults that do not pass ---


def test_a_text_without_a_vector_is_named_and_the_others_are_kept(store: ArtifactStore) -> None:
    def fail(number: int, texts: list[str]) -> Reply | None:
        return error(500, "cuda error") if any("poison" in text for text in texts) else None

    with EmbeddingServer(fail=fail) as server:
        encoder, vectors = load(server), VectorStore(store, "k")
        texts = pl.Series([*TEXTS, "a poison"])
        with pytest.raises(
            DataError, match=r"gives no vector for 1 of 301 texts, the first is 'a poison' \(500: cuda"
        ):
            embed_missing(texts, vectors, encoder, 1024, lambda _: None)
        there = VectorStore(store, "k").locate(text_digests(texts))[:, 0] >= 0
        assert there.tolist() == [True] * 300 + [False]
        assert_each_once(server, TEXTS)


def test_a_vector_that_is_not_finite_is_asked_for_once_more_and_named() -> None:
    def change(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**item, "embedding": [float("nan")] * 16} if len(data) != 5 and item["index"] == 1 else item
            for item in data
        ]

    with EmbeddingServer(change=change) as server:  # NaN in company, a vector alone
        vectors, _ = load(server).encode(TEXTS)
        np.testing.assert_allclose(vectors, server.unit(TEXTS), atol=1e-6)

    def always(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**item, "embedding": [0.0] * 16} if len(data) == 1 else item for item in data]

    with (
        EmbeddingServer(change=always) as server,
        pytest.raises(
            DataError,
            match=r"no vector for 1 of 1 texts, the first is 'x' \(its vector is zero or not finite\)",
        ),
    ):
        load(server).encode(["x"])


def test_a_server_that_refuses_everything_ends_the_run() -> None:
    def fail(number: int, texts: list[str]) -> Reply | None:
        return error(500, "out of memory") if number > 3 else None

    with EmbeddingServer(fail=fail) as server:
        with pytest.raises(
            StageError, match=r"refuses every text \(now 500: out of memory .*; before that 500: out of"
        ):
            load(server, batch_texts=10, n_concurrent=1).encode(TEXTS)
        assert len(server.requests) < 12


def test_many_bad_texts_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_FAILED", 7)

    def fail(number: int, texts: list[str]) -> Reply | None:
        return error(400, "no") if any(text.startswith("word") for text in texts) else None

    with EmbeddingServer(fail=fail) as server:
        with pytest.raises(StageError, match=r"gives no vector for 7 texts, the last is 'word\d+ among"):
            load(server, n_concurrent=1).encode(TEXTS)
        assert len(server.requests) < 60


def test_another_width_in_the_middle_is_another_model() -> None:
    with EmbeddingServer() as server:
        encoder = load(server)
        server.dim = 8
        with pytest.raises(
            StageError, match=r"gives 8 dimensions and gave 16 before; its model has changed: run again"
        ):
            encoder.encode(TEXTS)


def test_a_server_that_goes_away_ends_the_run_with_a_line() -> None:
    with EmbeddingServer() as server:
        encoder = load(server, retries=1)
    with pytest.raises(
        StageError, match=r"does not answer \(ConnectError: .*\); start the server or correct embed\.url"
    ):
        encoder.encode(TEXTS)


# --- the first request ---


def line_of(server: EmbeddingServer, **values: Any) -> str:
    with pytest.raises(PipelineError) as raised:
        load(server, **values)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_wrong_with_the_config_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIGHT", "s3cret")
    monkeypatch.setenv("WRONG", "wr0ng")
    monkeypatch.setenv("ODD", "a\nb")
    monkeypatch.delenv("UNSET", raising=False)
    with EmbeddingServer(key="s3cret", models=["m"]) as server:
        assert load(server, key_env="RIGHT").dim == 16
        assert line_of(server).endswith(
            "Incorrect API key provided: None (invalid_request_error)); set embed.key_env"
        )
        refused = line_of(server, key_env="WRONG")
        assert "refuses the key (401: Incorrect API key provided: Bearer … (inv" in refused
        assert refused.endswith("check the key that embed.key_env names")
        assert "the environment variable UNSET is not set; set it to the key of http" in line_of(
            server, key_env="UNSET"
        )
        assert "ODD has characters that a header cannot contain" in line_of(server, key_env="ODD")
        server.models = ["n"]
        probes.probe.cache_clear()
        assert "has no model 'm', or is not the address of an API (404: The model 'm'" in line_of(
            server, key_env="RIGHT"
        )
    with EmbeddingServer(fail=lambda *_: error(400, "pooling none")) as server:
        assert "gives no vectors of five short texts for the model 'm' (400: pooling none" in line_of(server)
    with EmbeddingServer(fail=lambda *_: error(429, "You exceeded your quota insufficient_quota")) as server:
        assert "the account has no credit left (429: You" in line_of(server)
        assert len(server.requests) == 1
    with EmbeddingServer(fail=lambda *_: (302, "", {"Location": "http://127.0.0.1:9/v1"})) as server:
        assert "is not the address of an API (302" in line_of(server)
    assert "does not answer (ConnectError" in line_of(server)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://u:p@h/v1", "without credentials"), ("h/v1", "match pattern"),
        ("http://h/v1/embeddings", "up to /v1, without /embeddings"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_right_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ApiEmbed(method="api", url=url, model="m")
    assert ApiEmbed(method="api", url="http://h/v1/", model="m").url == "http://h/v1"


def test_the_key_is_in_no_message_no_repr_and_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KEY", "s3cret")
    caplog.set_level(logging.DEBUG)
    with EmbeddingServer(fail=lambda *_: error(400, "the key s3cret is not for this model")) as server:
        said = line_of(server, key_env="KEY")
    assert "the key … is not" in said
    assert "s3cret" not in caplog.text
    from topicflow.tasks.servers.endpoint import endpoint_of

    assert "s3cret" not in repr(endpoint_of(config_of(server, key_env="KEY"), "embed"))


# --- who answers ---


def key(server: EmbeddingServer, store: ArtifactStore, **values: Any) -> str:
    probes.probe.cache_clear()
    return find_encoder(config_of(server, **values), "cpu", store).key


def test_a_model_that_changed_under_its_name_is_another_encoder(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddingServer() as server:
        first = key(server, store)
        assert key(server, store) == first
        assert not caplog.messages
        server.version = "2"
        second = key(server, store)
        assert second != first
        assert caplog.messages == [
            "embed: the model with the name 'm' has changed since the last run: its texts are embedded again"
        ]
        server.version = "1"
        assert key(server, store) == first
    with EmbeddingServer() as elsewhere:  # another address, the same model
        assert key(elsewhere, store) == first


def test_a_server_that_repeats_itself_only_nearly_is_one_encoder(
    store: ArtifactStore, tmp_path: Path
) -> None:
    with EmbeddingServer(noise=1e-3) as server:
        keys = {key(server, store) for _ in range(5)}
        assert len(keys) == 1
        assert (
            key(server, ArtifactStore(tmp_path / "other")) not in keys
        )  # its vectors today, to the last bit


def test_a_plan_keeps_no_probes_and_has_the_key_of_the_run(store: ArtifactStore) -> None:
    with EmbeddingServer() as server:
        planned = find_encoder(config_of(server), "cpu", store, keep=False).key
        assert not store.exists()
        assert key(server, store) == planned


def test_only_what_decides_the_vectors_is_in_the_key(store: ArtifactStore) -> None:
    with EmbeddingServer() as server:
        plain = key(server, store)
        for values in ({"dim": 8}, {"prompt": "p: "}, {"max_tokens": 99}):
            assert key(server, store, **values) != plain
        how = {
            "max_requests": 7,
            "batch_texts": 3,
            "batch_tokens": 99,
            "n_concurrent": 2,
            "requests_per_minute": 99_999,
        }
        how |= {"timeout_s": 9.0, "retries": 1, "price": 0.1}
        assert set(how) == HOW_ASKED - {"url", "key_env"}
        assert all(key(server, store, **{name: value}) == plain for name, value in how.items())


def test_a_server_that_is_down_is_not_needed_if_all_vectors_are_stored(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    documents = save_documents(store, TEXTS[:20])
    with EmbeddingServer() as server:
        config = config_of(server, retries=0)
        made = embed.fn(Context(store), documents, config)
    probes.probe.cache_clear()
    again = embed.fn(Context(store), documents, config)
    assert (again.cached, again) == (True, made)
    assert "; the vectors of m in the store are used" in caplog.text
    with pytest.raises(StageError, match="does not answer"):
        embed.fn(Context(store), save_documents(store, ["new"], "new"), config)


# --- the stage ---


def test_the_record_says_what_was_asked_and_cut(store: ArtifactStore) -> None:
    with EmbeddingServer(max_tokens=512, tokens_status=500, tokens_message=LLAMA_CPP) as server:
        texts = [*TEXTS, LONG, LONG]
        ref = embed.fn(
            Context(store, runtime=RuntimeConfig(engine="dask")),
            save_documents(store, texts),
            config_of(server),
        )
        meta = store.meta(ref)
        np.testing.assert_allclose(store.array(ref, "embeddings")[:300], server.unit(TEXTS), atol=1e-6)
        assert meta["truncated_share"] == pytest.approx(2 / 302)
        assert (meta["model"], meta["precision"], meta["n_embedded"]) == ("m", "api", 301)
        assert meta["n_requests"] == len(server.requests) - 1  # all but the one that asks who answers
        assert meta["n_tokens"] == sum(len(text.split()) * n for text, n in server.embedded.items()) - sum(
            len(text.split()) for text in PROBES
        )
        assert store.state(*meta["beside"][0]) == "hit"
        embed.fn(Context(store), save_documents(store, [*texts, "one more"], "more"), config_of(server))
        assert_each_once(server, [*TEXTS, "one more"])


def test_the_budget_stops_a_run_and_keeps_what_is_there(store: ArtifactStore) -> None:
    with EmbeddingServer() as server:
        documents = save_documents(store, TEXTS)
        config = config_of(server, batch_texts=30, max_requests=4, n_concurrent=2)
        for n_left in (180, 60):
            load_encoder.cache_clear()
            with pytest.raises(
                BudgetSpentError, match=r"the 4 requests of embed\.max_requests are sent; .*120 texts were"
            ):
                embed.fn(Context(store), documents, config)
            vectors = VectorStore(store, find_encoder(config, "cpu", store).key)
            assert (vectors.locate(text_digests(pl.Series(TEXTS)))[:, 0] < 0).sum() == n_left
        load_encoder.cache_clear()
        ref = embed.fn(Context(store), documents, config)
        np.testing.assert_allclose(store.array(ref, "embeddings"), server.unit(TEXTS), atol=1e-6)
        assert_each_once(server, TEXTS)
        queries = load(server, max_requests=1)
        for _ in range(3):
            queries.encode_queries(["a"])  # no budget stops a search


def test_an_interrupt_keeps_what_was_answered(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like Ctrl-C between two commits: waiting vectors are committed, and no more requests are sent."""
    monkeypatch.setattr(sender, "COMMIT_S", 60.0)
    vectors, answered = VectorStore(store, "k"), threading.Event()
    get = sender.queue.SimpleQueue

    class Interrupted(get):  # type: ignore[misc, valid-type]
        n = 0

        def get(self, *args: Any, **kwargs: Any) -> Any:
            self.n += 1
            if self.n == 4:
                answered.wait(10)
                raise KeyboardInterrupt
            return super().get(*args, **kwargs)

    def fail(number: int, texts: list[str]) -> Reply | None:
        if number > 6:
            answered.set()
        return None

    monkeypatch.setattr(sender.queue, "SimpleQueue", Interrupted)
    with EmbeddingServer(fail=fail, delay_s=0.02) as server:
        with pytest.raises(KeyboardInterrupt):
            embed_missing(
                pl.Series(TEXTS), vectors, load(server, batch_texts=10, n_concurrent=1), 1, lambda _: None
            )
        there = VectorStore(store, "k").locate(text_digests(TEXTS))[:, 0] >= 0
        assert there.sum() == 30
        assert len(others(server)) < 12


def test_progress_reaches_the_number_of_texts(store: ArtifactStore) -> None:
    done: list[int] = []
    with EmbeddingServer() as server:
        n = embed_missing(
            pl.Series(TEXTS), VectorStore(store, "k"), load(server, batch_texts=9), 1024, done.append
        )
    assert (n, sum(done)) == (300, 300)
