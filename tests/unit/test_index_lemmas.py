"""Lemmas of an index: forms of a word are found by each other, highlighted, kept when an index grows; keys stay."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.fakes import rewrite_manifest
from tests.indexes import build, index_config, run
from topicflow.configs.sections.index import IndexConfig
from topicflow.tasks.core.vectors.postings import transpose_counts
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search import recipes
from topicflow.tasks.search.index import SearchIndex

TEXTS = ["the wings of a bird", "a wing of a house", "winged mice", "two mice and a mouse", "bread"]


def table(texts: list[str]) -> pl.DataFrame:
    vectors = np.eye(8, dtype=np.float32)[: len(texts)].tolist()
    return pl.DataFrame({"id": [f"d{row}" for row in range(len(texts))], "text": texts, "vector": vectors})


def found(index: SearchIndex, query: str) -> list[str]:
    return [hit.doc_id for hit in index.search(query, mode="bm25")]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index with English base forms."""
    return build(tmp_path_factory.mktemp("lemmas"), table(TEXTS), lemmas=["en"])


def test_forms_find_each_other(index: SearchIndex, tmp_path: Path) -> None:
    assert set(found(index, "wing")) == set(found(index, "wings")) == {"d0", "d1"}
    assert found(index, "mouse") == found(index, "mice") == ["d3", "d2"]  # d3 has it twice
    plain = build(tmp_path, table(TEXTS))
    assert found(plain, "wings") == ["d0"]
    assert "lemmas" not in plain.files.store.manifest("indexes", plain.files.ref.key)["recipe"]["config"]


def test_scores_are_those_of_texts_in_base_forms(index: SearchIndex, tmp_path: Path) -> None:
    bases = ["the wing of a bird", "a wing of a house", "winged mouse", "two mouse and a mouse", "bread"]
    plain = build(tmp_path, table(bases))
    for query in ("wing", "mouse", "a wing"):
        assert [(hit.doc_id, hit.score) for hit in index.search(query, mode="bm25")] == [
            (hit.doc_id, hit.score) for hit in plain.search(query, mode="bm25")
        ]


def test_the_form_in_the_text_is_marked(index: SearchIndex) -> None:
    (_, hit) = sorted(index.search("mouse", mode="bm25", highlight=True), key=lambda hit: hit.doc_id)
    assert hit.highlight is not None
    assert [hit.highlight.sentence[start:end] for start, end in hit.highlight.places] == ["mice", "mouse"]
    assert hit.highlight.words == ["mouse"]
    expanded = index.search("mouse", mode="bm25", expand="feedback")
    assert {hit.doc_id for hit in expanded} >= {"d2", "d3"}


def test_documents_that_are_added_have_base_forms(tmp_path: Path) -> None:
    index = build(tmp_path, table(TEXTS), lemmas=["en"])
    index.add([{"doc_id": "n", "text": "winging it with wings"}], np.eye(8, dtype=np.float32)[7:])
    assert "n" in found(index, "wing")
    assert index.files.meta["words"] == recipes.identity_of_words(IndexConfig(lemmas=("en",)))


def test_other_lemmas_are_another_index_and_none_are_the_old_one(tmp_path: Path) -> None:
    old = build(tmp_path, table(TEXTS))

    def forget(manifest: dict[str, dict[str, dict[str, object]]]) -> None:
        del manifest["meta"]["config"]["lemmas"]  # as an earlier version wrote it

    rewrite_manifest(old.files.path("manifest.json").parent, forget)
    table([*TEXTS, "new"]).write_parquet(tmp_path / "documents.parquet")
    grown = run(index_config(tmp_path))
    assert grown.files.meta["base"] == old.files.ref.key
    other = run(index_config(tmp_path, lemmas=["en"]))
    assert other.files.meta["base"] is None


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^index\.lemmas: .*xx.*; name languages by codes such as en, de, fr$"
    ):
        build(tmp_path, table(TEXTS), lemmas=["xx"])
    with pytest.raises(
        ValueError, match="lemmas joins the words of BM25; set lexical = true or remove lemmas"
    ):
        IndexConfig(lemmas=("en",), lexical=False)
    monkeypatch.setitem(sys.modules, "simplemma", None)
    with pytest.raises(
        ConfigError, match=r"^index\.lemmas needs the package simplemma.*remove index\.lemmas$"
    ):
        build(tmp_path, table(TEXTS), lemmas=["en"])


def test_counts_of_one_word_and_document_are_added() -> None:
    data, indices = np.array([1, 2, 3, 4], np.int32), np.array([0, 1, 0, 0], np.int32)
    postings = transpose_counts(data, indices, np.array([0, 3, 4], np.int64), 2)
    assert (postings.offsets.tolist(), postings.rows.tolist()) == ([0, 2, 3], [0, 1, 0])
    assert (postings.counts.tolist(), postings.lengths.tolist()) == ([4, 4, 2], [6, 4])
