"""The numerics of adapters: the residual head, the class head, metric losses, and the figures of similarity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from topicflow.tasks.core.learning.class_head import (
    Examples,
    consistent_rows,
    fit_class_heads,
    fit_softmax,
    head_of,
    with_gate,
)
from topicflow.tasks.core.learning.metric_head import (
    GATE_AT_START,
    Training,
    batch_contrastive_loss,
    batch_hard_loss,
    graded_loss,
    group_loss,
    pair_loss,
    ranking_loss,
    train_head,
    triplet_loss,
)
from topicflow.tasks.core.learning.residual import ResidualHead
from topicflow.tasks.core.learning.similarity import (
    chance_share,
    partner_ranks,
    rank_agreement,
    ranking_quality,
    same_class_shares,
    triplet_accuracy,
)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def classed(n: int, n_classes: int = 3, dim: int = 12, spread: float = 0.5, seed: int = 0):
    """Return unit vectors around one axis per class, and the classes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, n_classes, n)
    return unit(np.eye(dim)[classes] + spread * rng.normal(size=(n, dim))), classes


# --- the residual head ---


def test_a_head_adds_what_it_says_and_gives_unit_vectors() -> None:
    head = ResidualHead(np.array([[0, 1], [0, 0]], np.float32), np.array([0, 1], np.float32), 0.5)
    found = head.apply(np.array([[1, 0], [0, 1]], np.float32))
    # (1, 0) + .5 (0 + 0, 0 + 1) = (1, .5); (0, 1) + .5 (1, 1) = (.5, 1.5)
    expected = np.array([[1, 0.5], [0.5, 1.5]]) / np.sqrt([[1.25], [2.5]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1100), st.integers(0, 10_000))
