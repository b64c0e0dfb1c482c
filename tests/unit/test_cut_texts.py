"""Texts longer than the encoder reads: those that only begin alike are not duplicates, and their number is reported."""

from typing import Any

import numpy as np
import pytest

from tests.fakes import save, save_documents
from tests.unit.test_deduplicate import RUNTIME, unit
from topicflow.configs.sections.deduplicate import BothDeduplicate, EmbeddingDeduplicate
from topicflow.tasks.core.duplicates import leaders as leading
from topicflow.tasks.core.duplicates.leaders import jaccard, leaders
from topicflow.tasks.core.duplicates.pairs import Pairs
from topicflow.tasks.duplicates.deduplicate import WAYS, deduplicate
from topicflow.tasks.duplicates.similar_texts import similar_texts
from topicflow.tasks.duplicates.similar_vectors import similar_vectors
from topicflow.tasks.duplicates.whole_texts import with_copied_pairs
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

HEAD = " ".join(f"clause{number}" for number in range(40))
ENDS = {name: " ".join(f"{name}{number}" for number in range(200)) for name in ("one", "two", "three")}
LICENCES = [f"{HEAD} {ENDS['one']}", f"{HEAD} {ENDS['two']}", f"{HEAD} {ENDS['one']} and a word", "short"]


def stored(
    store: ArtifactStore, texts: list[str], angles: list[float], cut: list[bool], name: str = "own"
) -> tuple[ArtifactRef, ArtifactRef]:
    """Return documents, and embeddings, some of only the beginning of their text."""
    files = {"embeddings": np.array([unit(angle) for angle in angles], np.float32)}
    if any(cut):
        files["cut"] = np.array(cut)
    meta = {"n_cut": sum(cut), "max_tokens": 32, "encoder": "fake"}
    return save_documents(store, texts, name), save(store, "embeddings", files, meta, name)


def duplicates(
    store: ArtifactStore,
    own: tuple[ArtifactRef, ArtifactRef],
    config: Any,
    against: tuple[ArtifactRef, ArtifactRef] | None = None,
) -> ArtifactRef:
    documents, embeddings = own
    base, base_vectors = against or (None, None)
    pairs = {
        "similar_vectors": (similar_vectors.fn(Context(store, 1, RUNTIME), embeddings, base_vectors, config))
    }
    if isinstance(config, BothDeduplicate):
        pairs["similar_texts"] = similar_texts.fn(Context(store, 1, RUNTIME), documents, base, config)
    return deduplicate.fn(Context(store), documents, pairs, base, config)


@pytest.mark.parametrize("config", [EmbeddingDeduplicate(), BothDeduplicate(method="both")])
def test_long_texts_that_begin_alike_and_end_otherwise_are_both_kept(
    store: ArtifactStore, config: Any
) -> None:
    own = stored(store, LICENCES, [0.0, 0.0, 0.0, 1.5], [True, True, True, False])
    ref = duplicates(store, own, config)
    assert np.asarray(store.array(ref, "kept")).tolist() == [True, True, False, True]
    assert np.asarray(store.array(ref, "kept_row")).tolist() == [0, 1, 0, 3]
    assert WAYS[store.array(ref, "way")[2]] == "embedding"
    figures = store.json(ref, "figures")
    assert {name: figures[name] for name in ("n_cut", "max_tokens", "n_apart_by_whole_texts", "n_by_beginning")} == {
        "n_cut": 3, "max_tokens": 32, "n_apart_by_whole_texts": 1, "n_by_beginning": 1,
    }  # fmt: skip
    assert (figures["recall"], figures["recall_missed"]) == (1.0, 0)  # both are rightly kept


def test_texts_of_one_vector_that_were_read_to_the_end_are_duplicates(store: ArtifactStore) -> None:
    texts = ["Hello there", "hello  there", "HELLO THERE!"]  # as an encoder without case reads them
    ref = duplicates(store, stored(store, texts, [0.0] * 3, [False] * 3), EmbeddingDeduplicate())
    assert np.asarray(store.array(ref, "kept")).tolist() == [True, False, False]
    assert "n_by_beginning" not in store.json(ref, "figures")


def test_equal_long_texts_are_duplicates_by_their_text(store: ArtifactStore) -> None:
    texts = [LICENCES[1], LICENCES[0], LICENCES[1], LICENCES[0]]
    ref = duplicates(store, stored(store, texts, [0.0] * 4, [True] * 4), EmbeddingDeduplicate())
    assert np.asarray(store.array(ref, "kept_row")).tolist() == [0, 1, 0, 1]
    assert [WAYS[way] for way in store.array(ref, "way")] == ["kept", "kept", "text", "text"]


def test_a_long_text_is_no_duplicate_of_a_text_with_the_same_beginning_in_the_other_corpus(
    store: ArtifactStore,
) -> None:
    own = stored(store, [LICENCES[0], LICENCES[1]], [0.0, 0.0], [True, True])
    base = stored(store, [LICENCES[2]], [0.0], [True], name="base")
    ref = duplicates(store, own, EmbeddingDeduplicate(), base)
    assert np.asarray(store.array(ref, "kept")).tolist() == [False, True]
    assert np.asarray(store.array(ref, "base_row")).tolist() == [0, -1]
    assert store.json(ref, "figures")["n_cut"] == 2


def test_separated_documents_keep_the_pairs_of_their_vector(store: ArtifactStore) -> None:
    texts = ["near", LICENCES[0], LICENCES[1]]
    ref = duplicates(
        store, stored(store, texts, [0.1, 0.0, 0.0], [False, True, True]), EmbeddingDeduplicate()
    )
    assert np.asarray(store.array(ref, "kept_row")).tolist() == [
        0,
        0,
        0,
    ]  # both are near the first, as before
    np.testing.assert_allclose(np.asarray(store.array(ref, "similarity"))[1:], np.cos(0.1), rtol=1e-5)


def test_pairs_are_copied_only_to_new_leaders() -> None:
    pairs = Pairs(np.array([[0, 5], [1, 3], [2, 5]], np.int32), np.array([0.9, 0.95, 0.91], np.float32))
    before, after = np.array([0, 1, 2, 1, 1, 5], np.int32), np.array([0, 1, 2, 1, 4, 5], np.int32)
    made = with_copied_pairs(pairs, before, after)
    assert made.rows.tolist() == [[0, 5], [1, 3], [2, 5], [3, 4]]
    assert made.similarities.tolist() == pytest.approx([0.9, 0.95, 0.91, 0.95])
    assert with_copied_pairs(pairs, before, before) is pairs


def test_leaders_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [[1, 2, 3], [1, 2, 3, 4], [7, 8], [1, 2, 3], [], [7, 8, 9], []]
    sets = np.array([value for each in values for value in each], np.uint64)
    ranges = np.cumsum([0, *map(len, values)])
    assert jaccard(sets[0:3], sets[3:7]) == 0.75
    groups = np.array([0, 0, 0, 1, 0, 0, 0], np.int32)
    assert leaders(sets, ranges, groups, 0.75).tolist() == [0, 0, 2, 3, 4, 5, 6]
    assert leaders(sets, ranges, groups, 0.6).tolist() == [0, 0, 2, 3, 4, 2, 6]
    monkeypatch.setattr(leading, "MOST_LEADERS", 1)
    assert leaders(sets, ranges, groups, 0.6).tolist() == [0, 0, 2, 3, 4, 5, 6]
