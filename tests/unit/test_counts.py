"""Word counts compared with scikit-learn's, c-TF-IDF with BERTopic's, stop words, patterns."""

import contextlib
import re
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from tests.fakes import Corpus, counted, save_documents
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.words import counts as core_counts
from topicflow.tasks.core.words.counts import emphasize, top_words, topic_counts, weigh_classes
from topicflow.tasks.core.words.cutting import SCANNED, character_classes
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics import pattern_words
from topicflow.tasks.topics.count import count, read_counts
from topicflow.tasks.topics.label import weigh_words
from topicflow.tasks.topics.stop_word_lists import CONTRACTIONS
from topicflow.tasks.topics.stop_words import stop_words
from topicflow.tasks.topics.tokenization import vectorizer_params

PLAIN = r"(?u)\b\w\w+\b"
COUNTED = CountConfig(stop_words="none")
WORD = st.sampled_from(
    ["cat", "Cat", "dog", "the", "and", "don't", "naïve", "x", "東京", "", "co-op", "a1", "\n"]
)
TEXT = st.lists(WORD, max_size=8).map(" ".join)
CONFIGS = st.builds(
    CountConfig,
    stop_words=st.sampled_from(["english", "none"]),
    ngram_range=st.sampled_from([(1, 1), (1, 2), (2, 3)]),
    min_df=st.integers(1, 3),
    max_features=st.none(),
    lowercase=st.booleans(),
    token_pattern=st.sampled_from([*SCANNED, r"(?u)\w+", r"[a-zA-Z]{2,}"]),
)
UNICODE = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("aZ9_- -\u0130\u03a3\u0345\u00b2")), max_size=20
)


def parts(texts: list[str], size: int) -> list[list[str]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def reference(texts: list[str], config: CountConfig) -> tuple[csr_matrix, list[str]]:
    """Return scikit-learn's counts; all words if none is in `min_df` texts, none if there are none."""
    for min_df in (config.min_df, 1):
        vectorizer = CountVectorizer(**vectorizer_params(config), min_df=min_df)
        with contextlib.suppress(ValueError):
            return vectorizer.fit_transform(texts), vectorizer.get_feature_names_out().tolist()
    return csr_matrix((len(texts), 0), dtype=np.int32), []


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=12), CONFIGS, st.integers(1, 12), st.integers(1, 3))
def test_counts_are_those_of_scikit_learn_however_they_are_chunked(
    texts: list[str], config: CountConfig, size: int, n_threads: int
) -> None:
    counts, words = counted(parts(texts, size), config, n_threads)
    expected, expected_words = reference(texts, config)
    assert words == expected_words
    assert counts.dtype == np.uint8
    np.testing.assert_array_equal(counts.toarray(), expected.toarray())
    assert counts.has_canonical_format


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(UNICODE, min_size=1, max_size=6),
    pattern=st.sampled_from(sorted(SCANNED)),
    lowercase=st.booleans(),
)
def test_any_unicode_is_cut_as_pythons_own_expressions_cut_it(
    texts: list[str], pattern: str, *, lowercase: bool
) -> None:
    config = CountConfig(stop_words="none", token_pattern=pattern, lowercase=lowercase, ngram_range=(1, 2))
    counts, words = counted([texts], config)
    expected, expected_words = reference(texts, config)
    assert words == expected_words
    np.testing.assert_array_equal(counts.toarray(), expected.toarray())


def test_every_code_point_is_cut_as_pythons_own_expressions_cut_it() -> None:
    points = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    text = " ".join(f"a{c}b {c}{c} {c}-x" for c in points)
    for pattern in (r"\b\w[\w-]*\w\b", r"\b\w\w+\b"):
        _, words = counted([[text]], CountConfig(stop_words="none", token_pattern=pattern, lowercase=False))
        assert words == sorted(set(re.findall(pattern, text)))


def test_python_and_rust_do_not_agree_on_what_a_word_is() -> None:
    """The reason why polars does not split words: if this test fails, it could."""
    classes = character_classes(hyphens=False)
    points = pl.Series([point for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000])
    rust = pl.Series(map(chr, points)).str.contains(r"^\w$").to_numpy()
    differing = points.filter(pl.Series(rust != (classes[points.to_numpy()] > 0))).to_list()
    assert {ord("\u0301"), ord("\u00b2")} <= set(differing)
    assert len(differing) > 1000  # 12,909 in Python 3.11 with polars 2.1


def test_vocabularies_grow_past_their_first_tables() -> None:
    texts = [
        " ".join(f"w{i % 9001}x{'y' * (i % 40)}" for i in range(start, start + 400))
        for start in range(0, 40_000, 400)
    ]
    config = CountConfig(stop_words="none", ngram_range=(1, 3))
    counts, words = counted(parts(texts, 7), config)
    expected, expected_words = reference(texts, config)
    assert len(words) > 3 * 2**14
    assert words == expected_words
    assert (counts != expected).nnz == 0


