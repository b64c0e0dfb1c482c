"""Answers and refusals of embedding servers, in the words that the servers really use."""

import base64
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from topicflow.tasks.encoding.api.answers import read_answer
from topicflow.tasks.encoding.api.limits import Limits
from topicflow.tasks.servers.refusals import Refusal, UnreadableAnswerError, read_refusal, wait_of


def body(*embeddings: Any, **more: Any) -> bytes:
    data = [{"index": i, "embedding": each} for i, each in enumerate(embeddings)]
    return json.dumps({"data": data, **more}).encode()


def packed(values: list[float], order: str = "<f4") -> str:
    return base64.b64encode(np.array(values, order).tobytes()).decode()


# --- answers ---


def test_base64_is_little_endian_float32_and_equal_to_the_list() -> None:
    listed = read_answer(body([0.5, -1.25], [3.0, 4.0]), 2)
    coded = read_answer(body(packed([0.5, -1.25]), packed([3.0, 4.0])), 2)
    np.testing.assert_array_equal(coded.vectors, listed.vectors)
    assert coded.vectors.tolist() == [[0.5, -1.25], [3.0, 4.0]]
    assert coded.vectors.dtype == np.float32


def test_the_index_gives_the_order() -> None:
    data = [
        {"index": 2, "embedding": [3.0]},
        {"index": 0, "embedding": [1.0]},
        {"index": 1, "embedding": [2.0]},
    ]
    assert read_answer(json.dumps({"data": data}).encode(), 3).vectors.tolist() == [[1.0], [2.0], [3.0]]


def test_without_an_index_the_order_is_that_of_the_texts() -> None:
    data = [{"embedding": [3.0]}, {"embedding": [1.0]}]
    assert read_answer(json.dumps({"data": data}).encode(), 2).vectors.tolist() == [[3.0], [1.0]]


def test_tokens_and_the_name_of_the_model() -> None:
    answer = read_answer(body([1.0], usage={"prompt_tokens": 7, "total_tokens": 9}, model="other"), 1)
    assert (answer.n_tokens, answer.model) == (7, "other")
    assert read_answer(body([1.0]), 1).n_tokens is None
    assert read_answer(body([1.0], usage={"prompt_tokens": 0}), 1).n_tokens is None


def test_rows_that_are_not_finite_or_zero_are_named() -> None:
    content = body(
        [1.0, 2.0], [float("nan"), 1.0], [None, 1.0], [0.0, 0.0], [float("inf"), 0.0], [1e300, 0.0]
    )
    assert read_answer(content, 6).usable.tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("content", "n", "says"),
    [
        (b"<html>", 1, r"not a list of embeddings \(JSONDecodeError"),
        (b'{"data": 3}', 1, r"not a list of embeddings \(TypeError"),
        (b"[]", 1, r"not a list of embeddings \(TypeError"),
        (body([1.0]), 2, "1 vectors for 2 texts"),
        (body([1.0], [1.0, 2.0]), 2, "vectors of 1, 2 dimensions in one answer"),
        (body([]), 1, "vectors of 0 dimensions"),
        (body("AAA"), 1, r"base64 of a vector cannot be read"),
        (body("AAAA"), 1, r"base64 of 3 bytes, which is not float32"),
        (
            body(packed([0.5, 0.25], ">f4"), packed([1e-30, 7.0], ">f4")),
            2,
            "these are not little-endian float32",
        ),
    ],
)
def test_an_answer_that_cannot_be_read_says_why(content: bytes, n: int, says: str) -> None:
    with pytest.raises(UnreadableAnswerError, match=says):
        read_answer(content, n)


@pytest.mark.parametrize("numbers", [[0, 0], [1, 2], [0, 5]])
def test_numbers_that_are_no_order_are_refused(numbers: list[int]) -> None:
    data = [{"index": number, "embedding": [1.0]} for number in numbers]
    with pytest.raises(UnreadableAnswerError, match="expected 0 to 1"):
        read_answer(json.dumps({"data": data}).encode(), 2)


# --- refusals ---

LLAMA_CPP = (
    500,
    "input (701 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
)
VLLM = (
    400,
    "This model's maximum context length is 512 tokens. However, you requested 1451 tokens in the input.",
)
TEI_LONG = (413, "`inputs` must have less than 512 tokens. Given: 1451")
OPENAI_LONG = (400, "Invalid 'input[17]': maximum input length is 8192 tokens.")
OPENAI_OLD = (
    400,
    "maximum context length is 8192 tokens, however you requested 10000 tokens (10000 in your prompt; 0 after)",
)
TEI_MANY = (422, "batch size 33 > maximum allowed batch size 32")
AZURE_MANY = (400, "Too many inputs. The max number of inputs is 16.")
OPENAI_MANY = (
    400,
    "Invalid 'input': array too long. Expected an array with maximum length 2048, but got one with length 2049.",
)


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        (LLAMA_CPP, (701, 512)),
        (VLLM, (1451, 512)),
        (TEI_LONG, (1451, 512)),
        (OPENAI_LONG, (None, 8192)),
        (OPENAI_OLD, (10_000, 8192)),
        (
            (400, "the request exceeds the available context size n_prompt_tokens 3,001 n_ctx 2048"),
            (3001, 2048),
        ),
        ((400, "text-embedding-3-small: the input length exceeds the context length"), (None, None)),
        ((500, "cuda error 700"), (None, None)),
    ],
)
def test_the_servers_own_count_is_read(said: tuple[int, str], tokens: tuple[int | None, int | None]) -> None:
    assert Refusal(*said).tokens() == tokens


