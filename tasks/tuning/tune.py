"""Tune: examples and the vectors of n_docs documents -> an adapter for these vectors, or a tuned model.

adapters: adapter.safetensors and adapter.json; models: the folder `model`, for sentence-transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from topicflow.configs.sections.embed import PrecomputedEmbed, SentenceTransformersEmbed
from topicflow.configs.sections.tuning import AdapterTune, FullTune
from topicflow.tasks.core.learning import metric_head
from topicflow.tasks.core.learning.class_head import fit_class_heads, with_gate
from topicflow.tasks.core.learning.residual import ResidualHead
from topicflow.tasks.core.learning.similarity import same_class_shares
from topicflow.tasks.encoding.adapters import save_adapter
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.store.resources import one_torch_thread
from topicflow.tasks.tuning import recipes
from topicflow.tasks.tuning.example_set import AnyEmbed, ExampleSet, read_examples, read_roles, read_texts
from topicflow.tasks.tuning.examples import TRAINING, UNLABELLED, VALIDATION, Numbers
from topicflow.tasks.tuning.full_tuning import tune_encoder

if TYPE_CHECKING:
    from torch import Tensor

GATES = (0.5, 1.0, 2.0, 4.0)
DEFAULT_GATE = 1.0
VALIDATE_FROM = 50
"""Minimum number of validation documents for choosing gate and round: with fewer, the share of the same class among
neighbours is mostly chance."""

SYNTHETIC_STRENGTH = 0.25
"""Share of the trained gate for made questions, which are nearer to their documents than real ones: on cranfield's real
queries the whole gate loses nDCG@10 and a quarter gains some (tests/benchmarks/synthetic.py)."""

VALIDATION_NEIGHBORS = 0.5
"""Number of neighbours, as a share of the mean class in the validation part: a class has no more members than that."""


def fit_adapter(found: ExampleSet, config: AdapterTune, seed: int) -> tuple[ResidualHead, dict[str, Any]]:
    """Train a head on the examples that are not held out, and return it with how it was trained.

    Parameters
    ----------
    found : ExampleSet
        Items and their vectors; held-out items are not used.
    config : AdapterTune
        Loss and its limits.
    seed : int
        Seed of folds and batches.

    Notes
    -----
    Seconds for thousands of examples: O(steps × n × dim × n_classes), or O(epochs × n × dim²) for the other losses.
    """
    loss: str = config.loss
    if found.links is not None:
        loss = found.way_of_pairs(TRAINING) if found.links.shape[1] == 2 else "triplet"
        check_pairs(found)
        trained = _fit_links(found, loss, config, seed)
    elif loss in {"auto", "softmax"}:
        return _fit_classes(found, config, seed)
    else:
        trained = _fit_groups(found, config, seed)
    strength = config.strength or (SYNTHETIC_STRENGTH if found.corpus is not None else 1.0)
    head = with_gate(trained.head, strength * trained.head.gate)
    about = {
        "loss": loss,
        "epoch": trained.epoch,
        "losses": [round(value, 6) for value in trained.losses],
        "gate": head.gate,
    }
    return head, about


def _fit_classes(found: ExampleSet, config: AdapterTune, seed: int) -> tuple[ResidualHead, dict[str, Any]]:
    """Return the head of a softmax regression; a large enough validation part decides gate and round."""
    vectors, classes = found.of(TRAINING)
    numbers = np.unique(classes, return_inverse=True)[1].reshape(-1)  # a class may have no training document
    unlabelled = found.of(UNLABELLED)[0]
    heads, n_doubted = fit_class_heads(
        vectors, numbers, unlabelled, seed, config.rounds, check=config.check_labels
    )
    held, truth = found.of(VALIDATION)
    gates = GATES if config.gate is None else (config.gate,)
    about: dict[str, Any] = {"loss": "softmax", "n_doubted": n_doubted}
    if len(held) < VALIDATE_FROM:
        gate = config.gate or DEFAULT_GATE
        return with_gate(heads[-1], gate), {
            **about,
            "round": len(heads) - 1,
            "gate": gate,
            "chosen_by": "default",
        }
    k = max(1, round(VALIDATION_NEIGHBORS * len(held) / len(np.unique(truth))))
    shares = {
        (number, gate): same_class_shares(with_gate(head, gate).apply(held), truth, (k,), len(held), seed)[k]
        for number, head in enumerate(heads)
        for gate in gates
    }
    (number, gate), share = max(
        shares.items(), key=lambda item: (round(item[1], 6), -item[0][0], -item[0][1])
    )
    chosen = {"round": number, "gate": gate, "chosen_by": "validation", "validation_share": round(share, 6)}
    return with_gate(heads[number], gate), {**about, **chosen}


def _fit_groups(found: ExampleSet, config: AdapterTune, seed: int) -> metric_head.Trained:
    """Return the head of a loss on batches of classes."""
    import torch

    training, validation = found.rows(TRAINING), found.rows(VALIDATION)
    classes = torch.from_numpy(found.classes[np.concatenate([training, validation])])

    def loss(moved: Tensor, numbers: Numbers) -> Tensor:
        batch, its_classes = moved[:, 0], classes[torch.from_numpy(numbers)]
        if config.loss == "group":
            return metric_head.group_loss(batch, its_classes, config.temperature)
        if config.loss == "triplet":
            return metric_head.batch_hard_loss(batch, its_classes, config.margin)
        return metric_head.batch_contrastive_loss(batch, its_classes, config.margin)

    rows = (training[:, None], validation[:, None])
    return metric_head.train_head(found.vectors, *rows, loss, _training(config, seed))


def check_pairs(found: ExampleSet) -> None:
    """Raise DataError if the training pairs teach nothing: none is similar, or there is only one."""
    assert found.links is not None
    if found.links.shape[1] != 2 or found.scores is not None:
        return
    links, similar = found.linked(TRAINING)
    if not similar.any():
        msg = "tune: no similar pair is left to train on; add similar pairs, or reduce split.held_out"
        raise DataError(msg)
    if len(links) < 2:
        msg = "tune: only one pair is left to train on, without another to compare with; add at least one similar pair"
        raise DataError(msg)


def _fit_links(found: ExampleSet, way: str, config: AdapterTune, seed: int) -> metric_head.Trained:
    """Return the head of a loss on given pairs or triplets."""
    import torch

    read = found.scored if way == "graded" else found.linked
    (training, said), (validation, also_said) = read(TRAINING), read(VALIDATION)
    links = torch.from_numpy(np.concatenate([training, validation]))
    known = torch.from_numpy(np.concatenate([said, also_said]))

    def loss(moved: Tensor, numbers: Numbers) -> Tensor:
        first, second, batch = moved[:, 0], moved[:, 1], torch.from_numpy(numbers)
        if way == "triplet":
            return metric_head.triplet_loss(first, second, moved[:, 2], config.margin)
        if way == "ranking":
            return metric_head.ranking_loss(first, second, links[batch])
        if way == "graded":
            return metric_head.graded_loss(first, second, known[batch])
        return metric_head.pair_loss(first, second, known[batch])

    return metric_head.train_head(found.vectors, training, validation, loss, _training(config, seed))


def _training(config: AdapterTune, seed: int) -> metric_head.Training:
    return metric_head.Training(config.epochs, config.patience, config.batch_size, config.learning_rate, seed)


@stage("tune")
def tune(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    chosen: ArtifactRef,
    encoding: AnyEmbed,
    config: AdapterTune | FullTune,
) -> ArtifactRef:
    """Return the artifact of the adapter or of the tuned model, training it on a miss."""
    store, seed, runtime = context.store, context.seed, context.runtime
    encoder, model = "precomputed", "precomputed vectors"
    if not isinstance(encoding, PrecomputedEmbed):
        encoder, model = find_encoder(encoding, runtime.device, store).key, encoding.model
    recipe = recipes.tune(config, embeddings.key, chosen.key, encoder, seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        about: dict[str, Any] = {"encoder": encoder, "model": model, "method": config.method, "seed": seed}
        about |= {
            name: value
            for name, value in store.meta(chosen).items()
            if name.startswith("n_") or name == "kind"
        }
        if isinstance(config, FullTune):
            assert isinstance(encoding, SentenceTransformersEmbed)
            items, roles = read_texts(store, documents, chosen), read_roles(store, chosen)
            if roles.links is not None:
                check_pairs(roles)
            about |= tune_encoder(writer.folder / "model", items, roles, encoding, config, context)
        else:
            examples = read_examples(store, chosen, embeddings, encoding, runtime)
            with one_torch_thread():
                head, how = fit_adapter(examples, config, seed)
            about |= how
            save_adapter(writer, head, about)
        writer.rows, writer.meta = int(about["n_training"]), about
    return store.committed(recipe, writer)
