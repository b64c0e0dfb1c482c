"""Words of slices: against a dense computation of the same definition, for any documents, topics and periods."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.periods.words import Slicing, words_of_slices
from topicflow.tasks.topics.label import weigh_words

WORDS = list("abcdefgh")
N_SLICES = 4


def reference(
    counts: np.ndarray, labels: np.ndarray, slicing: Slicing, config: LabelConfig
) -> dict[tuple[int, int], np.ndarray]:
    """Return the weight of each word in each topic and slice that has documents, by dense arrays."""
    whole = weigh_words(csr_matrix(counts), WORDS, labels, config)
    scores = whole.scores.toarray()[-whole.first :]
    totals = counts.sum(axis=0)
    made: dict[tuple[int, int], np.ndarray] = {}
    for topic in range(labels.max() + 1):
        members = counts[labels == topic].sum(axis=0)
        exclusive = np.where(totals > 0, members / np.maximum(totals, 1), 0.0) ** config.exclusivity
        for number in range(slicing.n_slices):
            own = counts[(labels == topic) & (slicing.numbers == number)]
            if not len(own):
                continue
            share = own.sum(axis=0) / max(own.sum(), 1)
            if config.reduce_frequent_words:
                share = np.sqrt(share)
            spread = (own > 0).mean(axis=0) ** config.spread
            idf = np.where(own.sum(axis=0) > 0, whole.idf, 0.0)
            made[topic, number] = share * idf * spread * exclusive
    shares = {key: one / (np.abs(one).sum() or 1.0) for key, one in made.items()}
    tuned = {}
    for (topic, number), one in shares.items():
        before = shares.get((topic, number - 1)) if slicing.evolution_tuning else None
        mean = one if before is None else (one + before) / 2
        total = scores[topic] / (np.abs(scores[topic]).sum() or 1.0)
        tuned[topic, number] = (mean + total) / 2 if slicing.global_tuning else mean
    return tuned


@st.composite
def corpora(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    counts = rng.integers(0, 4, (n, len(WORDS))) * (rng.random((n, len(WORDS))) < 0.4)
    counts[0, counts.sum(axis=0) == 0] = 1  # every counted word occurs
    return counts.astype(np.int32), rng.integers(-1, 3, n).astype(np.int32), rng.integers(-1, N_SLICES, n)


@settings(max_examples=80, deadline=None)
@given(
    corpora(), st.booleans(), st.booleans(), st.integers(1, 9),
    st.sampled_from([(0.0, 0.0), (1.0, 0.45), (0.5, 0.0), (0.0, 2.0)]), st.booleans(),
)  # fmt: skip
def test_words_are_those_of_the_definition(
    corpus: tuple[np.ndarray, np.ndarray, np.ndarray],
    with_whole: bool,
    with_before: bool,
    n_words: int,
    powers: tuple[float, float],
    is_root: bool,
) -> None:
    counts, labels, numbers = corpus
    slicing = Slicing(numbers.astype(np.int32), N_SLICES, n_words, with_whole, with_before)
    config = LabelConfig(spread=powers[0], exclusivity=powers[1], reduce_frequent_words=is_root)
    found = words_of_slices(csr_matrix(counts), WORDS, labels, slicing, config)
    expected = reference(counts, labels, slicing, config)
    assert list(zip(found.topics.tolist(), found.slices.tolist(), strict=True)) == sorted(expected)
    for topic, number, words, weights in zip(
        found.topics.tolist(), found.slices.tolist(), found.keywords, found.weights, strict=True
    ):
        dense = expected[topic, number]
        assert len(words) == min(n_words, int((dense > 1e-15).sum()))
        np.testing.assert_allclose(weights, [dense[WORDS.index(word)] for word in words], atol=1e-12)
        np.testing.assert_allclose(weights, np.sort(dense)[::-1][: len(words)], atol=1e-12)


def test_a_word_of_the_whole_topic_enters_a_period_that_lacks_it_only_by_tuning() -> None:
    counts = csr_matrix(np.array([[4, 0, 1], [4, 0, 1], [0, 3, 1], [0, 0, 9]], np.int32))
    labels, numbers = np.array([0, 0, 0, 1], np.int32), np.array([0, 0, 1, 1], np.int32)
    config = LabelConfig(spread=0, exclusivity=0)
    plain = words_of_slices(counts, ["old", "new", "all"], labels, Slicing(numbers, 2, 3, False), config)
    assert [words[0] for words in plain.keywords] == ["old", "new", "all"]
    assert "old" not in plain.keywords[1]
    tuned = words_of_slices(counts, ["old", "new", "all"], labels, Slicing(numbers, 2, 3, True), config)
    assert set(tuned.keywords[1]) == {"old", "new", "all"}
    eased = words_of_slices(
        counts, ["old", "new", "all"], labels, Slicing(numbers, 2, 3, False, True), config
    )
    assert eased.keywords[0] == plain.keywords[0]
    assert set(eased.keywords[1]) == {"old", "new", "all"}


@pytest.mark.parametrize("labels", [[-1, -1], [0, -1]])
def test_no_topic_or_no_slice_is_no_row(labels: list[int]) -> None:
    slicing = Slicing(np.array([-1, 0], np.int32), 1, 5, True)
    counts = csr_matrix(np.ones((2, 2), np.int32))
    found = words_of_slices(counts, ["a", "b"], np.array(labels, np.int32), slicing, LabelConfig())
    assert (len(found.topics), found.keywords) == (0, [])


def test_documents_without_counted_words_have_no_keywords() -> None:
    slicing = Slicing(np.zeros(2, np.int32), 1, 5, True)
    found = words_of_slices(
        csr_matrix((2, 0), dtype=np.int32), [], np.zeros(2, np.int32), slicing, LabelConfig()
    )
    assert found.keywords == [[]]
