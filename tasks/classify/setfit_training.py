"""Contrastive: an encoder and labelled texts -> the encoder, tuned so that texts of one class have near vectors.

SetFit's first phase (Tunstall et al. 2022) with its loss: the squared difference between a pair's cosine and 1 or 0.
The pairs are those within small balanced batches, so that a text is encoded once for many pairs, and only one batch
is in memory; setfit's own trainer first lists all pairs, 12.8 GB for 40,000 examples.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from topicflow.configs.sections.classify import HeadConfig, SetFitConfig
from topicflow.tasks.core.learning.heads import Classes, FloatArray, fit_head
from topicflow.tasks.core.learning.splits import Rows, draw_batch, stratified_split

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

JUDGED = 512
"""Maximum number of examples for fitting the head when a training is evaluated, and for evaluating it."""


GROUP_TEXTS = 8
"""Texts of similar length that are encoded together: in groups of 32, half of the tokens would be padding."""


@dataclass(frozen=True)
class Tuning:
    """The result of a training: steps done, the step kept, evaluations (step, log loss), last mean loss of a batch."""

    n_steps: int
    kept_step: int
    judgements: list[tuple[int, float]]
    loss: float


def pair_loss(vectors: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference between the cosines of all pairs and 1 or 0.

    Parameters
    ----------
    vectors : Tensor of shape (n, dim)
    alike : Tensor of shape (n, n), bool
        Whether two texts share a class.

    Notes
    -----
    Similar pairs together have the same weight as the other pairs together, as in SetFit's oversampling.
    """
    import torch

    unit = torch.nn.functional.normalize(vectors, dim=-1)
    cosine = unit @ unit.T
    pairs = torch.ones_like(alike).triu(1)
    parts = [
        ((cosine - wanted)[kept] ** 2).mean()
        for wanted, kept in ((1.0, pairs & alike), (0.0, pairs & ~alike))
        if bool(kept.any())
    ]
    return torch.stack(parts).mean()


def tune_body(
    body: SentenceTransformer,
    texts: Sequence[str],
    classes: Classes,
    config: SetFitConfig,
    head: HeadConfig,
    seed: int,
    *,
    multilabel: bool = False,
    on_step: Callable[[int], None] = lambda _: None,
) -> Tuning:
    """Tune `body` in place and return the result; the weights with the best evaluation are kept.

    Parameters
    ----------
    body : SentenceTransformer
        The encoder in float32, on its device.
    texts : sequence of str
        Labelled texts.
    classes : ndarray of shape (n_texts, n_classes), bool
        Their classes; at least two have an example.
    config, head : SetFitConfig, HeadConfig
    seed : int
        Seed of batches and dropout.
    multilabel : bool
        Whether texts may have several classes; texts are similar if they share one.
    on_step : callable
        Called with the number of finished steps.

    Notes
    -----
    Word vectors do not change: they are half of the weights of a small encoder, most of them for words that the
    examples lack. The result is the same on one machine with one number of threads.
    """
    import torch

    rng = np.random.default_rng(seed)
    trained, held = _hold_out(classes, config, rng)
    groups = (
        *classes.T,
        ~classes.any(axis=1),
    )  # texts without a class are similar to no other text, so they must be drawn, too
    members = [rows for group in groups if len(rows := trained[group[trained]])]
    weights = _trainable(body)
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=0.01)
    warm = max(1, config.n_steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, (config.n_steps - step) / max(1, config.n_steps - warm)),
    )
    best: tuple[float, int, dict[str, Any] | None] = (np.inf, config.n_steps, None)
    judgements: list[tuple[int, float]] = []
    step, loss = 0, float("nan")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for step in range(1, config.n_steps + 1):
            rows = draw_batch(members, config.batch_texts, rng, balance=head.balance)
            alike = torch.from_numpy(
                classes[rows].astype(np.float32) @ classes[rows].T.astype(np.float32) > 0
            )
            body.train()
            vectors = embed_for_training(body, [texts[row] for row in rows], config.max_seq_length)
            found = pair_loss(vectors, alike.to(vectors.device))
            optimizer.zero_grad()
            found.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            loss = float(found.detach())
            on_step(step)
            if len(held) and (step % config.judge_every == 0 or step == config.n_steps):
                judged = _judge(body, texts, classes, trained, held, config, head, multilabel=multilabel)
                judgements.append((step, judged))
                if judged < best[0]:
                    best = (judged, step, copy.deepcopy(body.state_dict()))
                elif sum(at > best[1] for at, _ in judgements) >= config.patience:
                    break
    if best[2] is not None:
        body.load_state_dict(best[2])
    body.eval()
    return Tuning(step, best[1] if best[2] is not None else step, judgements, loss)


