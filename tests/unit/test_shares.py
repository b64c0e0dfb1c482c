"""Topic shares: sums, words of mixed texts, the topic of clear documents, passages, brute force, hits and misses."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from tests.fakes import save
from topicflow.configs.sections.slices import SharesConfig
from topicflow.tasks.core.words.mixtures import N_CANDIDATES, N_STEPS, TOLERANCE
from topicflow.tasks.execution.context import Context
from topicflow.tasks.shares.estimate import CLEAR, SMOOTHING, Rows, TopicModelWords, divide
from topicflow.tasks.shares.shares import Divisible, share_lists, shares
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

N_TOPICS, N_OWN = 6, 12
WORDS = [f"w{topic}_{k}" for topic in range(N_TOPICS) for k in range(N_OWN)] + ["the", "of", "and"]


def made(seed: int, n: int = 240, n_mixed: int = 40) -> tuple[Rows, np.ndarray]:
    """Return documents of planted topics, of which the last `n_mixed` have words of a second topic, and both topics."""
    rng = np.random.default_rng(seed)
    first = np.arange(n) % N_TOPICS
    second = np.where(
        np.arange(n) < n - n_mixed, first, (first + 1 + rng.integers(0, N_TOPICS - 1, n)) % N_TOPICS
    )
    counts = np.zeros((n, len(WORDS)), np.int32)
    for row in range(n):
        for topic in (first[row], second[row]):
            np.add.at(counts[row], topic * N_OWN + rng.integers(0, N_OWN, 12), 1)
        counts[row, -3:] += rng.integers(1, 4, 3)
    vectors = np.eye(N_TOPICS, 16)[first] + rng.normal(0, 0.15, (n, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = Rows(
        csr_matrix(counts), vectors.astype(np.float32), first.astype(np.int32),
        rng.uniform(0.2, 1, n).astype(np.float32),
    )  # fmt: skip
    return rows, np.column_stack([first, second])


def model_of(rows: Rows) -> TopicModelWords:
    centroids = np.stack([rows.vectors[rows.labels == topic].mean(axis=0) for topic in range(N_TOPICS)])
    return TopicModelWords.of(rows.counts, rows.labels, centroids)


def lists(rows: Rows, top: int = 5, weight: float = 0.2) -> list[list[dict[str, Any]]]:
    n = len(rows.labels)
    return share_lists(divide(rows, model_of(rows), weight), np.arange(n), n, top).to_list()


def test_shares_sum_to_one_and_the_largest_come_first() -> None:
    for top in (1, 3, 5):
        for found in lists(made(0)[0], top):
            assert 1 <= len(found) <= top
            assert sum(each["share"] for each in found) == pytest.approx(1, abs=1e-5)
            values = [each["share"] for each in found]
            assert values == sorted(values, reverse=True)
            assert len({each["topic"] for each in found}) == len(found)


def test_both_topics_of_mixed_texts_have_the_shares_and_plain_texts_have_one() -> None:
    rows, truth = made(1)
    found = lists(rows)
    mixed = [{each["topic"] for each in one[:2]} for one in found[-40:]]
    assert sum(two == set(both.tolist()) for two, both in zip(mixed, truth[-40:], strict=True)) >= 38
    assert np.mean([one[1]["share"] for one in found[-40:]]) > 0.3
    assert np.mean([one[0]["share"] for one in found[:-40]]) > 0.9


def test_no_topic_of_a_clear_document_is_larger_than_its_own() -> None:
    rows, truth = made(2)
    wrong = ((truth[:, 0] + np.arange(len(truth)) // N_TOPICS % 3) % N_TOPICS).astype(np.int32)
    rows = Rows(
        rows.counts, rows.vectors, wrong, rows.probabilities
    )  # two of three contradict words and vectors
    found = lists(rows)
    agrees = np.array([one[0]["topic"] for one in found]) == wrong
    is_clear = rows.probabilities >= CLEAR
    assert is_clear.sum() > 100
    assert agrees[is_clear].all()
    assert not agrees[~is_clear].all()  # the words decide


def test_words_speak_for_the_topic_that_uses_them_and_common_words_for_none() -> None:
    rows, _ = made(3)
    divided = divide(rows, model_of(rows), 0.2)
    columns = rows.counts.indices
    planted = columns < N_TOPICS * N_OWN
    assert (divided.word_topics[planted] == columns[planted] // N_OWN).mean() > 0.97
    assert divided.word_weights[~planted].max() < 0.5
    assert np.median(divided.word_weights[planted]) > 1.5


def test_an_outlier_and_a_document_without_words_have_shares_too() -> None:
    rows, _ = made(4)
    counts = rows.counts.toarray()
    counts[0] = 0
    labels = rows.labels.copy()
    labels[1] = -1
    found = lists(Rows(csr_matrix(counts), rows.vectors, labels, rows.probabilities))
    assert found[0][0]["topic"] == rows.labels[0]  # by its vector
    assert found[1][0]["topic"] == rows.labels[1]


def reference(rows: Rows, model: TopicModelWords, weight: float) -> np.ndarray:
    """Return the shares of all topics (n, n_topics) by dense arrays, without the rule for clear rows."""
    occurrences = model.by_word.T.toarray().astype(float)
    prior = model.prior(rows.vectors).astype(float)
    made = np.zeros_like(prior)
    for row, counts in enumerate(rows.counts.toarray()):
        own = occurrences.copy()
        if rows.labels[row] >= 0:
            own[rows.labels[row]] -= counts
        sums = own.sum(axis=1, keepdims=True)
        rates = (1 - SMOOTHING) * np.divide(own, sums, out=np.zeros_like(own), where=sums > 0)
        rates = rates + SMOOTHING * model.common
        words = np.log2(1.0 + counts)
        share = np.full(N_TOPICS, 1 / N_TOPICS)
        for _ in range(N_STEPS):
            parts = share[:, None] * rates
            whole = parts.sum(axis=0)
            divided = np.divide(parts, whole, out=np.zeros_like(parts), where=whole > 0) @ words
            before, share = share, divided + weight * max(words.sum(), 1) * prior[row]
            share = share / share.sum()
            if np.abs(share - before).sum() < TOLERANCE:
                break
        made[row] = share
    return made


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 2))
def test_shares_are_those_of_a_dense_computation(seed: int, weight: float) -> None:
    assert N_TOPICS <= N_CANDIDATES  # all topics are candidates
    rows, _ = made(seed, n=24, n_mixed=8)
    labels = rows.labels.copy()
    labels[::5] = -1
    rows = Rows(rows.counts, rows.vectors, labels, np.zeros(len(labels), np.float32))
    model = model_of(
        Rows(rows.counts, rows.vectors, made(seed, n=24, n_mixed=8)[0].labels, rows.probabilities)
    )
    model = TopicModelWords.of(rows.counts, labels, model.directions)
    found = divide(rows, model, weight)
    dense = np.zeros((24, N_TOPICS))
    for row in range(24):
        np.add.at(dense[row], found.topics[row], found.shares[row])
    np.testing.assert_allclose(dense, reference(rows, model, weight), atol=1e-6)


def saved(store: ArtifactStore, rows: Rows, parents: list[str] | None = None) -> Divisible:
    n = len(rows.labels)
    documents = pl.DataFrame(
        {"doc_id": [f"d{i}" for i in range(n)], **({"parent": parents} if parents else {})}
    )
    counts = {
        "data": rows.counts.data, "indices": rows.counts.indices.astype(np.int32),
        "indptr": rows.counts.indptr.astype(np.int64), "words": pl.DataFrame({"word": WORDS}),
    }  # fmt: skip
    centroids = np.stack([rows.vectors[rows.labels == topic].mean(axis=0) for topic in range(N_TOPICS)])
    made_counts = save(store, "counts", counts)
    return Divisible(
        save(store, "documents", {"documents": documents}, {"has_passages": parents is not None}),
        save(store, "embeddings", {"embeddings": rows.vectors}),
        save(store, "labels", {"labels": rows.labels, "probabilities": rows.probabilities}),
        ArtifactRef("counts", made_counts.key, "counts", rows=n),
        save(store, "topics", {"centroids": centroids}),
    )


def test_the_stage_writes_one_row_a_document_then_finds_it(store: ArtifactStore) -> None:
    rows, _ = made(5)
    divisible = saved(store, rows)
    first = shares.fn(Context(store), divisible, config=SharesConfig(words=True))
    again = shares.fn(Context(store), divisible, config=SharesConfig(words=True))
    assert (again.cached, again) == (True, first)
    table = store.table(first, "shares").collect()
    assert table.columns == ["topic_shares", "topic_words"]
    assert table["topic_shares"].to_list() == lists(rows)
    spoken = table["topic_words"].to_list()[0]
    assert {each["word"].split("_")[0] for each in spoken} == {"w0"}
    assert {each["topic"] for each in spoken} == {0}
    plain = shares.fn(Context(store), divisible, config=SharesConfig())
    assert plain.key != first.key
    assert store.table(plain, "shares").collect().columns == ["topic_shares"]


def test_a_document_of_passages_has_the_mean_of_their_shares(store: ArtifactStore) -> None:
    rows, _ = made(6, n_mixed=0)
    parents = [f"p{row // 2}" for row in range(len(rows.labels))]  # two passages of different topics
    made_shares = shares.fn(Context(store), saved(store, rows, parents), config=SharesConfig())
    found = store.table(made_shares, "shares").collect()["topic_shares"].to_list()
    assert len(found) == len(parents) // 2
    assert {each["topic"] for each in found[0][:2]} == {0, 1}
    assert sum(each["share"] for each in found[0]) == pytest.approx(1, abs=1e-5)
    assert found[0][1]["share"] > 0.35


def test_without_topics_the_lists_are_empty(store: ArtifactStore) -> None:
    rows, _ = made(7)
    divisible = saved(store, Rows(rows.counts, rows.vectors, rows.labels, rows.probabilities))
    none = save(
        store, "labels", {"labels": np.full(240, -1, np.int32), "probabilities": np.zeros(240)}, name="none"
    )
    empty = save(store, "topics", {"centroids": np.zeros((0, 16), np.float32)}, name="none")
    divisible = Divisible(divisible.documents, divisible.embeddings, none, divisible.counts, empty)
    made_shares = shares.fn(Context(store), divisible, config=SharesConfig(words=True))
    table = store.table(made_shares, "shares").collect()
    assert table["topic_shares"].to_list() == [[]] * 240
    assert table["topic_words"].to_list() == [[]] * 240
