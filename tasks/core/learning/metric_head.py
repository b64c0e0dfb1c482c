"""Metric head: vectors (n, dim) float32 and similarities -> a residual head, by gradient descent on a metric loss.

Losses use the hard examples of a batch: similar ones that are far apart and dissimilar ones that are close. The easy
ones, which are the majority, teach nothing more. All vectors are unit vectors, so that a product is a cosine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.learning.residual import FloatArray, ResidualHead

if TYPE_CHECKING:
    from torch import Tensor

GATE_AT_START = 0.1
"""Near zero, so that training starts from the unchanged vectors; not zero, because then the weight has no gradient."""

WEIGHT_DECAY = 1e-4

HARD_SHARE = 0.5
"""Share of a batch's triplets that a step uses: those with the largest loss."""

PAIR_SCALE = 5.0
"""Factor of the cosines of pairs before they are compared."""

RANKING_SCALE = 20.0
"""Factor for the cosines to a batch's texts, as in sentence-transformers."""


@dataclass(frozen=True)
class Training:
    """Settings: maximum passes, passes without improvement before the end, batch size, Adam's learning rate."""

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Trained:
    """A head, its pass, and the loss of each pass on the validation part (on the training part if there is none)."""

    head: ResidualHead
    epoch: int
    losses: list[float]