def embed_for_training(body: SentenceTransformer, texts: Sequence[str], max_length: int) -> torch.Tensor:
    """Return the vectors (n_texts, dim) of texts, with their gradient if one is kept.

    Texts of similar length are encoded together, so that there is little padding.
    """
    import torch

    own = body.max_seq_length
    body.max_seq_length = min(own or max_length, max_length)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = []
    try:
        for start in range(0, len(order), GROUP_TEXTS):
            features = body.preprocess([texts[row] for row in order[start : start + GROUP_TEXTS]])
            moved = {
                k: value.to(body.device) if hasattr(value, "to") else value for k, value in features.items()
            }
            parts.append(body(moved)["sentence_embedding"])
    finally:
        body.max_seq_length = own
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))]


def _hold_out(classes: Classes, config: SetFitConfig, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return rows to train and to evaluate on; none to evaluate on if a class has too few examples."""
    sizes = classes.sum(axis=0)
    if sizes[sizes > 0].min() < config.validation_from:
        return np.arange(len(classes)), np.empty(0, np.int64)
    return stratified_split(classes, config.validation_share, rng)


def _trainable(body: SentenceTransformer) -> list[torch.nn.Parameter]:
    """Return the weights that are tuned: all except those of embedding tables."""
    import torch

    tables = {
        id(weight)
        for module in body.modules()
        if isinstance(module, torch.nn.Embedding)
        for weight in module.parameters()
    }
    for weight in body.parameters():
        weight.requires_grad_(id(weight) not in tables)
    return [weight for weight in body.parameters() if weight.requires_grad]


def _judge(
    body: SentenceTransformer,
    texts: Sequence[str],
    classes: Classes,
    trained: Rows,
    held: Rows,
    config: SetFitConfig,
    head: HeadConfig,
    *,
    multilabel: bool,
) -> float:
    """Return the log loss on held-out rows, for a head fitted on some of the training rows."""
    import torch

    fitted_on, judged_on = _some(trained), _some(held)
    rows = np.concatenate([fitted_on, judged_on])
    body.eval()
    with torch.no_grad():
        parts = [
            embed_for_training(body, [texts[row] for row in rows[start : start + 32]], config.max_seq_length)
            for start in range(0, len(rows), 32)
        ]
    vectors: FloatArray = torch.cat(parts).float().cpu().numpy()
    known = classes[fitted_on].any(axis=0) & (~classes[fitted_on]).any(axis=0)
    own = classes[:, known]
    fitted = fit_head(
        vectors[: len(fitted_on)], own[fitted_on], head.C, balance=head.balance, multilabel=multilabel
    )
    found = np.clip(fitted.probabilities(vectors[len(fitted_on) :]), 1e-7, 1 - 1e-7)
    true = own[judged_on]
    return float(-np.log(np.where(true, found, 1 - found) if multilabel else found[true]).mean())


def _some(rows: Rows) -> Rows:
    """Return at most `JUDGED` rows, evenly spaced."""
    return rows if len(rows) <= JUDGED else rows[np.linspace(0, len(rows) - 1, JUDGED).astype(int)]
