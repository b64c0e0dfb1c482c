"""Full tuning: texts and which of them are similar -> the folder of a sentence-transformers model, fully trained.

With sentence-transformers' own trainer and losses: batch-hard triplets for classes, online contrastive for pairs,
multiple negatives for pairs that are all similar, CoSENT for graded pairs, triplets for triplets. No checkpoints are
written, because optimizer states would be pickled; the best weights are kept in memory.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import FullTune
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.model_files.lost_weights import lost_weights, refuse_lost
from topicflow.tasks.errors import StageError, first_line
from topicflow.tasks.execution.context import Context
from topicflow.tasks.requirements.trainer import check_trainer
from topicflow.tasks.tuning.example_set import ExampleSet
from topicflow.tasks.tuning.examples import TRAINING, VALIDATION

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TRIPLET_MARGIN = 0.2
"""For given triplets: the cosine distance by which the similar text must be nearer."""


def tune_encoder(
    folder: Path,
    texts: pl.Series,
    examples: ExampleSet,
    encoding: SentenceTransformersEmbed,
    config: FullTune,
    context: Context,
) -> dict[str, Any]:
    """Write the tuned model to a folder, weights as safetensors, and return how it was trained.

    Parameters
    ----------
    folder : Path
        Folder for the model.
    texts : pl.Series
        Texts of the examples' items.
    examples : ExampleSet
        Roles, classes and links; held-out examples are not used.
    encoding : SentenceTransformersEmbed
        The encoder to train; it is trained in float32 for any precision.
    config : FullTune
        Number of passes, batch size and learning rate.
    context : Context
        The seed decides the order of batches; the runtime has device and threads.

    Raises
    ------
    ConfigError
        If the trainer's libraries are not installed.
    StageError
        If training fails.

    Notes
    -----
    Minutes for thousands of short texts on a CPU: each text takes the time of three forward passes per epoch. The
    exact result depends on device and threads.
    """
    check_trainer()
    import torch

    if context.runtime.n_threads:
        torch.set_num_threads(context.runtime.n_threads)
    model = _load(encoding, context.runtime)
    training, validation = _columns(texts, examples, TRAINING), _columns(texts, examples, VALIDATION)
    try:
        losses = _train(
            model, training, validation, examples, config, context.seed, on_cpu=str(model.device) == "cpu"
        )
    except (RuntimeError, ValueError) as error:
        msg = f"tune: training {encoding.model} failed: {first_line(error)}"
        raise StageError(msg) from error
    model.save(str(folder), safe_serialization=True, create_model_card=False)
    return {"loss": _loss_name(examples), "losses": losses, "max_seq_length": model.max_seq_length}


def _load(encoding: SentenceTransformersEmbed, runtime: RuntimeConfig) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    files = find_encoder(encoding, runtime.device)
    with lost_weights() as lost:
        model = SentenceTransformer(
            str(files.folder), device=files.device, local_files_only=True, trust_remote_code=False
        )
    refuse_lost(lost, f"tune: {files.folder}")
    if encoding.max_seq_length:
        model.max_seq_length = encoding.max_seq_length
    return model


def _columns(texts: pl.Series, examples: ExampleSet, role: int) -> dict[str, list[Any]]:
    """Return the trainer's columns for the examples with a role, texts before labels."""

    def of(rows: NDArray[np.int64]) -> list[str]:
        return list(texts.gather(rows).to_list())

    if examples.links is None:
        rows = examples.rows(role)
        return {"text": of(rows), "label": examples.classes[rows].tolist()}
    loss = _loss_name(examples)
    links, said = examples.scored(role) if loss == "graded" else examples.linked(role)
    columns: dict[str, list[Any]] = {f"text_{place}": of(members) for place, members in enumerate(links.T)}
    if loss in {"triplet", "ranking"}:
        return columns
    return {**columns, "label": said.astype(float if loss == "graded" else int).tolist()}


def _loss_name(examples: ExampleSet) -> str:
    if examples.links is None:
        return "batch_hard_triplet"
    if examples.links.shape[1] == 3:
        return "triplet"
    way = examples.way_of_pairs(TRAINING)
    return "online_contrastive" if way == "contrastive" else way


def _train(
    model: SentenceTransformer,
    training: dict[str, list[Any]],
    validation: dict[str, list[Any]],
    examples: ExampleSet,
    config: FullTune,
    seed: int,
    *,
    on_cpu: bool,
) -> list[float]:
    """Train the model, restore the weights of the best pass, and return the validation loss of each pass."""
    from datasets import Dataset, disable_progress_bars
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import BatchSamplers
    from sentence_transformers.sentence_transformer import losses
    from transformers import TrainerCallback

    disable_progress_bars()
    makers = {
        "batch_hard_triplet": lambda: losses.BatchHardSoftMarginTripletLoss(model),
        "online_contrastive": lambda: losses.OnlineContrastiveLoss(model),
        "ranking": lambda: losses.MultipleNegativesRankingLoss(model),
        "graded": lambda: losses.CoSENTLoss(model),
        "triplet": lambda: losses.TripletLoss(
            model, losses.TripletDistanceMetric.COSINE, triplet_margin=TRIPLET_MARGIN
        ),
    }
    found: list[float] = []
    best: dict[str, Any] = {}

    class KeepBest(TrainerCallback):
        """Keeps the weights of the pass with the smallest validation loss."""

        def on_evaluate(self, args: object, state: object, control: object, **given: object) -> None:  # noqa: ARG002
            """Record the loss of a pass."""
            metrics: Any = given["metrics"]
            found.append(round(float(metrics["eval_loss"]), 6))
            if found[-1] <= min(found):
                best.update({name: value.detach().clone() for name, value in model.state_dict().items()})

    by_label, name = examples.links is None, _loss_name(examples)
    sampler = BatchSamplers.GROUP_BY_LABEL if by_label else BatchSamplers.BATCH_SAMPLER
    if name == "ranking":  # a text that is twice in a batch would be its own negative
        sampler = BatchSamplers.NO_DUPLICATES
    held = _is_enough(validation, by_label=by_label)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch, num_train_epochs=config.epochs, max_steps=config.max_steps or -1,
            per_device_train_batch_size=config.batch_size, per_device_eval_batch_size=config.batch_size,
            learning_rate=config.learning_rate, warmup_steps=0.1, seed=seed, use_cpu=on_cpu, report_to="none",
            disable_tqdm=True, logging_strategy="no", save_strategy="no", eval_strategy="epoch" if held else "no",
            batch_sampler=sampler,
            dataloader_pin_memory=not on_cpu, prompts=None,
        )  # fmt: skip
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict(training),
            eval_dataset=Dataset.from_dict(validation) if held else None,
            loss=makers[name](),
            callbacks=[KeepBest()],
        )
        trainer.train()
    if best:
        model.load_state_dict(best)
    model.eval()
    return found


def _is_enough(columns: dict[str, list[Any]], *, by_label: bool) -> bool:
    """Return whether a loss can be measured on these examples: for classes, two with two texts each."""
    if not by_label:
        return len(next(iter(columns.values()))) > 0
    sizes = np.unique(columns["label"], return_counts=True)[1]
    return int((sizes >= 2).sum()) >= 2
