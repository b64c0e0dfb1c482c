"""Explained search: places in the rankings, weights of the fusion, and the sentence that matches a query best."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.fakes import tiny_model
from tests.indexes import build, documents_table
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.results import Place
from topicflow.tasks.search.scoring.highlights import (
    LONGEST_SENTENCE,
    MOST_SENTENCES,
    highlights_of,
    places_of,
    sentences_of,
)

N = 300
QUERY = "horse n17 milk"


@pytest.fixture(scope="module")
def textual(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index of texts by a small model."""
    folder = tmp_path_factory.mktemp("textual")
    model = tiny_model(folder / "model", max_seq_length=32)
    table = documents_table(N).drop("vector")
    return build(folder, table, {"model": str(model), "precision": "float32"})


# --- explain ---


def test_the_places_of_a_document_are_those_of_each_ranking(textual: SearchIndex) -> None:
    alone = {
        mode: {hit.doc_id: Place(rank, hit.score) for rank, hit in enumerate(found, start=1) if rank <= 200}
        for mode, found in (("dense", textual.search(QUERY, N, mode="dense")),
                            ("bm25", textual.search(QUERY, N, mode="bm25")))
    }  # fmt: skip
    hits = textual.search(QUERY, 40, explain=True)
    assert [hit.ranks for hit in hits] == [
        {mode: places[hit.doc_id] for mode, places in alone.items() if hit.doc_id in places} for hit in hits
    ]
    assert any(len(hit.ranks or {}) == 1 for hit in textual.search(QUERY, N, explain=True))
    for hit in hits:
        assert hit.ranks is not None
        assert hit.score == pytest.approx(sum(1 / (10 + place.rank) for place in hit.ranks.values()))
    assert [hit.ranks for hit in textual.search(QUERY, 3)] == [None] * 3
    paged = textual.search(QUERY, 10, offset=25, explain=True, where="kind = 'odd'")
    assert paged == textual.search(QUERY, 35, explain=True, where="kind = 'odd'")[25:]


def test_a_similar_document_is_explained_by_its_vector_alone(textual: SearchIndex) -> None:
    (hit,) = textual.search(textual.encode("red"), 1, explain=True)
    assert hit.ranks == {"dense": Place(1, hit.score)}


# --- fusion ---


@pytest.mark.parametrize(("weight", "mode"), [(1, "dense"), (0.0, "bm25")])
def test_a_weight_at_its_bound_gives_one_ranking(textual: SearchIndex, weight: float, mode: str) -> None:
    alone = textual.search(QUERY, 60, mode=mode)  # type: ignore[arg-type]
    fused = textual.search(QUERY, 60, dense_weight=weight)
    assert [hit.doc_id for hit in fused] == [hit.doc_id for hit in alone]


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("fusion_k", [0, 3.5, 500])
def test_the_first_documents_do_not_depend_on_how_many_are_asked_for(
    textual: SearchIndex, weight: float, fusion_k: float
) -> None:
    options = {"dense_weight": weight, "fusion_k": fusion_k}
    whole = textual.search(QUERY, N, **options)  # type: ignore[arg-type]
    assert [hit.score for hit in whole] == sorted((hit.score for hit in whole), reverse=True)
    for k in (1, 10, 201, N - 1):
        assert textual.search(QUERY, k, **options) == whole[:k]  # type: ignore[arg-type]
    assert textual.search(QUERY, 10, offset=195, **options) == whole[195:205]  # type: ignore[arg-type]


def test_a_small_constant_makes_the_first_places_count_more(textual: SearchIndex) -> None:
    ranks = [hit.ranks or {} for hit in textual.search(QUERY, 10, fusion_k=0, dense_weight=0.5, explain=True)]
    scores = [sum(1 / place.rank for place in places.values()) for places in ranks]
    assert scores == sorted(scores, reverse=True)
    assert min(place.rank for place in ranks[0].values()) == 1


# --- highlights ---


def test_sentences_end_at_marks_and_empty_lines() -> None:
    text = "A title\n\nOne is 3.5 m long. Two!  Three\nlines…\n\n\n第一句。第二句！end"
    assert sentences_of(text) == [
        "A title", "One is 3.5 m long.", "Two!", "Three lines…", "第一句。", "第二句！", "end",
    ]  # fmt: skip
    assert sentences_of(" \n ") == []
    long = sentences_of("word " * 300)
    assert max(map(len, long)) <= LONGEST_SENTENCE
    assert " ".join(long).split() == ["word"] * 300
    assert [len(part) for part in sentences_of("x" * 900)] == [400, 400, 100]
    assert len(sentences_of("A. " * 1000)) == MOST_SENTENCES


def test_words_are_marked_where_they_are_whole_words() -> None:
    assert places_of("Red tea, redder; RED_tea x-red", ["red", "tea"]) == [
        (0, 3),
        (4, 7),
        (17, 20),
        (21, 24),
        (27, 30),
    ]
    assert places_of("我喜欢北京烤鸭", ["北京"]) == [(3, 5)]
    assert places_of("C++ (c)", ["c++", "c"]) == [(0, 3), (5, 6)]
    assert places_of("red", []) == []


def test_the_sentence_with_the_rarest_words_is_shown() -> None:
    text = "Red red red. The horse is red. A horse drinks milk. Milk for a horse."
    (found,) = highlights_of([text], {"red": 1.0, "horse": 2.0, "milk": 3.0, "cat": 9.0})
    assert found.sentence == "A horse drinks milk."  # the first of two equals
    assert [found.sentence[start:end] for start, end in found.places] == ["horse", "milk"]
    assert found.words == ["red", "horse", "milk"]
    read: list[str] = []

    def by_length(sentences: Sequence[str]) -> np.ndarray:
        read.extend(sentences)
        return np.array([len(sentence) for sentence in sentences])

    texts = [text, "", "No. Never!", "The and the. Redder cats", "none"]
    shown = highlights_of(texts, {"red": 1.0, "the": 0.01}, by_length)
    assert [each.sentence for each in shown] == ["The horse is red.", "", "Never!", "The and the.", "none"]
    assert read == ["No.", "Never!", "The and the.", "Redder cats", "none"]  # those without a telling word


def test_words_and_meaning_choose_the_sentence(tmp_path: Path, tiny: Path) -> None:
    texts = ["A cat sleeps. The red tea is hot. Birds sing.", "Milk and tea. Dogs bark loudly."]
    table = pl.DataFrame({"id": ["a", "b"], "text": texts})
    index = build(tmp_path, table, {"model": str(tiny), "precision": "float32"})
    by_words = {hit.doc_id: hit.highlight for hit in index.search("red TEA", mode="bm25", highlight=True)}
    assert {name: found and found.sentence for name, found in by_words.items()} == {
        "a": "The red tea is hot.", "b": "Milk and tea.",
    }  # fmt: skip
    chosen = {hit.doc_id: hit.highlight for hit in index.search("dogs bark", mode="dense", highlight=True)}
    sentences = sentences_of(texts[0])
    cosines = index.queries.encode_documents(sentences) @ index.encode("dogs bark")
    assert {name: found and found.sentence for name, found in chosen.items()} == {
        "a": sentences[int(np.argmax(cosines))], "b": "Dogs bark loudly.",
    }  # fmt: skip
    assert index.search("tea", 1)[0].highlight is None
