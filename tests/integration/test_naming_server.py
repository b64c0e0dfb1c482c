"""Naming by a real model behind a real server, llama.cpp with SmolLM2: the protocol is tested, not the beauty."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import planted_corpus
from tests.real_servers import llama_cpp_chat
from tests.unit.test_names import ENCODING, modelled, names_of
from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.chats.chat import ChatClient
from topicflow.tasks.chats.messages import schema_of
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.naming.name import name
from topicflow.tasks.servers.client import RefusedError
from topicflow.tasks.store.artifact_store import ArtifactStore


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    with llama_cpp_chat() as url:
        yield url


def config_of(url: str, **values: Any) -> NamesConfig:
    return NamesConfig(url=url, **{"model": "smollm2", "n_concurrent": 1, "answer_tokens": 24, **values})


def test_topics_get_names_and_are_never_asked_again(llama: str, store: ArtifactStore) -> None:
    corpus = planted_corpus(n_per_topic=8, n_noise=0)
    config = config_of(llama, n_documents=1, n_siblings=1, tries=2)
    made = name.fn(Context(store), modelled(store, corpus), config, ENCODING)
    meta = store.meta(made)
    assert (meta["n_topics"], meta["n_waiting"]) == (3, 0)
    assert 3 <= meta["n_calls"] <= 8
    assert 300 < meta["n_tokens"] < 300 * meta["n_calls"]
    table = store.table(made, "topics").collect()
    for called, by, keywords in table.select("name", "named_by", "keywords").iter_rows():
        assert len(called.split()) <= 5 or by == "keywords"
        assert by == "model" or called == ", ".join(keywords[:4])
    assert len(set(table["name"].to_list())) == 3
    replies = [reply for ref in answers(store, meta) for reply in store.json(ref, "answer")["replies"]]
    assert len(replies) == meta["n_calls"]
    assert all(re.match(r'\{\s*"(name|1)":\s*"', reply) for reply in replies)  # the schema is kept
    store.discard("names", made.key)
    again = name.fn(Context(store), modelled(store, corpus), config, ENCODING)
    assert names_of(store, again) == table["name"].to_list()
    assert store.meta(again)["n_calls"] == 0


def answers(store: ArtifactStore, meta: dict[str, Any]) -> list[Any]:
    from topicflow.tasks.store.artifact_store import ArtifactRef

    return [ArtifactRef(kind, key, "name") for kind, key in meta["beside"]]


def test_a_prompt_beyond_the_context_states_both_counts_and_a_cut_answer_is_known(llama: str) -> None:
    client = ChatClient(config_of(llama))
    with pytest.raises(RefusedError) as caught:
        client.chat([{"role": "user", "content": "tea and milk " * 300}], schema_of(["name"]), 20)
    counted, allowed = caught.value.refusal.tokens()
    assert (counted > 600, allowed) == (True, 512)
    cut = client.chat([{"role": "user", "content": "Name: tea. Answer as JSON."}], schema_of(["name"]), 3)
    assert (cut.is_cut, cut.n_answer) == (True, 3)


@pytest.mark.slow
def test_a_long_prompt_is_shortened_until_it_fits(llama: str, store: ArtifactStore) -> None:
    corpus = planted_corpus(n_per_topic=30, n_noise=0)
    texts = [f"{text} " * 20 for text in corpus.texts]
    config = config_of(llama, n_documents=4, n_chars=700, tries=1, n_siblings=0, max_calls=4)
    made = name.fn(Context(store), modelled(store, corpus, texts), config, ENCODING)
    table = store.table(made, "topics").collect()
    first = max(table["size"].to_list())
    note = table.filter(table["size"] == first)["name_note"].item()
    assert note is None or "the server" not in note
    assert store.meta(made)["n_calls"] <= 4


def test_an_address_that_is_none_is_one_line(llama: str) -> None:
    client = ChatClient(config_of(llama.replace("/v1", "/v2")))
    with pytest.raises(
        ConfigError, match=r"^names: http\S+/v2 has no model 'smollm2', or is not the address of an API"
    ):
        client.chat([{"role": "user", "content": "tea"}], schema_of(["name"]), 5)