def test_the_bits_of_a_vector_do_not_depend_on_what_is_adapted_beside_it(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    head = ResidualHead(
        rng.normal(size=(24, 24)).astype(np.float32), rng.normal(size=24).astype(np.float32), 0.7
    )
    vectors = unit(rng.normal(size=(n, 24)))
    rows = rng.permutation(n)[: max(1, n // 3)]
    np.testing.assert_array_equal(head.apply(vectors)[rows], head.apply(vectors[rows]))


def test_a_gate_of_zero_leaves_vectors_and_one_moved_to_zero_stays() -> None:
    vectors, _ = classed(20)
    head = ResidualHead(-np.eye(12, dtype=np.float32), np.zeros(12, np.float32), 0.0)
    np.testing.assert_allclose(head.apply(vectors), vectors, atol=1e-6)
    np.testing.assert_array_equal(with_gate(head, 1.0).apply(vectors), vectors)


# --- the class head ---


def test_the_regression_is_that_of_scikit_learn() -> None:
    vectors, classes = classed(200)
    found = fit_softmax(Examples(vectors, classes, np.ones(200)), 2.0, 500)
    peer = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000).fit(np.asarray(vectors, np.float64), classes)
    np.testing.assert_allclose(found.probabilities(vectors), peer.predict_proba(vectors), atol=1e-3)


def test_weights_count_as_repeats() -> None:
    vectors, classes = classed(60)
    weights = np.random.default_rng(1).integers(1, 4, 60)
    repeated = np.repeat(np.arange(60), weights)
    once = fit_softmax(Examples(vectors, classes, weights.astype(float)), 1.0, 500)
    many = fit_softmax(Examples(vectors[repeated], classes[repeated], np.ones(len(repeated))), 1.0, 500)
    np.testing.assert_allclose(once.coefficients, many.coefficients, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_inner_products_of_moved_parts_are_those_of_logits(n_classes: int) -> None:
    vectors, classes = classed(300, n_classes)
    found = fit_softmax(Examples(vectors, classes, np.ones(300)), 1.0)
    head = head_of(found, vectors)
    moved = vectors @ head.weight.T + head.bias
    logits = (vectors - vectors.mean(axis=0)) @ (found.coefficients - found.coefficients.mean(axis=0)).T
    ratio = (moved**2).sum() / (logits**2).sum()
    np.testing.assert_allclose(moved @ moved.T, ratio * (logits @ logits.T), atol=1e-3)
    assert (moved**2).sum(axis=1).mean() == pytest.approx(1.0, abs=1e-4)


def test_wrong_labels_are_doubted_and_right_ones_are_not() -> None:
    vectors, classes = classed(600, spread=0.1)
    wrong = np.random.default_rng(0).choice(600, 30, replace=False)
    given_labels = classes.copy()
    given_labels[wrong] = (classes[wrong] + 1) % 3
    kept = consistent_rows(vectors, given_labels, seed=0)
    assert set(np.flatnonzero(~kept)) == set(wrong)


def test_few_labels_are_not_doubted() -> None:
    vectors, classes = classed(60, spread=2.0)
    assert consistent_rows(vectors, classes, 0).all()


def test_unlabelled_vectors_help_few_labels_and_held_out_ones_gain() -> None:
    vectors, classes = classed(1500, n_classes=4, dim=48, spread=0.28, seed=3)
    labelled, unlabelled, held = np.arange(12), np.arange(12, 900), np.arange(900, 1500)
    assert len(np.unique(classes[labelled])) == 4
    raw = same_class_shares(vectors[held], classes[held], (100,), 600, 0)[100]
    alone, _ = fit_class_heads(vectors[labelled], classes[labelled], vectors[:0], 0)
    guessed, _ = fit_class_heads(vectors[labelled], classes[labelled], vectors[unlabelled], 0)
    assert (len(alone), len(guessed)) == (1, 5)
    found = [
        same_class_shares(head.apply(vectors[held]), classes[held], (100,), 600, 0)[100]
        for head in (alone[-1], guessed[-1])
    ]
    assert raw < found[0] < found[1]


def test_equal_seeds_give_equal_bits() -> None:
    vectors, classes = classed(400)
    first, second = (fit_class_heads(vectors[:200], classes[:200], vectors[200:], 5)[0] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


# --- metric losses ---


def test_the_losses_of_a_batch_are_those_of_their_definitions() -> None:
    import torch

    vectors, classes = classed(30, n_classes=4, seed=2)
    x, y = torch.from_numpy(vectors), torch.from_numpy(classes)
    cosines = vectors.astype(np.float64) @ vectors.T
    groups, hard, contrastive = [], [], []
    for i in range(30):
        like = [j for j in range(30) if j != i and classes[j] == classes[i]]
        unlike = [j for j in range(30) if classes[j] != classes[i]]
        total = sum(np.exp(cosines[i, j] / 0.1) for j in range(30) if j != i)
        groups.append(-np.mean([cosines[i, j] / 0.1 - np.log(total) for j in like]))
        far, close = min(cosines[i, j] for j in like), max(cosines[i, j] for j in unlike)
        hard.append(max(0.0, 0.2 + close - far))
        contrastive.append((1 - far) ** 2 + max(0.0, close - 0.2) ** 2)
    assert float(group_loss(x, y, 0.1)) == pytest.approx(np.mean(groups), rel=1e-4)
    assert float(batch_hard_loss(x, y, 0.2)) == pytest.approx(np.mean(hard), rel=1e-4)
    assert float(batch_contrastive_loss(x, y, 0.2)) == pytest.approx(np.mean(contrastive), rel=1e-4)


def test_losses_of_given_pairs_and_triplets_are_those_of_their_definitions() -> None:
    import torch

    axes = torch.eye(4)
    # similar pairs at cosines 1 and 0, dissimilar ones at 0: of the two comparisons one is right by 1, one is even
    similar = torch.tensor([True, True, False])
    expected = (np.log1p(np.exp(-5.0)) + np.log(2.0)) / 2
    assert float(pair_loss(axes[[0, 1, 2]], axes[[0, 2, 3]], similar)) == pytest.approx(expected)
    assert float(pair_loss(axes[[0, 1]], axes[[0, 2]], similar[:2])) == 0.0
    # triplets: one right by 1, one wrong by 1; the harder half is the wrong one
    assert float(triplet_loss(axes[[0, 0]], axes[[0, 1]], axes[[1, 0]], 0.2)) == pytest.approx(1.2)


def test_graded_pairs_are_compared_in_the_order_of_their_scores() -> None:
    import torch

    rng = np.random.default_rng(0)
    first, second = (torch.from_numpy(unit(rng.normal(size=(9, 5)))) for _ in range(2))
    scores = rng.integers(0, 3, 9)
    cosines = 5.0 * (first * second).sum(dim=1).numpy()
    wrong = [cosines[i] - cosines[j] for i in range(9) for j in range(9) if scores[i] < scores[j]]
    expected = np.log1p(np.exp(wrong)).mean()
    assert float(graded_loss(first, second, torch.from_numpy(scores))) == pytest.approx(expected, rel=1e-5)
    labels = torch.from_numpy(scores > 0)
    two = float(graded_loss(first, second, labels.to(torch.int64)))
    assert two == pytest.approx(
        float(pair_loss(first, second, labels)), rel=1e-6
    )  # two grades are similar or not
    assert float(graded_loss(first, second, torch.ones(9))) == 0.0


def test_the_other_texts_of_a_batch_are_negatives_except_known_partners() -> None:
    import torch

    rng = np.random.default_rng(0)
    first, second = (torch.from_numpy(unit(rng.normal(size=(5, 4)))) for _ in range(2))
    pairs = torch.tensor([[0, 1], [0, 2], [3, 4], [5, 0], [6, 4]])
    logits = 20.0 * (first @ second.T).numpy().astype(np.float64)
    negatives = [
        [j for j in range(5) if j != i and pairs[j, 0] != pairs[i, 0] and pairs[j, 1] != pairs[i, 1]
         and pairs[j, 1] != pairs[i, 0]]
        for i in range(5)
    ]  # fmt: skip
    assert negatives[0] == [2, 4]  # not the other partner of text 0, nor text 0 itself
    there = [-logits[i, i] + np.log(np.exp(logits[i, [i, *negatives[i]]]).sum()) for i in range(5)]
    back = [
        -logits[i, i] + np.log(np.exp(logits[[i, *(j for j in range(5) if i in negatives[j])], i]).sum())
        for i in range(5)
    ]
    expected = (np.mean(there) + np.mean(back)) / 2
    assert float(ranking_loss(first, second, pairs)) == pytest.approx(expected, rel=1e-4)
    assert float(ranking_loss(first[:1], second[:1], pairs[:1])) == 0.0


def test_positive_pairs_alone_teach_what_partners_have_in_common() -> None:
    import torch

    rng = np.random.default_rng(0)
    meant = rng.normal(size=(600, 24)) * (np.arange(24) < 8)
    said = [unit(meant + 1.2 * rng.normal(size=(600, 24)) * (np.arange(24) >= 8)) for _ in range(2)]
    vectors, pairs = np.concatenate(said), np.arange(1200).reshape(2, 600).T
    links = torch.from_numpy(pairs)
    found = train_head(
        vectors, pairs[:400], pairs[400:450],
        lambda x, i: ranking_loss(x[:, 0], x[:, 1], links[torch.from_numpy(i)]), Training(60, 10, 64, 3e-3, 0),
    )  # fmt: skip
    raw, tuned = (
        (partner_ranks(space, pairs[450:], 200, 0) == 1).mean()
        for space in (vectors, found.head.apply(vectors))
    )
    assert np.abs(found.head.weight).max() > 0.1
    assert tuned > raw + 0.1


def test_a_batch_of_one_class_or_of_strangers_has_no_loss() -> None:
    import torch

    axes = torch.eye(4)
    for classes in (torch.zeros(4, dtype=torch.long), torch.arange(4)):
        assert float(batch_hard_loss(axes, classes, 0.2)) == 0.0
    assert float(group_loss(axes, torch.arange(4), 0.1)) == 0.0


@pytest.mark.parametrize("loss", [group_loss, batch_hard_loss, batch_contrastive_loss])
def test_a_head_by_gradient_descent_draws_held_out_classes_together(loss) -> None:
    import torch

    vectors, classes = classed(900, n_classes=4, dim=32, spread=0.3)
    rows, labels = np.arange(600), torch.from_numpy(classes)
    found = train_head(
        vectors, rows[:500, None], rows[500:, None], lambda x, i: loss(x[:, 0], labels[torch.from_numpy(i)], 0.2),
        Training(20, 5, 128, 3e-3, 0),
    )  # fmt: skip
    raw, tuned = (
        same_class_shares(space[600:], classes[600:], (60,), 300, 0)[60]
        for space in (vectors, found.head.apply(vectors))
    )
    assert tuned > raw + 0.05
    assert found.losses[found.epoch - 1] == min(found.losses)


def test_training_ends_when_validation_no_longer_gains() -> None:
    import torch

    vectors, classes = classed(60, spread=3.0)
    noise = torch.from_numpy(np.random.default_rng(0).permutation(classes))
    rows = np.arange(60)
    found = train_head(
        vectors, rows[:40, None], rows[40:, None], lambda x, i: group_loss(x[:, 0], noise[torch.from_numpy(i)], 0.1),
        Training(300, 4, 64, 1e-2, 0),
    )  # fmt: skip
    assert len(found.losses) == found.epoch + 4 < 300
    if found.epoch == 0:
        assert found.head.gate == GATE_AT_START


# --- figures ---


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 60), st.integers(1, 5), st.integers(0, 1000))
def test_shares_are_those_of_sorting_everything(n: int, k: int, seed: int) -> None:
    vectors, classes = classed(n, seed=seed)
    found = same_class_shares(vectors, classes, (k, n + 5), n, 0)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -9)
    nearest = np.argsort(-cosines, axis=1)[:, :k]
    expected = (classes[nearest] == classes[:, None]).mean()
    assert found == ({k: pytest.approx(expected)} if k < n else {})


def test_chance_is_the_share_at_random() -> None:
    classes = np.array([0, 0, 0, 1])
    assert chance_share(classes) == pytest.approx(
        6 / 12
    )  # 3 of class 0 meet 2 of 3 others, the one of class 1 none


def test_ranking_quality_is_the_area_under_the_curve_with_ties() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.integers(0, 10, 200).astype(np.float32)
    similar = rng.random(200) < 0.3
    assert ranking_quality(cosines, similar) == pytest.approx(roc_auc_score(similar, cosines))
    assert np.isnan(ranking_quality(cosines, np.ones(200, bool)))


def test_triplet_accuracy_counts_the_nearer_positive() -> None:
    axes = np.eye(3, dtype=np.float32)
    assert triplet_accuracy(axes[[0, 0]], axes[[0, 1]], axes[[1, 0]]) == 0.5


def test_agreement_of_ranks_is_spearmans() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    cosines, scores = rng.normal(size=80).astype(np.float32), rng.integers(0, 6, 80).astype(np.float64)
    assert rank_agreement(cosines, scores) == pytest.approx(spearmanr(cosines, scores).statistic)
    for few in (1, 0):
        assert np.isnan(rank_agreement(cosines[:few], scores[:few]))
    assert np.isnan(rank_agreement(cosines, np.ones(80)))


def test_ranks_of_partners_by_hand() -> None:
    angles = np.radians([0, 10, 20, 5, 40, 0])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    pairs = np.array([[0, 1], [0, 2], [3, 4], [5, 3]])
    # seen from 0: 3 is nearer than 1 and than 2, which are each other's fellow partners; 3 itself ranks 10, 0.1 and 20
    assert partner_ranks(vectors, pairs, 10, 0).tolist() == [2.0, 2.0, 3.0, 1.0]
    equal = np.ones((6, 2), np.float32) / np.sqrt(np.float32(2))
    assert partner_ranks(equal, pairs, 10, 0).tolist() == [2.0, 2.0, 2.0, 2.5]
