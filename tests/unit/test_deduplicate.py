"""Stages of near-duplicates: hit, miss, changed config, resumed; kept documents; bad input."""

import time
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import save, save_documents
from topicflow.configs.sections.deduplicate import BothDeduplicate, EmbeddingDeduplicate, MinhashDeduplicate
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.duplicates import similar_texts as shingle_module
from topicflow.tasks.duplicates import similar_vectors as pair_module
from topicflow.tasks.duplicates.deduplicate import WAYS, deduplicate, keep
from topicflow.tasks.duplicates.similar_texts import similar_texts
from topicflow.tasks.duplicates.similar_vectors import sign, similar_vectors
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

RUNTIME = RuntimeConfig(device="cpu", n_threads=2)


def unit(angle: float) -> list[float]:
    return [float(np.cos(angle)), float(np.sin(angle)), 0.0]


class Corpus:
    """Texts and vectors in a store; vectors by their angle, so that cosines are known."""

    def __init__(
        self, store: ArtifactStore, texts: list[str], angles: list[float], name: str = "own", **columns: Any
    ) -> None:
        self.store = store
        self.documents = save_documents(store, texts, name, **columns)
        vectors = np.array([unit(angle) for angle in angles], np.float32)
        self.embeddings = save(store, "embeddings", {"embeddings": vectors}, name=name)

    def duplicates(self, config: Any, against: "Corpus | None" = None) -> ArtifactRef:
        pairs = {}
        if not isinstance(config, MinhashDeduplicate):
            base = against.embeddings if against else None
            pairs["similar_vectors"] = similar_vectors.fn(
                Context(self.store, 1, RUNTIME), self.embeddings, base, config
            )
        base_documents = against.documents if against else None
        if not isinstance(config, EmbeddingDeduplicate):
            found = similar_texts.fn(Context(self.store, 1, RUNTIME), self.documents, base_documents, config)
            pairs["similar_texts"] = found
        return deduplicate.fn(Context(self.store), self.documents, pairs, base_documents, config)

    def kept(self, config: Any, against: "Corpus | None" = None) -> list[int]:
        return np.flatnonzero(self.store.array(self.duplicates(config, against), "kept")).tolist()


TEXTS = ["one", "one", "two", "three is long", "four", "five"]
ANGLES = [0.0, 0.0, 0.1, 0.3, 0.5, 1.5]
"""Of distinct ones .995, .980, .980 one to the next; .955 and .921 to the next but one; .878 from the first to .5."""


@pytest.fixture
def corpus(store: ArtifactStore) -> Corpus:
    times = pl.Series([3, 9, 1, None, 5, 7]).cast(pl.Datetime("us"))
    corpus = Corpus(store, TEXTS, ANGLES, rank=[1, 2, 9, 4, 5, 6], nested=[[1]] * 6)
    documents = store.table(corpus.documents, "documents").collect().with_columns(timestamp=times)
    meta = store.meta(corpus.documents)
    columns = store.table(corpus.documents, "columns").collect()
    corpus.documents = save(store, "documents", {"columns": columns, "documents": documents}, meta, "timed")
    return corpus


def test_a_miss_a_hit_and_another_threshold_without_another_search(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EmbeddingDeduplicate(threshold=0.97)
    first = corpus.duplicates(config)
    assert not first.cached
    assert corpus.duplicates(config).cached
    monkeypatch.setattr(pair_module, "exact_pairs", None)  # would be called on a miss
    other = corpus.duplicates(config.model_copy(update={"threshold": 0.9}))
    assert other.key != first.key
    assert not other.cached


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, [0, 4, 5]),
        ({"threshold": 0.97}, [0, 3, 5]),
        ({"threshold": 1.0}, [0, 2, 3, 4, 5]),
        ({"grouping": "components"}, [0, 5]),
        ({"keep": "longest"}, [3, 5]),
        ({"keep": "newest"}, [1, 4, 5]),
        ({"keep": "central"}, [2, 5]),
        ({"keep": "column", "keep_column": "rank"}, [2, 5]),
        ({"search": "lsh", "recall": 0.999}, [0, 4, 5]),
    ],
)
def test_what_is_kept(corpus: Corpus, changes: dict[str, Any], kept: list[int]) -> None:
    assert corpus.kept(EmbeddingDeduplicate(**changes)) == kept


def test_a_missing_number_is_not_the_largest(store: ArtifactStore) -> None:
    ranks = [float("nan"), 1.0, 3.0, None, 2.0, float("nan")]
    corpus = Corpus(store, TEXTS, ANGLES, rank=ranks)
    config = EmbeddingDeduplicate(keep="column", keep_column="rank", grouping="components")
    assert corpus.kept(config) == [2, 5]  # all but the last are alike


