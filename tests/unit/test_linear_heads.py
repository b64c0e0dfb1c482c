"""Heads, scores, splits, suggestions: compared with scikit-learn, by hand, and by properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from topicflow.tasks.core.learning.heads import SURE, Head, fit_head
from topicflow.tasks.core.learning.scores import calibration_error, interval, predicted, score
from topicflow.tasks.core.learning.splits import draw_batch, draw_shots, rarest_class, stratified_split
from topicflow.tasks.core.learning.suggest import margins, suggest_rows


def labelled(n: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % n_classes
    vectors = np.eye(n_classes, 8)[codes] + 0.4 * rng.normal(size=(n, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.eye(n_classes, dtype=bool)[codes]


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_probabilities_are_those_of_scikit_learn(n_classes: int) -> None:
    vectors, classes = labelled(70, n_classes)
    reference = LogisticRegression(C=10.0, max_iter=300, class_weight="balanced").fit(
        vectors.astype(np.float64), classes.argmax(axis=1)
    )
    found = fit_head(vectors, classes, 10.0, balance=True, multilabel=False).probabilities(vectors)
    np.testing.assert_allclose(found, reference.predict_proba(vectors), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_several_labels_are_a_regression_each() -> None:
    vectors, classes = labelled(60, 3)
    classes = classes | np.roll(classes, 1, axis=1) & (np.arange(60) % 4 == 0)[:, None]
    found = fit_head(vectors, classes, 1.0, balance=False, multilabel=True).probabilities(vectors)
    for i in range(3):
        one = LogisticRegression(C=1.0, max_iter=300).fit(vectors.astype(np.float64), classes[:, i])
        np.testing.assert_allclose(found[:, i], one.predict_proba(vectors)[:, 1], atol=1e-6)


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_class_without_examples_is_never_found(multilabel: bool) -> None:
    vectors, classes = labelled(30, 3)
    wider = np.column_stack([classes, np.zeros(30, bool)])
    found = fit_head(vectors, wider, 10.0, balance=True, multilabel=multilabel)
    assert found.intercepts[3] == -SURE
    assert found.probabilities(vectors)[:, 3].max() < 1e-9


def test_probabilities_by_hand() -> None:
    head = Head(np.array([[0.0], [2.0]]), np.array([0.0, -1.0]), multilabel=False)
    np.testing.assert_allclose(
        head.probabilities(np.array([[1.0]], np.float32))[0, 1], 1 / (1 + np.exp(-1.0))
    )
    apart = Head(np.array([[1000.0], [-1000.0]]), np.zeros(2), multilabel=True)
    np.testing.assert_array_equal(apart.probabilities(np.array([[1.0]], np.float32)), [[1.0, 0.0]])


def test_balance_gives_the_rare_class_its_due() -> None:
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(110, 4)) + np.where(np.arange(110) < 100, 0.0, 0.8)[:, None]).astype(
        np.float32
    )
    classes = np.column_stack([np.arange(110) < 100, np.arange(110) >= 100])
    found = {
        balance: fit_head(vectors, classes, 1.0, balance=balance, multilabel=False).probabilities(vectors)
        for balance in (True, False)
    }
    hits = {
        balance: (probabilities.argmax(axis=1)[100:] == 1).sum() for balance, probabilities in found.items()
    }
    assert hits[True] > hits[False]


# --- scores ---


def test_scores_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.45, 0.55]], np.float32)
    classes = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], bool)
    found = score(probabilities, classes, multilabel=False)
    assert found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    # each of four bins contains one document: |.9-1|, |.6-0|, |.8-1|, |.55-1|
    assert found["calibration_error"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.45) / 4)


@given(st.integers(0, 1000), st.integers(2, 5), st.booleans())
@settings(max_examples=30, deadline=None)
def test_macro_f1_is_scikit_learns(seed: int, n_classes: int, multilabel: bool) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(n_classes), 20).astype(np.float32)
    classes = (
        rng.random((20, n_classes)) < 0.4
        if multilabel
        else np.eye(n_classes, dtype=bool)[rng.integers(0, n_classes, 20)]
    )
    guessed = predicted(probabilities, multilabel=multilabel)
    occurs = np.flatnonzero(guessed.any(axis=0) | classes.any(axis=0))
    theirs = (
        f1_score(classes[:, occurs], guessed[:, occurs], average="macro", zero_division=0.0)
        if len(occurs)
        else 0.0
    )
    assert score(probabilities, classes, multilabel=multilabel)["macro_f1"] == pytest.approx(theirs)


def test_calibration_is_perfect_where_sure_is_how_often_right() -> None:
    sure = np.full(10, 0.7, np.float32)
    assert calibration_error(sure, np.arange(10) < 7) == pytest.approx(0.0, abs=1e-7)
    assert calibration_error(sure, np.zeros(10, bool)) == pytest.approx(0.7)


def test_intervals_by_hand_and_wider_where_splits_overlap() -> None:
    found = interval([0.5, 0.6, 0.7], 0.95)  # t(.975, 2) = 4.3027, sd = .1
    assert (found.mean, found.high - found.mean) == (
        pytest.approx(0.6),
        pytest.approx(4.302653 * 0.1 / 3**0.5),
    )
    wider = interval([0.5, 0.6, 0.7], 0.95, overlap=1 / 3)  # variance (1/3 + 1/3) instead of 1/3
    assert (wider.high - wider.mean) / (found.high - found.mean) == pytest.approx(2**0.5)


# --- splits ---


@given(st.lists(st.integers(2, 12), min_size=2, max_size=5), st.floats(0.05, 0.9), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_splits_contain_every_class_on_both_sides(sizes: list[int], share: float, seed: int) -> None:
    classes = np.eye(len(sizes), dtype=bool)[np.repeat(np.arange(len(sizes)), sizes)]
    trained, tested = stratified_split(classes, share, np.random.default_rng(seed))
    assert sorted([*trained, *tested]) == list(range(len(classes)))
    assert classes[trained].any(axis=0).all()
    assert classes[tested].any(axis=0).all()


@given(st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_shots_are_n_examples_of_each_class(shots: int, seed: int) -> None:
    classes = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], [7, 20, 9])]
    trained, tested = draw_shots(classes, shots, np.random.default_rng(seed))
    assert classes[trained].sum(axis=0).tolist() == [shots] * 3
    assert sorted([*trained, *tested]) == list(range(36))
    several = classes | np.roll(classes, 1, axis=1)
    trained, _ = draw_shots(several, shots, np.random.default_rng(seed))
    assert (several[trained].sum(axis=0) >= shots).all()


def test_a_row_of_several_classes_goes_with_its_rarest() -> None:
    classes = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool)
    assert rarest_class(classes).tolist() == [1, 0, 0, -1]


@pytest.mark.parametrize("balance", [True, False])
def test_a_batch_holds_pairs_that_are_alike_and_pairs_that_are_not(balance: bool) -> None:
    members = [np.arange(0, 1000), np.arange(1000, 1008), np.arange(1008, 1010)]
    for seed in range(20):
        rows = draw_batch(members, 16, np.random.default_rng(seed), balance=balance)
        assert len(rows) == len(set(rows)) <= 16
        drawn = [np.isin(rows, own).sum() for own in members]
        assert sum(n > 0 for n in drawn) >= 2
        assert max(drawn) >= 2


# --- suggestions ---


def test_margins_by_hand() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], np.float32)
    np.testing.assert_allclose(margins(probabilities, multilabel=False), [0.2, 0.7], atol=1e-6)
    np.testing.assert_allclose(margins(probabilities, multilabel=True), [0.0, 0.6], atol=1e-6)


def test_suggestions_are_unsure_far_apart_and_far_from_what_is_labelled() -> None:
    axes = np.eye(4, dtype=np.float32)
    vectors = axes[[0, 0, 1, 1, 2, 2, 3]]
    sure = np.array([0.3, 0.1, 0.2, 0.15, 0.05, 0.4, 0.0], np.float32)
    found = suggest_rows(sure, vectors, np.arange(7), axes[[3]], 3)
    # row 6 is the least sure but equals a labelled one; of each other axis the less sure row comes first
    assert found.tolist() == [4, 1, 3]
    assert suggest_rows(sure, vectors, np.array([5]), axes[[3]], 3).tolist() == [5]
    assert suggest_rows(sure, vectors, np.arange(7), axes[:0], 0).tolist() == []