def test_long_texts_are_cut_in_slices_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["alpha beta " * 50, "", "beta gamma", "gamma " * 300, "x"]
    whole, words = counted([texts], COUNTED)
    monkeypatch.setattr(core_counts, "SLICE_CHARACTERS", 12)
    assert [len(part) for part in core_counts._slices([texts])] == [1, 2, 1, 1]
    sliced, same_words = counted([texts], COUNTED)
    assert words == same_words
    np.testing.assert_array_equal(sliced.toarray(), whole.toarray())


def test_no_texts_have_no_words() -> None:
    counts, words = counted([], CountConfig())
    assert (counts.shape, words) == ((0, 0), [])


def test_the_most_frequent_words_are_kept() -> None:
    texts = ["b b b", "b a", "a c c", *(f"w{i:02d}" for i in range(10))]
    config = CountConfig(min_df=1, max_features=10, token_pattern=r"\w+", stop_words="none")
    counts, words = counted([texts], config)
    assert words == ["a", "b", "c", *(f"w{i:02d}" for i in range(7))]  # ties by alphabet
    assert counts.sum(axis=0).tolist() == [[2, 4, 2, 1, 1, 1, 1, 1, 1, 1]]


# --- stop words and patterns ---


def test_english_stop_words_are_those_of_scikit_learn() -> None:
    assert stop_words(CountConfig(token_pattern=PLAIN)) == sorted(ENGLISH_STOP_WORDS)
    assert len(stop_words(CountConfig(token_pattern=PLAIN))) == 318
    assert set(stop_words(CountConfig())) - ENGLISH_STOP_WORDS == set(CONTRACTIONS.split())


def test_languages_are_joined_and_further_words_added() -> None:
    german, both = stop_words(CountConfig(stop_words="german")), CountConfig(stop_words=["german", "english"])
    assert {"und", "nicht"} <= set(german)
    assert "the" not in german
    assert set(stop_words(both)) == set(german) | ENGLISH_STOP_WORDS | set(CONTRACTIONS.split())
    extra = CountConfig(stop_words="none", extra_stop_words=["method"])
    assert stop_words(extra) == ["method"]
    assert stop_words(CountConfig(stop_words="none")) == []


def test_an_unknown_language_lists_those_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        stop_words(CountConfig(stop_words=["english", "klingon"]))
    assert str(error.value).startswith("count.stop_words: no list for 'klingon'; available: auto, none, ")
    assert "german" in str(error.value)


@pytest.mark.parametrize(("extra", "left"), [(["Don't"], ["cat"]), (["CAT"], ["don't"])])
def test_stop_words_are_cut_and_folded_as_the_texts_are(extra: list[str], left: list[str]) -> None:
    config = CountConfig(stop_words="none", extra_stop_words=extra, min_df=1)
    assert counted([["Don't cat"]], config)[1] == left


def test_without_folding_case_stop_words_keep_theirs() -> None:
    config = CountConfig(stop_words="none", extra_stop_words=["Cat"], min_df=1, lowercase=False)
    assert counted([["Cat cat"]], config)[1] == ["cat"]


def test_a_pattern_with_one_group_takes_the_group() -> None:
    config = CountConfig(token_pattern=r"#(\w+)", min_df=1)
    assert counted([["see #cats and #dogs"]], config)[1] == ["cats", "dogs"]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (
            r"(\w+",
            "count.token_pattern: not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        (
            r"(\w)(\w)",
            "count.token_pattern: has 2 groups, expected at most one; write (?:…) for the others",
        ),
        ("(" * 5000 + ")" * 5000, "count.token_pattern: not a regular expression: it is nested too deeply"),
        (
            "a{99999999999}",
            "count.token_pattern: not a regular expression: the repetition number is too large",
        ),
    ],
)
def test_a_bad_pattern_is_one_line(pattern: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        vectorizer_params(CountConfig(token_pattern=pattern))
    assert str(error.value) == line


BACKTRACKING = r"(?:\w+\s?)+:"


def test_a_pattern_that_backtracks_is_ended_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_words, "TEXT_S", 1.0)
    config = CountConfig(token_pattern=BACKTRACKING, stop_words="none", min_df=1)
    assert counted([["key: value", "other: x"]], config)[1] == ["key:", "other:"]
    slow = "a long text that has no colon in it and so is tried for ever " * 3
    started = time.monotonic()
    with pytest.raises(ConfigError) as error:
        counted([["key: value", slow, "other: x"]], config)
    assert str(error.value) == (
        f"count.token_pattern: '{BACKTRACKING}' took more than 1 s on a text of {len(slow):,} characters that begins "
        f"with {slow[:40]!r}; it backtracks: avoid repetition within repetition, as in (a+)+"
    )
    assert time.monotonic() - started < 120
    with pytest.raises(ConfigError, match="took more than 1 s on a text of 41 characters"):
        counted([["key: value"]], config.model_copy(update={"extra_stop_words": ("a" * 41,)}))


