"""Coherence against gensim's CoherenceModel, and by hand."""

import math
import re

import numpy as np
import pytest
from gensim.corpora import Dictionary
from gensim.models import CoherenceModel
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.tasks.core.words import coherence
from topicflow.tasks.core.words.cutting import SCANNED

PATTERN = r"(?u)\b\w\w+\b"
WINDOWS = (coherence.NPMI_WINDOW, coherence.C_V_WINDOW)


def measured(topics: list[list[str]], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    words = coherence.index_words(topics)
    part = coherence.word_ids(texts, words.vocabulary, PATTERN, lowercase=True)
    near, far = coherence.count_windows([part], words, WINDOWS)
    return coherence.npmi(words, near), coherence.c_v(words, far)


def by_gensim(topics: list[list[str]], texts: list[str], name: str) -> np.ndarray:
    tokens = [re.findall(PATTERN, text.lower()) for text in texts]
    model = CoherenceModel(
        topics=topics, texts=tokens, dictionary=Dictionary(tokens), coherence=name, topn=10, processes=1
    )
    return np.array(model.get_coherence_per_topic())


def random_corpus(seed: int, n_docs: int, longest: int, n_words: int) -> list[str]:
    """Return texts with Zipfian words, some of them empty, some longer than the longest window."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, n_words + 1)
    lengths = rng.integers(0, longest + 1, n_docs)
    draws = [rng.choice(n_words, length, p=shares / shares.sum()) for length in lengths]
    return [" ".join(f"w{i:03d}" for i in draw) for draw in draws]


def topics_of(texts: list[str], seed: int, n_topics: int, size: int) -> list[list[str]]:
    """Return topics of words that occur."""
    found = sorted({word for text in texts for word in text.split()})
    rng = np.random.default_rng(seed)
    return [rng.choice(found, min(size, len(found)), replace=False).tolist() for _ in range(n_topics)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_docs=st.integers(1, 12),
    longest=st.sampled_from([3, 9, 10, 11, 40, 109, 110, 111, 260]),
    n_words=st.integers(2, 60),
    size=st.integers(2, 10),
)
def test_agrees_with_gensim(seed: int, n_docs: int, longest: int, n_words: int, size: int) -> None:
    texts = [*random_corpus(seed, n_docs, longest, n_words), "w000 w001"]
    topics = topics_of(texts, seed, 4, size)
    npmi, c_v = measured(topics, texts)
    np.testing.assert_allclose(npmi, by_gensim(topics, texts, "c_npmi"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(c_v, by_gensim(topics, texts, "c_v"), rtol=0, atol=1e-9)


DOCSTRINGS = [
    doc for module in (np, np.linalg, np.random, np.ma, math, re) for name in sorted(dir(module))
    if (doc := getattr(getattr(module, name), "__doc__", None))
]  # fmt: skip


def test_agrees_with_gensim_on_prose() -> None:
    topics = [
        ["array", "shape", "axis", "dtype", "ndarray", "copy", "order", "memory", "view", "elements"],
        ["random", "distribution", "samples", "probability", "generator", "drawn", "size", "normal", "scale"],
        ["matrix", "eigenvalues", "linalg", "singular", "decomposition", "hermitian", "norm", "vector"],
        ["pattern", "string", "match", "replacement", "flags", "regular", "expression"],
        ["sine", "cosine", "tangent", "hyperbolic", "radians", "inverse"],
    ]
    assert sum(len(doc) for doc in DOCSTRINGS) > 300_000
    npmi, c_v = measured(topics, DOCSTRINGS)
    np.testing.assert_allclose(npmi, by_gensim(topics, DOCSTRINGS, "c_npmi"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(c_v, by_gensim(topics, DOCSTRINGS, "c_v"), rtol=0, atol=1e-9)
    mixed, _ = measured([[topic[i] for topic in topics] for i in range(5)], DOCSTRINGS)
    assert npmi.mean() > mixed.mean() + 0.1, (
        "words that belong together cohere more than the same words mixed"
    )


def test_words_that_never_occur_are_left_out_as_in_gensim() -> None:
    texts = random_corpus(3, 20, 60, 30)
    known = ["w000", "w003", "w005"]
    topics = [["absent", *known, "missing"], known]
    npmi, c_v = measured(topics, texts)
    assert npmi[0] == npmi[1]
    assert c_v[0] == c_v[1]
    np.testing.assert_allclose(npmi, by_gensim(topics, texts, "c_npmi"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(c_v, by_gensim(topics, texts, "c_v"), rtol=0, atol=1e-9)


@pytest.mark.parametrize("topic", [[], ["cat"], ["unicorn"], ["unicorn", "griffin"], ["cat", "unicorn"]])
def test_a_topic_without_two_known_words_has_no_value(topic: list[str]) -> None:
    npmi, c_v = measured([topic, ["cat", "dog"]], ["cat dog", "cat bird", "fish"])
    assert math.isnan(npmi[0])
    assert math.isnan(c_v[0])
    assert coherence.defined_mean(npmi) == npmi[1]
    assert coherence.defined_mean(c_v) == c_v[1]


def test_npmi_by_hand() -> None:
    npmi, _ = measured([["cat", "dog"]], ["cat dog", "cat", "dog cat", "bird"])
    # four windows: p(cat) = 3/4, p(dog) = p(both) = 1/2
    assert npmi[0] == pytest.approx(math.log(0.5 / (0.75 * 0.5)) / -math.log(0.5), abs=1e-9)


def test_no_topics_and_no_texts() -> None:
    npmi, c_v = measured([], ["cat dog"])
    assert npmi.shape == c_v.shape == (0,)
    assert math.isnan(coherence.defined_mean(npmi))
    npmi, c_v = measured([["cat", "dog"]], [])
    assert np.isnan([*npmi, *c_v]).all()


def windows_by_hand(tokens: list[str], window: int) -> list[set[str]]:
    return [set(tokens[i : i + window]) for i in range(max(1, len(tokens) - window + 1))]


@pytest.mark.parametrize("window", [1, 2, 3, 7, 10])
def test_counts_are_those_of_boolean_windows_if_no_word_repeats_within_one(window: int) -> None:
    rng = np.random.default_rng(window)
    vocabulary = [f"w{i:02d}" for i in range(12)]
    documents = [np.concatenate([rng.permutation(12)[:window]] * 4)[: rng.integers(0, 30)] for _ in range(30)]
    tokens = [[vocabulary[i] for i in document] for document in documents]
    words = coherence.index_words([vocabulary[:6], vocabulary[3:10]])
    part = coherence.word_ids([" ".join(t) for t in tokens], words.vocabulary, PATTERN, lowercase=True)
    (counts,) = coherence.count_windows([part], words, [window])
    seen = [s for t in tokens for s in windows_by_hand(t, window)]
    assert counts.n_windows == len(seen)
    for word, i in words.vocabulary.items():
        assert counts.occurrences[i] == sum(word in s for s in seen), word
    names = list(words.vocabulary)
    for i in range(words.n_words):
        for place in range(words.indptr[i], words.indptr[i + 1]):
            j = words.partners[place]
            back = words.indptr[j] + np.searchsorted(words.partners[words.indptr[j] : words.indptr[j + 1]], i)
            pair = {names[i], names[j]}
            assert counts.together[place] + counts.together[back] == sum(pair <= s for s in seen), pair


def test_a_word_leaves_with_its_first_token_as_in_gensim() -> None:
    words = coherence.index_words([["aa", "bb"]])
    part = coherence.word_ids(["aa aa bb xx"], words.vocabulary, PATTERN, lowercase=True)
    (counts,) = coherence.count_windows([part], words, [3])
    # windows (aa aa bb), (aa bb xx): the second contains aa, but its first token has left
    assert counts.n_windows == 2
    assert counts.occurrences.tolist() == [1, 2]
    assert counts.together.sum() == 1


def test_parts_of_a_corpus_add_up() -> None:
    texts = random_corpus(5, 40, 150, 40)
    words = coherence.index_words(topics_of(texts, 5, 6, 8))
    at_once, parts = (
        [
            coherence.word_ids(texts[i : i + n], words.vocabulary, PATTERN, lowercase=True)
            for i in range(0, 40, n)
        ]
        for n in (40, 7)
    )
    for one, many in zip(
        *(coherence.count_windows(p, words, WINDOWS) for p in (at_once, parts)), strict=True
    ):
        assert one.n_windows == many.n_windows
        np.testing.assert_array_equal(one.occurrences, many.occurrences)
        np.testing.assert_array_equal(one.together, many.together)


def test_only_pairs_within_a_topic_are_kept() -> None:
    topics = [[f"t{i}a", f"t{i}b", f"t{i}c"] for i in range(500)] + [["t0a", "t0b", "t1a"]]
    words = coherence.index_words(topics)
    assert words.n_words == 1500
    assert len(words.partners) == 500 * 6 + 4  # the last topic adds t0a-t1a and t0b-t1a, both ways


def test_word_ids_mark_other_words_and_bounds() -> None:
    ids, offsets = coherence.word_ids(
        ["The Cat, the dog", "", "x cat"], {"cat": 0, "dog": 7}, PATTERN, lowercase=True
    )
    assert ids.tolist() == [-1, 0, -1, 7, 0]  # a single letter is no word for this pattern
    assert offsets.tolist() == [0, 4, 4, 5]
    ids, _ = coherence.word_ids(["The Cat, the dog"], {"cat": 0, "dog": 7}, PATTERN, lowercase=False)
    assert ids.tolist() == [-1, -1, -1, 7]
    assert ids.dtype == np.int32


def test_phrases_are_split_and_repeats_dropped() -> None:
    topics = [["machine learning", "machine", "deep learning", "net"], [], ["one"]]
    assert coherence.split_keywords(topics, 10) == [["machine", "learning", "deep", "net"], [], ["one"]]
    assert coherence.split_keywords(topics, 2)[0] == ["machine", "learning"]


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ([["a", "b"], ["c", "d"]], 1.0),
        ([["a", "b"], ["a", "b"]], 0.5),
        ([["a", "b", "c"], ["a"]], 0.75),
        ([["a"], []], 1.0),
    ],
)
def test_diversity_is_the_share_of_distinct_words(topics: list[list[str]], expected: float) -> None:
    assert coherence.topic_diversity(topics) == expected


@pytest.mark.parametrize("topics", [[], [[]]])
def test_diversity_of_no_words_is_undefined(topics: list[list[str]]) -> None:
    assert math.isnan(coherence.topic_diversity(topics))


@settings(max_examples=200, deadline=None)
@given(
    texts=st.lists(st.text("aAbB-_ é²\u0301\u0130Σ", max_size=15), max_size=5),
    words=st.lists(st.text("aAb-é_", max_size=4), unique=True, max_size=8),
    pattern=st.sampled_from(sorted(SCANNED)),
    lowercase=st.booleans(),
)
def test_word_ids_are_those_of_pythons_own_expressions(
    texts: list[str], words: list[str], pattern: str, lowercase: bool
) -> None:
    vocabulary = {word: 3 * number for number, word in enumerate(words)}
    tokens = [re.findall(pattern, text.lower() if lowercase else text) for text in texts]
    ids, offsets = coherence.word_ids(texts, vocabulary, pattern, lowercase=lowercase)
    assert ids.tolist() == [vocabulary.get(token, -1) for one in tokens for token in one]
    assert offsets.tolist() == [0, *np.cumsum([len(one) for one in tokens]).tolist()]
    assert ids.dtype == np.int32
    assert offsets.dtype == np.int64


def test_word_ids_of_another_pattern_are_cut_by_it() -> None:
    ids, offsets = coherence.word_ids(["#a #b a", "#b"], {"a": 0, "b": 1}, r"#(\w)", lowercase=True)
    assert (ids.tolist(), offsets.tolist()) == ([0, 1, 1], [0, 2, 3])
