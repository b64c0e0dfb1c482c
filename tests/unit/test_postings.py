"""Postings: BM25 equals bm25s's, for any parts and any removed documents; ranks fuse as computed by hand."""

from pathlib import Path

import bm25s
import numpy as np
import pytest

from tests.indexes import documents_table
from topicflow.tasks.core.vectors.postings import Postings, bm25_scores, fuse_ranks
from topicflow.tasks.search.index_checks import read_arrow
from topicflow.tasks.search.index_files import write_postings
from topicflow.tasks.store.artifact_store import ArtifactWriter

TEXTS = documents_table(200)["text"].to_list()
QUERY = ["red", "horse", "n17", "unknown"]
ONCE = [1.0] * len(QUERY)


def part(folder: Path, texts: list[str]) -> tuple[Postings, list[str]]:
    writer = ArtifactWriter(folder, "w")
    folder.mkdir()
    write_postings(writer, 0, [texts], 2)
    arrays = (
        np.load(folder / f"words/part-00000/{name}.npy") for name in ("offsets", "rows", "counts", "lengths")
    )
    return Postings(*arrays), read_arrow(folder / "words/part-00000/words.arrow")["word"].to_list()


def places(words: list[str]) -> np.ndarray:
    return np.array([words.index(word) if word in words else -1 for word in QUERY])


def reference(texts: list[str]) -> np.ndarray:
    model = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    model.index([text.split() for text in texts], show_progress=False)
    return model.get_scores([word for word in QUERY if any(word in text.split() for text in texts)])


def test_scores_are_those_of_bm25s(tmp_path: Path) -> None:
    postings, words = part(tmp_path / "a", TEXTS)
    mean = float(np.mean([len(text.split()) for text in TEXTS]))
    found = bm25_scores([postings], [places(words)], ONCE, len(TEXTS), mean, np.zeros(len(TEXTS), bool))
    np.testing.assert_allclose(found, reference(TEXTS), rtol=1e-5)
    assert found.argmax() == 17


def test_a_word_counts_by_its_weight(tmp_path: Path) -> None:
    postings, words = part(tmp_path / "a", TEXTS)
    nothing = np.zeros(len(TEXTS), bool)

    def scores(*weights: float) -> np.ndarray:
        return bm25_scores([postings], [places(words)], weights, len(TEXTS), 5.0, nothing)

    weighted = 2 * scores(1, 0, 0, 0) + 0.5 * scores(0, 1, 0, 0)
    assert weighted.max() > 0
    np.testing.assert_allclose(scores(2, 0.5, 0, 0), weighted, rtol=1e-5)


def test_parts_and_gaps_give_the_scores_of_what_is_left(tmp_path: Path) -> None:
    first, second = part(tmp_path / "a", TEXTS[:120]), part(tmp_path / "b", TEXTS[120:])
    removed = np.zeros(200, bool)
    removed[[0, 5, 130, 199]] = True
    left = [text for text, gone in zip(TEXTS, removed, strict=True) if not gone]
    mean = float(np.mean([len(text.split()) for text in left]))
    asked = [places(first[1]), places(second[1])]
    found = bm25_scores([first[0], second[0]], asked, ONCE, len(left), mean, removed)
    np.testing.assert_allclose(found[~removed], reference(left), rtol=1e-5)


def test_ranks_fuse_as_computed_by_hand() -> None:
    rows, scores = fuse_ranks([np.array([7, 3, 9]), np.array([3, 8])], [1.0, 0.5], 60.0)
    by_hand = {7: 1 / 61, 3: 1 / 62 + 0.5 / 61, 9: 1 / 63, 8: 0.5 / 62}
    assert rows.tolist() == [3, 7, 9, 8]
    assert scores.tolist() == pytest.approx([by_hand[row] for row in (3, 7, 9, 8)])


def test_ties_go_by_row() -> None:
    assert fuse_ranks([np.array([9]), np.array([2])], [1.0, 1.0], 60.0)[0].tolist() == [2, 9]
