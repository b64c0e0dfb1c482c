"""What a report says about near-duplicates: counts, thresholds, recall, and the least similar pairs of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import save, save_documents
from topicflow.configs.sections.deduplicate import (
    AnyDeduplicate,
    BothDeduplicate,
    EmbeddingDeduplicate,
    MinhashDeduplicate,
)
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.duplicates.deduplicate import deduplicate
from topicflow.tasks.duplicates.report_duplicates import N_LEAST, duplicate_block
from topicflow.tasks.duplicates.similar_texts import similar_texts
from topicflow.tasks.duplicates.similar_vectors import similar_vectors
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

RUNTIME = RuntimeConfig(device="cpu", n_threads=2)


def block(store: ArtifactStore, texts: list[str], angles: list[float], config: AnyDeduplicate) -> Any:
    """Return the block of documents whose vectors have these angles."""
    documents, pairs = save_documents(store, texts), {}
    if not isinstance(config, MinhashDeduplicate):
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        embeddings = save(store, "embeddings", {"embeddings": vectors})
        pairs["similar_vectors"] = similar_vectors.fn(Context(store, 1, RUNTIME), embeddings, None, config)
    if not isinstance(config, EmbeddingDeduplicate):
        pairs["similar_texts"] = similar_texts.fn(Context(store, 1, RUNTIME), documents, None, config)
    duplicates = deduplicate.fn(Context(store), documents, pairs, None, config)
    assert isinstance(duplicates, ArtifactRef)
    table = store.table(documents, "documents").select("doc_id", "text").collect()

    def read(rows: Any) -> pl.DataFrame:
        assert np.all(np.diff(rows) > 0)
        return table[rows]

    return duplicate_block(store, duplicates, read)


@pytest.mark.parametrize("search", ["exact", "lsh"])
def test_counts_threshold_recall_and_pairs_by_hand(store: ArtifactStore, search: str) -> None:
    texts = ["one", "one", "two", "three", "four"]
    config = EmbeddingDeduplicate(search=search, recall=0.999)
    found = block(store, texts, [0.0, 0.0, 0.1, 0.3, 1.5], config)
    assert {name: found[name] for name in ("n_documents", "n_kept", "n_duplicates", "n_equal_texts")} == {
        "n_documents": 5, "n_kept": 2, "n_duplicates": 3, "n_equal_texts": 1,
    }  # fmt: skip
    assert (found["n_groups"], found["largest_group"], found["search"]) == (1, 4, search)
    assert found["methods"] == [{"method": "embedding", "measure": "cosine", "threshold": 0.9, "n_pairs": 3}]
    assert (found["recall"]["share"], found["recall"]["sample"]) == (1.0, 2)
    assert 0.4 < found["recall"]["low"] < found["recall"]["high"] == 1.0  # Wilson's of 3 of 3 is .438
    assert sum(line["pairs"] for line in found["histogram"]) == 3
    pairs = [
        (line["doc_id"], line["text"], line["kept_id"], line["kept_text"]) for line in found["least_similar"]
    ]
    assert pairs == [
        ("d3", "three", "d0", "one"),
        ("d2", "two", "d0", "one"),
    ]  # the equal text is not included
    similarities = [line["similarity"] for line in found["least_similar"]]
    np.testing.assert_allclose(similarities, [np.cos(0.3), np.cos(0.1)], rtol=1e-6)


def test_ten_are_listed_of_many(store: ArtifactStore) -> None:
    angles = [k / 100 for k in range(30)]
    found = block(store, [f"text {k}" for k in range(30)], angles, EmbeddingDeduplicate())
    assert [line["doc_id"] for line in found["least_similar"]] == [f"d{29 - k}" for k in range(N_LEAST)]


def test_a_document_that_only_others_link_has_no_similarity_to_list(store: ArtifactStore) -> None:
    chain = EmbeddingDeduplicate(threshold=0.95, grouping="components")
    found = block(store, ["a", "b", "c"], [0.0, 0.3, 0.6], chain)
    assert (found["n_kept"], [line["doc_id"] for line in found["least_similar"]]) == (1, ["d1"])


WORDS = [f"w{k}" for k in range(40)]
PHRASES = [" ".join(WORDS), " ".join([*WORDS, "more"]), "something else"]


def test_words_have_another_measure_and_no_recall(store: ArtifactStore) -> None:
    found = block(store, PHRASES, [], MinhashDeduplicate(method="minhash"))
    assert (found["recall"], found["search"]) == (None, None)
    assert found["methods"][0]["measure"] == found["least_similar"][0]["measure"] == "Jaccard"
    assert found["least_similar"][0]["similarity"] == pytest.approx(36 / 37)


def test_with_both_methods_each_pair_names_its_measure(store: ArtifactStore) -> None:
    both = block(store, PHRASES, [0.0, 1.5, 0.1], BothDeduplicate(method="both"))
    assert [method["measure"] for method in both["methods"]] == ["cosine", "Jaccard"]
    listed = [(line["measure"], line["doc_id"]) for line in both["least_similar"]]
    assert listed == [("Jaccard", "d1"), ("cosine", "d2")]


@pytest.mark.parametrize(("texts", "n"), [(["a", "b"], 0), (["a", "a"], 1)])
def test_no_duplicates_or_equal_texts_alone_list_nothing(
    store: ArtifactStore, texts: list[str], n: int
) -> None:
    found = block(store, texts, [0.0, 1.5 * (n == 0)], EmbeddingDeduplicate())
    assert (found["n_duplicates"], found["least_similar"], found["recall"]) == (n, [], None)
