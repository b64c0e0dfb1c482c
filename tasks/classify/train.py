"""Train: annotations and a method -> the classifier, trained on all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.classify import recipes
from topicflow.tasks.classify.classifiers import Classifier, body_config
from topicflow.tasks.classify.compare_methods import body_arithmetic, body_key
from topicflow.tasks.classify.fitted_head import Examples, FittedHead, read_examples
from topicflow.tasks.classify.setfit_training import tune_body
from topicflow.tasks.core.learning.heads import FloatArray
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import document_prompt, encoder_of, load_body
from topicflow.tasks.encoding.spaces import Space
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter


def chosen_method(store: ArtifactStore, comparison: ArtifactRef, config: TrainClassifierConfig) -> str:
    """Return the method for predictions: the one that the config names, or the recommended one."""
    wanted = config.predict.method
    return wanted if wanted != "recommended" else str(store.json(comparison, "summary")["recommended"])


@stage("train")
def train(
    context: Context, annotations: ArtifactRef, comparison: ArtifactRef, config: TrainClassifierConfig
) -> ArtifactRef:
    """Return the classifier's artifact, training on a miss."""
    store = context.store
    method = chosen_method(store, comparison, config)
    recipe = recipes.classifier(
        config, method, annotations.key, body_key(config) if method == "setfit" else None
    )
    if found := store.find(recipe):
        return found
    examples, meta = read_examples(store, annotations), store.meta(annotations)
    with store.writing(recipe) as writer:
        vectors, space = examples.vectors, meta["space"]
        tuning: dict[str, Any] = {}
        if method == "setfit" and isinstance(config.embed, SentenceTransformersEmbed):
            vectors, space, tuning = _tune(writer, examples, config.embed, config)
        fitted = FittedHead.fit(examples, np.arange(len(examples.texts)), vectors, config)
        made = {
            "model": meta["space"].get("model"),
            "head": config.head.model_dump(),
            "setfit": config.setfit.model_dump() if method == "setfit" else None,
            "sizes": meta["sizes"],
            **({"features": config.features.model_dump()} if config.features.columns else {}),
            "seed": config.seed,
        }
        classifier = Classifier(method, store.json(annotations, "names"), fitted.head, space, fitted.features)
        classifier.save(writer.folder, made)
        writer.rows = len(examples.texts)
        writer.meta = {"method": method, "space": space, "n_classes": len(classifier.names), **tuning}
    return store.committed(recipe, writer)


def _tune(
    writer: ArtifactWriter,
    examples: Examples,
    embed: SentenceTransformersEmbed,
    config: TrainClassifierConfig,
) -> tuple[FloatArray, Space, dict[str, Any]]:
    """Tune a body on the labelled texts and write it; return their vectors, their space, and how training went."""
    runtime, setfit = config.runtime, config.setfit
    body = load_body(find_encoder(body_arithmetic(embed), runtime.device), embed, runtime.n_threads)
    prompt = document_prompt(body, embed)
    with track("train", setfit.n_steps, unit="steps") as progress:
        tuning = tune_body(
            body, [prompt + text for text in examples.texts], examples.classes, setfit, config.head, config.seed,
            multilabel=examples.multilabel, on_step=progress.reach,
        )  # fmt: skip
    folder = writer.folder / "body"
    body.save(str(folder), create_model_card=False)
    own = body_config(embed, folder)
    files = find_encoder(own, runtime.device)
    read = encoder_of(load_body(files, own, runtime.n_threads), files, own)
    vectors, _ = read.encode(examples.texts)
    space = {"encoder": files.key, "model": f"SetFit body of {embed.model}", "dim": int(vectors.shape[1])}
    return (
        vectors,
        space,
        {"n_steps": tuning.n_steps, "kept_step": tuning.kept_step, "judged": tuning.judgements},
    )