def test_every_duplicate_has_the_kept_document_the_similarity_and_the_way(corpus: Corpus) -> None:
    ref = corpus.duplicates(EmbeddingDeduplicate())
    found = {
        name: np.array(corpus.store.array(ref, name))
        for name in ("kept_row", "base_row", "similarity", "way")
    }
    assert found["kept_row"].tolist() == [0, 0, 0, 0, 4, 5]
    assert (found["base_row"] == -1).all()
    np.testing.assert_allclose(found["similarity"], [1, 1, np.cos(0.1), np.cos(0.3), 1, 1], rtol=1e-6)
    assert [WAYS[way] for way in found["way"]] == ["kept", "text", "embedding", "embedding", "kept", "kept"]
    figures = corpus.store.json(ref, "figures")
    assert (figures["n_documents"], figures["n_kept"], figures["n_duplicates"]) == (6, 3, 3)
    assert (figures["n_equal_texts"], figures["n_groups"], figures["largest_group"]) == (1, 1, 4)
    assert (figures["recall"], figures["recall_sample"], figures["recall_missed"]) == (1.0, 3, 0)
    assert figures["kept_at"][0] == {"threshold": 0.85, "n_kept": 2}
    assert figures["kept_at"][-1] == {"threshold": 1.0, "n_kept": 5}
    assert sum(line["pairs"] for line in figures["histogram"]) == 6


def test_the_kept_documents_are_documents(corpus: Corpus) -> None:
    duplicates = corpus.duplicates(EmbeddingDeduplicate())
    kept = keep.fn(Context(corpus.store), corpus.documents, duplicates)
    assert kept.kind == "documents"
    assert corpus.store.table(kept, "documents").collect()["text"].to_list() == ["one", "four", "five"]
    assert corpus.store.table(kept, "documents").collect()["row"].to_list() == [0, 4, 5]
    assert corpus.store.table(kept, "columns").collect()["rank"].to_list() == [1, 5, 6]
    alone = save_documents(corpus.store, ["one", "four", "five"], "alone")
    assert corpus.store.meta(kept)["texts"] == corpus.store.meta(alone)["texts"]
    assert keep.fn(Context(corpus.store), corpus.documents, duplicates).cached


def test_the_kept_documents_of_an_input_whose_columns_were_not_carried(store: ArtifactStore) -> None:
    corpus = Corpus(store, TEXTS, ANGLES)
    documents = store.table(corpus.documents, "documents").collect()
    bare = save(
        store, "documents", {"columns": pl.DataFrame(), "documents": documents}, {"texts": ""}, "bare"
    )
    duplicates = corpus.duplicates(EmbeddingDeduplicate())
    kept = keep.fn(Context(store), bare, duplicates)
    assert kept.rows == store.table(kept, "documents").collect().height == 3


@pytest.mark.parametrize("search", ["exact", "lsh"])
def test_documents_that_are_in_another_corpus_go_and_the_rest_is_grouped(corpus: Corpus, search: str) -> None:
    other = Corpus(corpus.store, ["new", "five", "five again"], [0.5, 3.0, 3.0], "against")
    config = EmbeddingDeduplicate(search=search, recall=0.999)
    ref = corpus.duplicates(config, other)
    # .5 is 1.0 to the fifth, .98 to the fourth, .921 to the third; the last has a known text alone
    assert corpus.store.array(ref, "base_row").tolist() == [-1, -1, 0, 0, 0, 1]
    assert corpus.store.array(ref, "kept").tolist() == [True, False, False, False, False, False]
    ways = [WAYS[way] for way in corpus.store.array(ref, "way")]
    assert ways == ["kept", "text", "embedding", "embedding", "embedding", "text"]
    figures = corpus.store.json(ref, "figures")
    assert (figures["n_in_against"], figures["n_kept"]) == (4, 1)


def test_words_find_what_vectors_do_not_and_both_find_either(store: ArtifactStore) -> None:
    words = [f"w{i}" for i in range(40)]
    texts = [" ".join(words), " ".join([*words, "more"]), "short", "else", "Short"]
    corpus = Corpus(store, texts, [0.0, 1.5, 0.7, 0.71, 3.0])
    assert corpus.kept(EmbeddingDeduplicate()) == [0, 1, 2, 4]
    assert corpus.kept(MinhashDeduplicate(method="minhash")) == [0, 2, 3]
    both = BothDeduplicate(method="both")
    assert corpus.kept(both) == [0, 2]
    ways = [WAYS[way] for way in store.array(corpus.duplicates(both), "way")]
    assert ways == ["kept", "minhash", "kept", "embedding", "minhash"]
    against = Corpus(store, ["w0", " ".join(words)], [3.1, 3.1], "against")
    minhash = corpus.duplicates(MinhashDeduplicate(method="minhash"), against)
    assert store.array(minhash, "base_row").tolist() == [1, 1, -1, -1, -1]
    assert corpus.duplicates(MinhashDeduplicate(method="minhash"), against).cached


