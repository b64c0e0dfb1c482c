"""Embedding servers: two real ones with real models; their vectors are kept, cut, counted and found."""

import functools
from collections.abc import Iterator

import httpx
import numpy as np
import polars as pl
import pytest

from tests.fakes import save_documents
from tests.real_servers import llama_cpp, nano_e5
from topicflow.configs.sections.embed import ApiEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.api import probes
from topicflow.tasks.encoding.embed import embed, embed_texts
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore

TEXTS = [
    "How to make a good cup of green tea", "A goalkeeper saved two penalties",
    "Grüner Tee wird mit warmem Wasser gekocht",
    "The striker scored in the last minute", "Interest rates rose again", "The central bank lowers its rate",
]  # fmt: skip


@pytest.fixture(scope="module")
def e5() -> Iterator[str]:
    with nano_e5() as url:
        yield url


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    with llama_cpp() as url:
        yield url


def config_of(url: str, **values: object) -> ApiEmbed:
    return ApiEmbed(method="api", url=url, **{"model": "passage", "n_concurrent": 2, **values})


@functools.cache
def raw(url: str, *texts: str) -> np.ndarray:
    """Return unit vectors from the server, without any code of ours."""
    asked = {"model": "passage", "input": texts}
    found = httpx.post(f"{url}/embeddings", json=asked, timeout=120).json()["data"]
    vectors = np.array([item["embedding"] for item in found], np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- multilingual-e5-small ---


def test_vectors_are_the_servers_and_come_from_it_once(e5: str, store: ArtifactStore) -> None:
    documents = save_documents(store, [*TEXTS, TEXTS[0], ""])
    made = embed.fn(Context(store), documents, config_of(e5, batch_texts=2))
    vectors = store.array(made, "embeddings")
    np.testing.assert_allclose(vectors[:6], raw(e5, *TEXTS), atol=1e-6)
    np.testing.assert_array_equal(vectors[6], vectors[0])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)  # that of the empty text too
    assert store.meta(made)["n_embedded"] == 7
    assert store.meta(made)["n_requests"] == 4
    again = embed.fn(Context(store), save_documents(store, TEXTS[:3], "fewer"), config_of(e5))
    assert store.meta(again)["n_embedded"] == 0
    assert "n_requests" not in store.meta(again)


def test_vectors_are_cut_to_fewer_dimensions_than_the_server_gives(e5: str, store: ArtifactStore) -> None:
    found = embed_texts(store, pl.Series(TEXTS), config_of(e5, dim=64), RuntimeConfig())
    exact = raw(e5, *TEXTS)[:, :64]
    np.testing.assert_allclose(found, exact / np.linalg.norm(exact, axis=1, keepdims=True), atol=1e-6)


def test_queries_find_their_documents_in_both_languages(e5: str) -> None:
    config = config_of(e5, model="m", prompt="passage: ", query_prompt="query: ")
    encoder = load_encoder(find_encoder(config), config)
    vectors, _ = encoder.encode(TEXTS)
    queries, _ = encoder.encode_queries(["Tee kochen", "monetary policy", "football"])
    nearest = [set(np.argsort(-row)[:2].tolist()) for row in queries @ vectors.T]
    assert nearest == [{0, 2}, {4, 5}, {1, 3}]


def test_another_model_under_the_same_name_is_noticed(
    e5: str, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    probes.probe.cache_clear()
    first = find_encoder(config_of(e5), "cpu", store).key
    with nano_e5("enpt") as url:
        second = find_encoder(config_of(url), "cpu", store).key
    assert second != first
    assert [line for line in caplog.messages if "has changed" in line] == [
        "embed: the model with the name 'passage' has changed since the last run: its texts are embedded again"
    ]
    probes.probe.cache_clear()
    assert find_encoder(config_of(e5), "cpu", store).key == first


# --- llama.cpp ---


def test_llama_cpp_refuses_a_long_text_for_good_and_everything_is_embedded(
    llama: str, store: ArtifactStore
) -> None:
    """Started like this, it answers 500 to a text of more than 128 tokens, and 400 to an empty one."""
    long = "tea and coffee " * 60 + "are drinks"
    documents = save_documents(store, ["green tea", long, "", "a b c"])
    made = embed.fn(Context(store), documents, config_of(llama, retries=6))
    vectors, meta = store.array(made, "embeddings"), store.meta(made)
    assert vectors.shape == (4, 576)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(vectors[[0, 3]], raw(llama, "green tea", "a b c"), atol=1e-4)
    assert meta["truncated_share"] == 0.25
    assert meta["n_requests"] <= 12
    np.testing.assert_allclose(vectors[1], raw(llama, "tea and coffee " * 41)[0], atol=0.05)


def test_a_server_that_is_not_started_for_vectors_is_one_line(llama: str) -> None:
    from topicflow.tasks.errors import ConfigError

    with pytest.raises(ConfigError, match=r"is not the address of an API \(404: File Not Found"):
        find_encoder(config_of(llama.replace("/v1", "/v2")))