@pytest.mark.parametrize(
    ("said", "n", "allowed"),
    [
        (TEI_MANY, 33, 32), (AZURE_MANY, 128, 16), (OPENAI_MANY, 2049, 2048), (VLLM, 600, None),
        ((422, "List should have at most 2048 items after validation, not 3000"), 3000, 2048),
    ],
)  # fmt: skip
def test_the_number_of_texts_is_read(said: tuple[int, str], n: int, allowed: int | None) -> None:
    assert Refusal(*said).allowed_texts(n) == allowed


@pytest.mark.parametrize("said", [LLAMA_CPP, VLLM, TEI_LONG, OPENAI_LONG, TEI_MANY, AZURE_MANY, (413, "no")])
def test_what_is_too_large_is_not_sent_again(said: tuple[int, str]) -> None:
    assert Refusal(*said).is_about_size
    assert Refusal(*said).retries(6) == 0


@pytest.mark.parametrize(
    ("refusal", "n"),
    [
        (Refusal(0, "ConnectError: refused"), 6),
        (Refusal(0, "no answer within 60 s", timed_out=True), 1),
        (Refusal(429, "Rate limit reached: limit 1000000 tokens per min"), 6),
        (Refusal(503, "Loading model"), 6),
        (Refusal(500, "cuda error"), 2),
        (Refusal(502, "bad gateway"), 2),
        (Refusal(424, "backend failed"), 2),
        (Refusal(200, "1 vectors for 2 texts"), 2),
        (Refusal(400, "unknown field"), 0),
        (Refusal(422, "invalid"), 0),
        (Refusal(429, "You exceeded your current quota (insufficient_quota)"), 0),
    ],
)
def test_how_often_a_request_is_sent_again(refusal: Refusal, n: int) -> None:
    assert refusal.retries(6) == n
    assert refusal.retries(0) == 0


def test_a_rate_limit_of_tokens_is_not_a_text_that_is_too_long() -> None:
    assert not Refusal(429, "limit 1000000 tokens per min, context too large").is_about_size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"error": {"message": "no", "type": "bad", "code": None}}, "no (bad)"),
        ({"error": {"message": "no", "code": "insufficient_quota"}}, "no (insufficient_quota)"),
        (
            {"error": {"message": "too long", "n_prompt_tokens": 9, "n_ctx": 8}},
            "too long n_prompt_tokens 9 n_ctx 8",
        ),
        ({"error": "batch size 2 > 1", "error_type": "Validation"}, "batch size 2 > 1"),
        ({"detail": [{"msg": "at most"}]}, '[{"msg": "at most"}]'),
        ("<html><h1>Bad\n gateway</h1></html>", "Bad gateway"),
        ("", "no message"),
    ],
)
def test_the_words_of_an_error_in_one_line(content: Any, message: str) -> None:
    raw = content if isinstance(content, str) else json.dumps(content)
    assert read_refusal(400, raw.encode(), {}).message == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m3s"}, 63.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "20s"}, None),
    ],
)
def test_the_pause_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_of(headers) == seconds


def test_a_pause_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert wait_of({"retry-after": date}) == pytest.approx(90, abs=3)
    assert wait_of({"retry-after": format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)}) == 0.0


# --- limits ---


def test_limits_are_learnt_from_the_parts_that_were_answered() -> None:
    limits = Limits(texts=128, tokens=1000)
    for n in (32, 32):
        limits.accepted(n, 300)
    limits.refused(128, 1200, Refusal(413, "no"))
    assert (limits.texts, limits.tokens) == (32, 1000)
    limits.refused(32, 900, Refusal(413, "no"))  # as many texts were answered before: it is the tokens
    assert (limits.texts, limits.tokens) == (32, 450)
    limits.accepted(64, 100)
    assert limits.texts == 64


def test_a_limit_of_one_text_is_the_lowest_stated_and_never_the_configured_one() -> None:
    limits = Limits(1, 1)
    for stated in (512, None, 8192, 256):
        limits.states(stated)
    assert (limits.text_tokens, limits.source) == (256, "stated")
    configured = Limits(1, 1, 100, "configured")
    configured.states(50)
    assert configured.text_tokens == 100