# --- parts ---


def spread(store: ArtifactStore, n: int = 600, name: str = "spread") -> Corpus:
    """Return documents; every third one has a nearly equal twin."""
    rng = np.random.default_rng(0)
    corpus = Corpus(store, [f"t{i}" for i in range(n)], [0.0] * n, name)
    vectors = rng.standard_normal((n, 32))
    vectors[1::3] = vectors[::3] + 0.1 * rng.standard_normal((n // 3, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    corpus.embeddings = save(store, "embeddings", {"embeddings": vectors}, name=f"{name} vectors")
    return corpus


def test_a_killed_search_continues_where_it_was(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_module, "SIGNED_ROWS", 100)
    monkeypatch.setattr(pair_module, "TABLES_A_PART", 2)
    corpus, config = spread(store), EmbeddingDeduplicate(search="lsh", recall=0.999)
    real, searched = pair_module.pairs_of_tables, []

    def dies(tables: range, *rest: Any) -> Any:
        if len(searched) == 3:
            raise KeyboardInterrupt
        searched.append(tables.start)
        return real(tables, *rest)

    monkeypatch.setattr(pair_module, "pairs_of_tables", dies)
    with pytest.raises(KeyboardInterrupt):
        similar_vectors.fn(Context(store, 1, RUNTIME), corpus.embeddings, None, config)
    monkeypatch.setattr(
        pair_module,
        "pairs_of_tables",
        lambda tables, *rest: (searched.append(tables.start), real(tables, *rest))[1],
    )
    found = similar_vectors.fn(Context(store, 1, RUNTIME), corpus.embeddings, None, config)
    assert searched == sorted(set(searched))
    assert len(searched) == -(-store.meta(found)["plan"]["n_tables"] // 2)
    assert store.meta(found)["n_pairs"] == 200
    assert {entry.kind for entry in store.entries()} == {"documents", "embeddings", "signatures", "pairs"}
    assert store.meta(found)["search"] == "lsh"

    whole = ArtifactStore(store.root.with_name("other"))
    again = similar_vectors.fn(Context(whole, 1, RUNTIME), spread(whole).embeddings, None, config)
    np.testing.assert_array_equal(whole.array(again, "pairs"), store.array(found, "pairs"))


def test_signatures_are_made_once_and_found_by_later_corpora(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, config = spread(store), EmbeddingDeduplicate(search="lsh")
    made = sign(Context(store, 1, RUNTIME), base.embeddings, config.n_bits)
    signed: list[int] = []
    real = pair_module.sign_bits
    monkeypatch.setattr(
        pair_module,
        "sign_bits",
        lambda vectors, *rest: (signed.append(len(vectors)), real(vectors, *rest))[1],
    )
    new = spread(store, 30, "new")
    found = similar_vectors.fn(Context(store, 1, RUNTIME), new.embeddings, base.embeddings, config)
    assert signed == [30]
    assert [made.kind, made.key] in store.meta(found)["beside"]
    pairs = store.array(found, "pairs")
    assert (pairs[:, 1] >= 600).all()


def test_shingles_are_made_once_and_found_by_later_corpora(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = MinhashDeduplicate(method="minhash")
    texts = [f"a b c d e f {i // 2} g h i j k l m" for i in range(50)]
    base = save_documents(store, texts)
    similar_texts.fn(Context(store, 1, RUNTIME), base, None, config)
    shingled: list[int] = []
    real = shingle_module.shingled
    monkeypatch.setattr(
        shingle_module, "shingled", lambda texts, width: (shingled.append(len(texts)), real(texts, width))[1]
    )
    new = save_documents(store, [texts[4], "x y z", texts[7] + " n"], "new")
    found = similar_texts.fn(Context(store, 1, RUNTIME), new, base, config)
    assert shingled == [3]
    assert (store.array(found, "pairs")[:, 1] >= 50).all()
    assert store.array(found, "first")[50:].tolist() == [4, 51, 52]


def test_shingles_in_parts_are_those_of_one(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"a b c d e f {i // 2} g h i j k l m" for i in range(50)]
    config = MinhashDeduplicate(method="minhash")
    whole = similar_texts.fn(Context(store, 1, RUNTIME), save_documents(store, texts), None, config)
    monkeypatch.setattr(shingle_module, "SHINGLED_ROWS", 7)
    monkeypatch.setattr(shingle_module, "BANDS_A_PART", 3)
    other = ArtifactStore(store.root.with_name("other"))
    parts = similar_texts.fn(Context(other, 1, RUNTIME), save_documents(other, texts), None, config)
    assert whole.key == parts.key
    for name in ("pairs", "similarities", "first"):
        np.testing.assert_array_equal(store.array(whole, name), other.array(parts, name))
    assert {entry.kind for entry in other.entries()} == {"documents", "shingles", "pairs"}


# --- bad input ---


@pytest.mark.parametrize("search", ["exact", "lsh"])
@pytest.mark.parametrize(("bad", "said"), [(0.0, "only zeros"), (np.nan, "NaN or infinite values")])
def test_a_vector_without_direction_is_named(
    store: ArtifactStore, search: str, bad: float, said: str
) -> None:
    vectors = np.eye(6, dtype=np.float32)
    vectors[4] = bad
    embeddings = save(store, "embeddings", {"embeddings": vectors})
    with pytest.raises(
        DataError,
        match=f"similar_vectors: embeddings row 4 contains {said}; correct or leave out that document",
    ):
        similar_vectors.fn(Context(store, 1, RUNTIME), embeddings, None, EmbeddingDeduplicate(search=search))


@pytest.mark.parametrize("search", ["exact", "lsh"])
def test_a_vector_without_direction_in_the_corpus_looked_up_is_named(
    store: ArtifactStore, search: str
) -> None:
    good, bad = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    bad[2] = np.inf
    own = save(store, "embeddings", {"embeddings": good})
    base = save(store, "embeddings", {"embeddings": bad}, name="base")
    with pytest.raises(DataError, match="similar_vectors: against row 2 contains NaN or infinite values"):
        similar_vectors.fn(Context(store, 1, RUNTIME), own, base, EmbeddingDeduplicate(search=search))


@pytest.mark.parametrize("search", ["exact", "lsh"])
@pytest.mark.parametrize("n", [1, 2, 100_000])
def test_one_document_and_all_documents_equal(store: ArtifactStore, n: int, search: str) -> None:
    corpus = Corpus(store, [f"{i}" for i in range(n)], [0.4] * n)
    config, began = EmbeddingDeduplicate(search=search), time.process_time()
    ref = corpus.duplicates(config)
    assert time.process_time() - began < 30  # .4 s of 100,000
    assert np.flatnonzero(store.array(ref, "kept")).tolist() == [0]
    figures = store.json(ref, "figures")
    assert (figures["n_kept"], figures["n_duplicates"], figures["recall"]) == (
        1,
        n - 1,
        None if n == 1 else 1.0,
    )
    assert (
        store.meta(similar_vectors.fn(Context(store, 1, RUNTIME), corpus.embeddings, None, config))["n_pairs"]
        == 0
    )


@pytest.mark.parametrize("n", [1, 100_000])
def test_one_text_and_all_texts_equal_by_words(store: ArtifactStore, n: int) -> None:
    corpus = Corpus(store, ["the very same words in each of them, over and over again"] * n, [0.4] * n)
    began = time.process_time()
    ref = corpus.duplicates(MinhashDeduplicate(method="minhash"))
    assert time.process_time() - began < 30  # 2 s
    assert np.flatnonzero(store.array(ref, "kept")).tolist() == [0]
    assert store.json(ref, "figures")["n_equal_texts"] == n - 1


def test_texts_without_words_are_not_duplicates_by_words(store: ArtifactStore) -> None:
    corpus = Corpus(store, ["…", "!", "…", "?"], [0.0, 1.0, 0.0, 2.0])
    assert corpus.kept(MinhashDeduplicate(method="minhash")) == [0, 1, 3]


def test_vectors_of_two_widths_are_refused(store: ArtifactStore) -> None:
    own = save(store, "embeddings", {"embeddings": np.eye(3, dtype=np.float32)})
    other = save(store, "embeddings", {"embeddings": np.eye(4, dtype=np.float32)}, name="other")
    with pytest.raises(DataError, match=r"3 dimensions, those of \[against\] 4"):
        similar_vectors.fn(Context(store, 1, RUNTIME), own, other, EmbeddingDeduplicate())


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("rang", "no column 'rang' .deduplicate.keep_column.; there are: "),
        ("nested", "expected numbers"),
    ],
)
def test_a_column_to_keep_by_must_be_there_and_have_an_order(corpus: Corpus, column: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        corpus.duplicates(EmbeddingDeduplicate(keep="column", keep_column=column))