def test_the_process_that_cuts_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_words, "TEXT_S", 0.5)
    started = []
    popen = subprocess.Popen

    def watched(*args: object, **settings: object) -> object:
        started.append(popen(*args, **settings))
        return started[-1]

    monkeypatch.setattr(pattern_words.subprocess, "Popen", watched)
    with pytest.raises(ConfigError, match="it backtracks"):
        pattern_words.cut_apart(r"(a+)+b", ["a" * 60])
    assert [process.returncode for process in started] == [-9, -9]  # the second shows which text it is


def test_patterns_that_are_compiled_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_words.subprocess, "Popen", None)
    for pattern in SCANNED:
        assert counted([["a-cat and the dog"]], CountConfig(token_pattern=pattern, min_df=1))[1]


def test_long_lines_and_odd_characters_come_back() -> None:
    texts = ["naïve 東京 \ud800 " * 20_000, "", "x"]
    assert pattern_words.cut_apart(r"\S+", texts) == [text.split() for text in texts]


# --- topics ---


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXT, st.integers(-1, 2)), min_size=1, max_size=12))
def test_the_counts_of_a_topic_are_those_of_its_joined_texts(rows: list[tuple[str, int]]) -> None:
    texts, labels = [text for text, _ in rows], np.array([topic for _, topic in rows], np.int32)
    config = CountConfig(min_df=1, stop_words="none")
    counts, words = counted([texts], config)
    vectorizer = CountVectorizer(**vectorizer_params(config), vocabulary=words or ["none"])
    for first in (-1, 0):
        found, documents = topic_counts(counts, labels, first)
        signs, _ = topic_counts(counts.sign(), labels, first)
        np.testing.assert_array_equal(documents.toarray(), signs.toarray())
        topics = range(first, int(labels.max(initial=first - 1)) + 1)
        assert found.shape == (len(topics), len(words))
        for row, topic in enumerate(topics):
            joined = " ".join(text for text, label in rows if label == topic)
            if words:
                np.testing.assert_array_equal(
                    found.toarray()[row], vectorizer.transform([joined]).toarray()[0]
                )


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize(
    "weighting", [{}, {"bm25_weighting": True}, {"reduce_frequent_words": True}], ids=str
)
def test_ctfidf_is_that_of_bertopic_fitted_on_joined_texts(
    corpus: Corpus, noise: bool, weighting: dict[str, bool]
) -> None:
    from bertopic import BERTopic
    from bertopic.cluster import BaseCluster
    from bertopic.dimensionality import BaseDimensionalityReduction
    from bertopic.vectorizers import ClassTfidfTransformer

    rows = np.flatnonzero(corpus.truth >= (-1 if noise else 0))
    texts, labels = [corpus.texts[i] for i in rows], corpus.truth[rows]
    config = CountConfig(min_df=1)
    model = BERTopic(
        embedding_model=None, umap_model=BaseDimensionalityReduction(), hdbscan_model=BaseCluster(),
        vectorizer_model=CountVectorizer(**vectorizer_params(config)), ctfidf_model=ClassTfidfTransformer(**weighting),
    )  # fmt: skip
    model.fit(texts, embeddings=corpus.embeddings[rows], y=labels)
    expected = model.c_tf_idf_.toarray()
    found = weigh_words(*counted(parts(texts, 7), config), labels, LabelConfig(**weighting))
    assert found.first == (-1 if noise else 0)
    assert found.words == model.vectorizer_model.get_feature_names_out().tolist()
    # BERTopic renumbers topics, by size
    mapping = {int(label): int(topic) for label, topic in zip(labels, model.topics_, strict=True)}
    rows_of = [mapping[label] - found.first for label in range(found.first, 3)]
    np.testing.assert_allclose(found.weights.toarray(), expected[rows_of], rtol=1e-9, atol=1e-12)


def test_words_that_mark_a_topic_as_a_whole_and_it_alone_are_raised_by_hand() -> None:
    counts = csr_matrix([[4, 1, 0], [0, 1, 0], [0, 2, 3]])  # three documents; the first two are topic 0
    labels = np.array([0, 0, 1])
    classes, present = topic_counts(counts, labels, 0)
    weights = csr_matrix([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])  # with the entries of `classes`
    found = emphasize(weights, classes, present, np.array([2, 1]), 0.5, 1.0).toarray()
    expected = [[2 * 0.5**0.5 * 1, 1 * 1 * 0.5, 0], [0, 1 * 1 * 0.5, 3 * 1 * 1]]
    np.testing.assert_allclose(found, expected)
    same = emphasize(weights, classes, present, np.array([2, 1]), 0.0, 0.0)
    np.testing.assert_array_equal(same.toarray(), weights.toarray())


