"""Feedback: a query moves towards the best documents as computed by hand, and finds what they say in other words."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.indexes import build
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.scoring.feedback import WORD_SHARE, WORDS, moved_vector, moved_words, shares_of

TEXTS = [
    "car automobile wheel", "car automobile road", "car automobile", "automobile museum", "bread butter",
    "butter milk", "milk bread", "road bread",
]  # fmt: skip


def rarity_of(words: list[str]) -> np.ndarray:
    return np.array([{"car": 1.0, "wheel": 2.0, "the": 0.1}.get(word, 0.0) for word in words])


def test_a_vector_moves_as_computed_by_hand() -> None:
    assert shares_of(3).tolist() == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    moved = moved_vector(np.array([1, 0], np.float32), np.array([[0, 1], [0.6, 0.8]], np.float32))
    expected = np.array([1 + 0.2, 2 / 3 + 0.8 / 3])
    np.testing.assert_allclose(moved, expected / np.linalg.norm(expected), rtol=1e-6)
    opposite = np.array([-1, 0], np.float32)
    assert moved_vector(opposite, -opposite[None]).tolist() == [-1, 0]  # nowhere to go


def test_words_have_the_weights_computed_by_hand() -> None:
    found = moved_words(
        {"car": 1.0, "unknown": 1.0}, [["car", "wheel"], ["the", "the", "car", "car"]], rarity_of
    )
    car, wheel, the = (2 / 3 / 2 + 1 / 3 / 2) * 1.0, 2 / 3 / 2 * 2.0, 1 / 3 / 2 * 0.1
    total = car + wheel + the
    assert found == pytest.approx(
        {
            "car": 1 - WORD_SHARE + WORD_SHARE * car / total,
            "unknown": 1 - WORD_SHARE,
            "wheel": WORD_SHARE * wheel / total,
            "the": WORD_SHARE * the / total,
        }
    )
    assert sum(weight for word, weight in found.items() if word != "unknown") == pytest.approx(1.0)


@pytest.mark.parametrize("best", [[], [[]], [["the"] * 5]])
def test_words_stay_where_nothing_is_known(best: list[list[str]]) -> None:
    assert moved_words({"unknown": 1.0}, best, rarity_of) == {"unknown": 1.0}


def test_at_most_some_words_are_taken() -> None:
    best = [[f"w{number}" for number in range(200)]]
    found = moved_words({"w7": 1.0}, best, lambda words: np.ones(len(words)))
    assert len(found) <= WORDS + 1


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> SearchIndex:
    """An index in which all documents about cars also say automobile."""
    table = pl.DataFrame({"id": [f"d{row}" for row in range(len(TEXTS))], "text": TEXTS,
                          "kind": ["old", "old", "old", "new", "new", "new", "new", "new"]})  # fmt: skip
    return build(tmp_path_factory.mktemp("cars"), table, {"model": str(tiny), "precision": "float32"})


def test_other_words_of_the_best_documents_are_found(index: SearchIndex) -> None:
    plain = index.search("car", mode="bm25")
    assert {hit.doc_id for hit in plain} == {"d0", "d1", "d2"}
    found = index.search("car", mode="bm25", expand="feedback")
    assert {hit.doc_id for hit in found[:3]} == {"d0", "d1", "d2"}
    assert "d3" in {hit.doc_id for hit in found}  # by "automobile"
    assert "d7" in {hit.doc_id for hit in found}  # by "road"
    assert "d4" not in {hit.doc_id for hit in found}
    assert index.search("unheard", mode="bm25", expand="feedback") == []


def test_a_second_search_by_meaning_is_one_with_the_moved_vector(index: SearchIndex) -> None:
    query = index.encode("car")
    best = np.stack([index.encode(hit.text) for hit in index.search(query, 5)])
    moved = moved_vector(query, best)
    again = index.search("car", mode="dense", expand="feedback")
    expected = index.search(moved, len(index))
    assert [hit.doc_id for hit in again] == [hit.doc_id for hit in expected]
    assert [hit.score for hit in again] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    assert [hit.similarity for hit in again] == pytest.approx(
        [float(index.encode(hit.text) @ query) for hit in again], abs=1e-5
    )


def test_documents_that_may_not_be_found_move_nothing(index: SearchIndex) -> None:
    for mode in ("dense", "bm25", "hybrid"):
        kept = index.search("car", mode=mode, expand="feedback", where="kind = 'new'")  # type: ignore[arg-type]
        alone = index.search("car", mode=mode, expand="feedback", ids=["d3", "d4", "d5", "d6", "d7"])  # type: ignore[arg-type]
        assert kept == alone
        assert mode != "bm25" or kept == []  # no document that may be found says car


def test_feedback_goes_with_pages_weights_and_explanations(index: SearchIndex) -> None:
    whole = index.search("car road", 8, expand="feedback", explain=True, dense_weight=0.7)
    assert (
        index.search("car road", 3, offset=2, expand="feedback", explain=True, dense_weight=0.7) == whole[2:5]
    )
    assert whole[0].ranks is not None
    assert set(whole[0].ranks) == {"dense", "bm25"}
    with pytest.raises(ConfigError, match="search: expand 'model', expected one of none, feedback"):
        index.search("car", expand="model")  # type: ignore[arg-type]
