"""Postings: BM25 equals bm25s's, for any parts and any removed documents; ranks fuse as computed by hand."""

from pathlib import Path

import bm25s
import numpy as np
import polars as pl
import pytest

from tests.indexes import documents_table
from topicflow.tasks.core.vectors.bm25 import Bm25, Lexicon, WordSearch
from topicflow.tasks.core.vectors.postings import Postings, fuse_ranks
from topicflow.tasks.search.index_checks import read_arrow
from topicflow.tasks.search.index_files import write_postings
from topicflow.tasks.store.artifact_store import ArtifactWriter

TEXTS = documents_table(200)["text"].to_list()
QUERY = ["red", "horse", "n17", "unknown"]
USUAL = Bm25()


def part(folder: Path, texts: list[str]) -> tuple[Postings, Lexicon]:
    writer = ArtifactWriter(folder, "w")
    folder.mkdir()
    write_postings(writer, 0, [texts], 2)
    arrays = (
        np.load(folder / f"words/part-00000/{name}.npy") for name in ("offsets", "rows", "counts", "lengths")
    )
    return Postings(*arrays), Lexicon(read_arrow(folder / "words/part-00000/words.arrow")["word"])


def searched(removed: np.ndarray, *parts: tuple[Postings, Lexicon]) -> WordSearch:
    return WordSearch([each for each, _ in parts], [words for _, words in parts], removed)


def scores(words: WordSearch, asked: dict[str, float], n: int, bm25: Bm25 = USUAL) -> np.ndarray:
    """Return the score of each document, 0 for those that are not found."""
    rows, found = words.best(asked, n, None, bm25)
    assert (np.diff(found) <= 0).all()
    assert all(a < b for a, b, tie in zip(rows, rows[1:], np.diff(found) == 0, strict=False) if tie)
    every = np.zeros(n, np.float32)
    every[rows] = found
    return every


def reference(texts: list[str], k1: float = 1.5, b: float = 0.75) -> np.ndarray:
    model = bm25s.BM25(method="lucene", k1=k1, b=b)
    model.index([text.split() for text in texts], show_progress=False)
    return model.get_scores([word for word in QUERY if any(word in text.split() for text in texts)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WordSearch:
    """The words of all texts in one part."""
    return searched(np.zeros(len(TEXTS), bool), part(tmp_path_factory.mktemp("words") / "a", TEXTS))


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (3.0, 1.0), (1.2, 0.0), (0.0, 0.5)])
def test_scores_are_those_of_bm25s(whole: WordSearch, k1: float, b: float) -> None:
    found = scores(whole, dict.fromkeys(QUERY, 1.0), len(TEXTS), Bm25(k1, b))
    np.testing.assert_allclose(found, reference(TEXTS, k1, b), rtol=1e-5)
    assert found.argmax() == 17


def test_a_word_counts_by_its_weight(whole: WordSearch) -> None:
    n = len(TEXTS)
    weighted = 2 * scores(whole, {"red": 1.0}, n) + 0.5 * scores(whole, {"horse": 1.0}, n)
    assert weighted.max() > 0
    np.testing.assert_allclose(scores(whole, {"red": 2.0, "horse": 0.5}, n), weighted, rtol=1e-5)


def test_the_best_are_the_same_for_any_number_of_them(whole: WordSearch) -> None:
    asked, kept = dict.fromkeys(QUERY, 1.0), np.arange(len(TEXTS)) % 3 == 0
    rows, found = whole.best(asked, len(TEXTS), None, USUAL)
    for depth in (1, 7, 60):
        first = whole.best(asked, depth, None, USUAL)
        assert (first[0].tolist(), first[1].tolist()) == (rows[:depth].tolist(), found[:depth].tolist())
    own = whole.best(asked, len(TEXTS), kept, USUAL)
    assert own[0].tolist() == rows[kept[rows]].tolist()
    assert [each.tolist() for each in whole.best({"unknown": 1.0}, 5, None, USUAL)] == [[], []]


def test_words_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as equal:
        equal.setattr(pl.Series, "hash", lambda words: pl.Series([7] * len(words), dtype=pl.UInt64))
        lexicon = Lexicon(pl.Series(["red", "tea", "", "日本"]))
        assert lexicon.places(["tea", "日本", "cat", "", "red"]).tolist() == [1, 3, -1, 2, 0]
    assert Lexicon(pl.Series([], dtype=pl.String)).places(["tea"]).tolist() == [-1]


def test_parts_and_gaps_give_the_scores_of_what_is_left(tmp_path: Path) -> None:
    removed = np.zeros(200, bool)
    removed[[0, 5, 130, 199]] = True
    left = [text for text, gone in zip(TEXTS, removed, strict=True) if not gone]
    parts = part(tmp_path / "a", TEXTS[:120]), part(tmp_path / "b", TEXTS[120:])
    found = scores(searched(removed, *parts), dict.fromkeys(QUERY, 1.0), 200)
    np.testing.assert_allclose(found[~removed], reference(left), rtol=1e-5)
    assert not found[removed].any()


def test_ranks_fuse_as_computed_by_hand() -> None:
    rows, scores = fuse_ranks([np.array([7, 3, 9]), np.array([3, 8])], [1.0, 0.5], 60.0)
    by_hand = {7: 1 / 61, 3: 1 / 62 + 0.5 / 61, 9: 1 / 63, 8: 0.5 / 62}
    assert rows.tolist() == [3, 7, 9, 8]
    assert scores.tolist() == pytest.approx([by_hand[row] for row in (3, 7, 9, 8)])


def test_ties_go_by_row() -> None:
    assert fuse_ranks([np.array([9]), np.array([2])], [1.0, 1.0], 60.0)[0].tolist() == [2, 9]