def test_a_word_that_all_share_outranks_one_that_a_single_document_repeats() -> None:
    texts = [*["shared topic word"] * 9, "shared " + "loud " * 12, *["other thing here"] * 10]
    labels = np.repeat([0, 1], 10).astype(np.int32)
    counts = counted([texts], COUNTED)
    plain = weigh_words(*counts, labels, LabelConfig(spread=0.0, exclusivity=0.0)).candidates(1)
    raised = weigh_words(*counts, labels, LabelConfig(spread=1.0, exclusivity=0.0)).candidates(1)
    assert (plain[0][0][0], raised[0][0][0]) == ("loud", "shared")


def test_top_words_are_the_largest_positive_weights_ties_by_column() -> None:
    weights = csr_matrix(np.array([[0.2, 0.5, 0.0, 0.5, -1.0], [0.0, 0.0, 0.0, 0.0, 0.0]]))
    assert [columns.tolist() for columns, _ in top_words(weights, 2)] == [[1, 3], []]
    assert [columns.tolist() for columns, _ in top_words(weights, 9)] == [[1, 3, 0], []]
    assert top_words(weights, 9)[0][1].tolist() == [0.5, 0.5, 0.2]


@given(st.lists(st.integers(-3, 3), max_size=60), st.integers(1, 12))
def test_top_words_are_those_of_a_full_sort(values: list[int], n: int) -> None:
    row = csr_matrix(np.array([values], np.float64).reshape(1, -1))
    expected = [i for i in sorted(range(len(values)), key=lambda i: (-values[i], i)) if values[i] > 0][:n]
    assert top_words(row, n)[0][0].tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_ctfidf_is_that_of_bertopics_transformer(seed: int, bm25: bool, root: bool) -> None:
    from bertopic.vectorizers import ClassTfidfTransformer

    rng = np.random.default_rng(seed)
    dense = rng.poisson(rng.choice([0.1, 1, 30]), size=(rng.integers(1, 9), rng.integers(2, 30)))
    dense[0] += dense.sum(axis=0) == 0  # each word is somewhere; with a single one BERTopic fails
    dense[:, 0] += dense.sum(axis=1) == 0
    classes = csr_matrix(dense)
    weights, idf = weigh_classes(classes, bm25_weighting=bm25, reduce_frequent_words=root)
    transformer = ClassTfidfTransformer(bm25_weighting=bm25, reduce_frequent_words=root)
    expected = transformer.fit(classes).transform(classes)
    np.testing.assert_allclose(weights.toarray(), expected.toarray(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(idf, transformer._idf_diag.diagonal(), rtol=1e-12, atol=1e-12)


# --- the stage ---


def run(store: ArtifactStore, documents: ArtifactRef, rows: int = 50_000, **config: object) -> ArtifactRef:
    return count.fn(Context(store, runtime=RuntimeConfig(chunk_rows=rows)), documents, CountConfig(**config))


def test_the_task_saves_the_counts_and_finds_them_again(store: ArtifactStore, corpus: Corpus) -> None:
    documents = save_documents(store, corpus.texts)
    made = run(store, documents, rows=10)
    expected, words = counted([corpus.texts], CountConfig())
    counts, found_words = read_counts(store, made)
    assert found_words == words
    np.testing.assert_array_equal(counts.toarray(), expected.toarray())
    described = {"n_words": len(words), "n_tokens": int(expected.sum()), "stop_words": "english"}
    assert (made.rows, store.meta(made)) == (132, described)
    again = run(store, documents, rows=99)
    assert (again.cached, again) == (True, made)
    assert not run(store, documents, min_df=2).cached


def test_the_same_texts_under_other_ids_are_a_hit(store: ArtifactStore, corpus: Corpus) -> None:
    made = run(store, save_documents(store, corpus.texts))
    again = run(store, save_documents(store, corpus.texts, name="other", label=list(corpus.truth)))
    assert (again.cached, again) == (True, made)
    assert not run(store, save_documents(store, corpus.texts[::-1], name="turned")).cached


def test_texts_without_any_word_are_counted(store: ArtifactStore) -> None:
    made = run(store, save_documents(store, ["the and", "...", "of"]))
    counts, words = read_counts(store, made)
    assert (counts.shape, words) == ((3, 0), [])
    assert store.table(made, "words").collect().schema == {"word": pl.String}