def group_loss(moved: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss of a batch (n, dim) with classes (n,); 0 if no two share a class.

    References
    ----------
    Khosla et al. (2020), Supervised Contrastive Learning, equation 2.
    """
    import torch

    others = ~torch.eye(len(moved), dtype=torch.bool)
    logits = (moved @ moved.T / temperature).masked_fill(~others, -torch.inf)
    shares = logits - logits.logsumexp(dim=1, keepdim=True)
    same = (classes[:, None] == classes[None, :]) & others
    n_same = same.sum(dim=1)
    own = torch.where(same, shares, torch.zeros_like(shares)).sum(dim=1) / n_same.clamp(min=1)
    return -(own * (n_same > 0)).sum() / (n_same > 0).sum().clamp(min=1)


def hardest(moved: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each row's smallest cosine to its class and largest cosine to other classes, and which rows have both."""
    import torch

    cosines = moved @ moved.T
    same = classes[:, None] == classes[None, :]
    like = same & ~torch.eye(len(moved), dtype=torch.bool)
    far = cosines.masked_fill(~like, torch.inf).min(dim=1).values
    close = cosines.masked_fill(same, -torch.inf).max(dim=1).values
    both = like.any(dim=1) & ~same.all(dim=1)
    return far[both], close[both], both


def batch_hard_loss(moved: Tensor, classes: Tensor, margin: float) -> Tensor:
    """Return the triplet loss of a batch: each row with its farthest similar and its closest dissimilar row.

    References
    ----------
    Hermans, Beyer, Leibe (2017), In Defense of the Triplet Loss, equation 5, on cosines.
    """
    far, close, _ = hardest(moved, classes)
    return (margin + close - far).relu().sum() / max(1, len(far))


def batch_contrastive_loss(moved: Tensor, classes: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss of a batch's hardest pairs: similar ones towards cosine 1, others below `margin`.

    References
    ----------
    Hadsell, Chopra, LeCun (2006), Dimensionality Reduction by Learning an Invariant Mapping, equation 4, on cosines.
    """
    far, close, _ = hardest(moved, classes)
    return ((1.0 - far) ** 2 + (close - margin).relu() ** 2).sum() / max(1, len(far))


def pair_loss(first: Tensor, second: Tensor, similar: Tensor) -> Tensor:
    """Return the loss of dissimilar pairs (n, dim) that are as close as similar ones; 0 unless both kinds are there.

    Each dissimilar pair is compared with each similar one by a soft threshold, so that pairs in the wrong order weigh
    most. Hinges on the cosines themselves moved all texts closer together: on planted pairs they lowered the area under
    the ROC curve.
    """
    cosines = PAIR_SCALE * (first * second).sum(dim=1)
    wrong = cosines[~similar][:, None] - cosines[similar][None, :]
    return wrong.exp().log1p().sum() / max(1, wrong.numel())


def graded_loss(first: Tensor, second: Tensor, scores: Tensor) -> Tensor:
    """Return how much nearer pairs (n, dim) with lower scores (n,) are than pairs with higher ones; 0 if all are equal.

    References
    ----------
    Su (2022), CoSENT: for two pairs in the wrong order, the softplus of the difference of their cosines.
    """
    cosines = PAIR_SCALE * (first * second).sum(dim=1)
    wrong = (cosines[:, None] - cosines[None, :])[scores[:, None] < scores[None, :]]
    return wrong.exp().log1p().sum() / max(1, wrong.numel())


def ranking_loss(first: Tensor, second: Tensor, pairs: Tensor) -> Tensor:
    """Return the multiple negatives ranking loss of similar pairs (n, dim): the batch's other texts are the negatives.

    Parameters
    ----------
    first, second : Tensor of shape (n, dim)
        Unit vectors of the two members.
    pairs : Tensor of shape (n, 2), int64
        The items of each pair: another positive of a text, or the text itself, is not a negative.

    References
    ----------
    Henderson et al. (2017), Efficient Natural Language Response Suggestion for Smart Reply, section 4.4; in both
    directions, as a pair has no order.
    """
    import torch

    a, b = pairs[:, 0], pairs[:, 1]
    known = (a[:, None] == a[None, :]) | (b[:, None] == b[None, :]) | (a[:, None] == b[None, :])
    known = known & ~torch.eye(len(a), dtype=torch.bool)
    logits = (RANKING_SCALE * first @ second.T).masked_fill(known, -torch.inf)
    own = torch.arange(len(a))
    return (
        torch.nn.functional.cross_entropy(logits, own) + torch.nn.functional.cross_entropy(logits.T, own)
    ) / 2


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return the triplet loss of triplets (n, dim), over the hardest HARD_SHARE of them."""
    return _hardest_mean((margin + (anchor * (negative - positive)).sum(dim=1)).relu())


def _hardest_mean(losses: Tensor) -> Tensor:
    if not len(losses):
        return losses.sum()
    return losses.topk(max(1, round(HARD_SHARE * len(losses)))).values.mean()


def train_head(
    vectors: FloatArray,
    training_rows: NDArray[np.int64],
    validation_rows: NDArray[np.int64],
    loss: Callable[[Tensor, NDArray[np.int64]], Tensor],
    how: Training,
) -> Trained:
    """Return the head with the smallest loss on the validation examples.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit vectors of the items.
    training_rows, validation_rows : ndarray of shape (n_examples, m), int64
        Rows of `vectors` that form an example: one for a class, two for a pair, three for a triplet. Without validation
        rows the head of the last pass is returned.
    loss : callable
        Takes the moved vectors of a batch's examples (n_batch, m, dim) and the numbers of the examples (n_batch,):
        training examples from 0, validation examples after them.
    how : Training
        Settings of the training.

    Notes
    -----
    O(epochs × n_examples × dim²) time. Early stopping: Prechelt (1998), Early Stopping - But When?
    """
    import torch

    dim = vectors.shape[1]
    x = torch.from_numpy(np.array(vectors, np.float32))  # a copy: torch does not accept read-only memory maps
    layer = torch.nn.Linear(dim, dim)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    gate = torch.nn.Parameter(torch.tensor(GATE_AT_START))
    optimizer = torch.optim.Adam([*layer.parameters(), gate], lr=how.learning_rate)
    examples = torch.from_numpy(np.concatenate([training_rows, validation_rows]))
    n, rng = len(training_rows), np.random.default_rng(how.seed)

    def loss_of(numbers: NDArray[np.int64]) -> Tensor:
        raw = x[examples[torch.from_numpy(numbers)]]
        return loss(torch.nn.functional.normalize(raw + gate * layer(raw), dim=-1), numbers)

    best, best_epoch, losses = (copy.deepcopy(layer.state_dict()), GATE_AT_START), 0, [float("inf")]
    for epoch in range(1, how.epochs + 1):
        order, total = rng.permutation(n), 0.0
        for start in range(0, n, how.batch_size):
            numbers = order[start : start + how.batch_size]
            optimizer.zero_grad()
            batch_loss = loss_of(numbers)
            penalty = WEIGHT_DECAY * (gate * layer.weight).pow(2).sum()
            (batch_loss + penalty).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(batch_loss.detach()) * len(numbers)
        with torch.no_grad():
            held = np.arange(n, len(examples))
            losses.append(_mean_loss(loss_of, held, how.batch_size) if len(held) else total / n)
        if not len(held) or losses[-1] < min(losses[:-1]):
            best, best_epoch = (copy.deepcopy(layer.state_dict()), float(gate.detach())), epoch
        elif epoch - best_epoch >= how.patience:
            break
    weights, found_gate = best
    head = ResidualHead(weights["weight"].numpy(), weights["bias"].numpy(), found_gate)
    return Trained(head, best_epoch, losses[1:])


def _mean_loss(
    loss_of: Callable[[NDArray[np.int64]], Tensor], numbers: NDArray[np.int64], batch_size: int
) -> float:
    parts = [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
    return sum(float(loss_of(part)) * len(part) for part in parts) / len(numbers)
