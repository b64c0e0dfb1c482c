"""Contest: annotations -> scores of the probe and of SetFit on the same splits, and the recommended method.

Each training is its own artifact (kind `trials`): a kill loses only one, and another split or row of the few-shot
table only adds its own trainings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.classify import CompareConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.classify import recipes
from topicflow.tasks.classify.setfit_training import tune_body
from topicflow.tasks.core.learning.heads import Classes, FloatArray, fit_head
from topicflow.tasks.core.learning.scores import interval, score
from topicflow.tasks.core.learning.splits import Rows, draw_shots, stratified_split
from topicflow.tasks.encoding.encoders import document_prompt, encoder_of, find_encoder, load_body
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.states import cached
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

SCORES = ("accuracy", "macro_f1", "calibration_error")


@dataclass(frozen=True)
class Examples:
    """Distinct labelled texts with their vectors (n, dim) and classes (n, n_classes)."""

    texts: list[str]
    vectors: FloatArray
    classes: Classes
    multilabel: bool


@dataclass(frozen=True)
class Trial:
    """One training: the method, the examples per class (0 for a split: all except the test part), and its number."""

    method: str
    shots: int
    number: int


def read_examples(store: ArtifactStore, annotations: ArtifactRef) -> Examples:
    """Return the labelled texts of an annotations artifact."""
    return Examples(
        store.table(annotations, "texts").collect()["text"].to_list(),
        np.asarray(store.array(annotations, "vectors")),
        np.asarray(store.array(annotations, "classes")),
        bool(store.meta(annotations)["multilabel"]),
    )


def plan_trials(classes: Classes, config: CompareConfig, methods: Sequence[str]) -> list[Trial]:
    """Return the trainings; rows of the few-shot table are left out if a class has too few examples."""
    fewest = int(classes.sum(axis=0).min())
    rows = [(0, config.n_splits)] + [(shots, config.n_draws) for shots in config.shots if shots < fewest]
    return [Trial(method, shots, number) for shots, n in rows for number in range(n) for method in methods]


def split_of(classes: Classes, trial: Trial, config: CompareConfig, seed: int) -> tuple[Rows, Rows]:
    """Return the rows to train and to test on: the same for both methods."""
    rng = np.random.default_rng([seed, trial.shots, trial.number])
    if trial.shots:
        trained, tested = draw_shots(classes, trial.shots, rng)
    else:
        trained, tested = stratified_split(classes, config.test_share, rng)
    return trained, np.sort(rng.permutation(tested)[: config.max_test])


def try_probe(
    examples: Examples, trained: Rows, tested: Rows, config: TrainClassifierConfig
) -> tuple[FloatArray, float]:
    """Return the probe's probabilities for the test rows, and the seconds of its training."""
    started = time.perf_counter()
    fitted = fit_head(
        examples.vectors[trained], examples.classes[trained], config.head.C, balance=config.head.balance,
        multilabel=examples.multilabel,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return fitted.probabilities(examples.vectors[tested]), seconds


def try_setfit(
    examples: Examples, trained: Rows, tested: Rows, config: TrainClassifierConfig, seed: int
) -> tuple[FloatArray, float]:
    """Return SetFit's probabilities for the test rows, and the seconds of its training: body, vectors, head.

    The seconds do not include reading the encoder from disk, nor embedding the test rows.
    """
    embed = config.embed
    if not isinstance(embed, SentenceTransformersEmbed):  # the config has checked this
        raise TypeError
    files = find_encoder(body_arithmetic(embed), config.runtime.device)
    body = load_body(files, embed, config.runtime.n_threads)
    prompt = document_prompt(body, embed)
    own = [examples.texts[row] for row in trained]
    started = time.perf_counter()
    tune_body(
        body, [prompt + text for text in own], examples.classes[trained], config.setfit, config.head, seed,
        multilabel=examples.multilabel,
    )  # fmt: skip
    encoder = encoder_of(body, files, embed)
    fitted = fit_head(
        encoder.encode(own)[0], examples.classes[trained], config.head.C, balance=config.head.balance,
        multilabel=examples.multilabel,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    found, _ = encoder.encode([examples.texts[row] for row in tested])
    return fitted.probabilities(found), seconds


def body_arithmetic(embed: SentenceTransformersEmbed) -> SentenceTransformersEmbed:
    """Return the config for training a body: in float32."""
    return embed.model_copy(update={"precision": "float32", "adapter": None})


def summarize(trials: Sequence[Mapping[str, Any]], config: CompareConfig) -> dict[str, Any]:
    """Return the intervals of each method and row, the gain of SetFit, and the recommended method.

    Parameters
    ----------
    trials : sequence of mapping
        method, shots, number, n_train, n_test and the scores of each training.
    config : CompareConfig

    Notes
    -----
    SetFit is recommended only if the interval of its gain over the probe (paired over the splits and corrected for
    their overlap) is above 0: it takes minutes where the probe takes seconds, and needs its own encoder.
    """
    rows = []
    for shots, method in sorted({(trial["shots"], trial["method"]) for trial in trials}):
        own = [trial for trial in trials if (trial["shots"], trial["method"]) == (shots, method)]
        overlap = 0.0 if shots else own[0]["n_test"] / own[0]["n_train"]
        row = {"shots": shots, "method": method, "n_trials": len(own), "n_train": own[0]["n_train"]}
        for name in SCORES:
            row[name] = asdict(interval([trial[name] for trial in own], config.confidence, overlap))
        rows.append(row)
    gain, recommended = None, "probe"
    by_method = {
        method: [t for t in trials if t["shots"] == 0 and t["method"] == method]
        for method in ("probe", "setfit")
    }
    if by_method["setfit"]:
        pairs = zip(by_method["setfit"], by_method["probe"], strict=True)
        first = by_method["probe"][0]
        gains = [s[config.metric] - p[config.metric] for s, p in pairs]
        gain = asdict(interval(gains, config.confidence, first["n_test"] / first["n_train"]))
        recommended = "setfit" if gain["low"] > 0 else "probe"
    return {"rows": rows, "metric": config.metric, "gain": gain, "recommended": recommended}


@task(name="compare_methods", cache_policy=NO_CACHE, persist_result=False)
def compare_methods(context: Context, annotations: ArtifactRef, config: TrainClassifierConfig) -> ArtifactRef:
    """Return the comparison; only trainings that no earlier run has done are computed."""
    store = context.store
    recipe = recipes.comparison(config, annotations.key, body_key(config))
    if found := store.find(recipe):
        return cached(found)
    examples = read_examples(store, annotations)
    methods = ("probe", "setfit") if config.setfit.enabled else ("probe",)
    trials = plan_trials(examples.classes, config.compare, methods)
    with store.writing(recipe) as writer:
        with track("compare_methods", len(trials), unit="trainings") as progress:
            results, seconds, keys = [], [], []
            for trial in trials:
                ref = _trial(store, annotations, examples, trial, config)
                results.append({**asdict(trial), **store.json(ref, "scores")})
                seconds.append(store.meta(ref)["train_s"])
                keys.append(ref.key)
                progress.advance(1)
        writer.save_table("trials", pl.DataFrame(results))
        writer.save_json("summary", summarize(results, config.compare))
        writer.rows = len(results)
        writer.meta = {
            "train_s": [
                {"method": trial.method, "shots": trial.shots, "number": trial.number, "seconds": round(s, 3)}
                for trial, s in zip(trials, seconds, strict=True)
            ],
            "trials": keys,
            "skipped_shots": sorted(set(config.compare.shots) - {trial.shots for trial in trials}),
        }
    return store.committed(recipe, writer)


def body_key(config: TrainClassifierConfig) -> str | None:
    """Return the identity of the encoder that SetFit tunes; None without SetFit."""
    if not config.setfit.enabled or not isinstance(config.embed, SentenceTransformersEmbed):
        return None
    return find_encoder(body_arithmetic(config.embed), config.runtime.device).key


def _trial(
    store: ArtifactStore,
    annotations: ArtifactRef,
    examples: Examples,
    trial: Trial,
    config: TrainClassifierConfig,
) -> ArtifactRef:
    """Return the artifact of one training."""
    body = body_key(config) if trial.method == "setfit" else None
    recipe = recipes.trial(config, asdict(trial), annotations.key, body)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        trained, tested = split_of(examples.classes, trial, config.compare, config.seed)
        run: Callable[[], tuple[NDArray[np.float32], float]] = (
            (lambda: try_setfit(examples, trained, tested, config, config.seed + trial.number))
            if trial.method == "setfit"
            else (lambda: try_probe(examples, trained, tested, config))
        )
        probabilities, train_s = run()
        found_scores = score(probabilities, examples.classes[tested], multilabel=examples.multilabel)
        writer.save_json("scores", {"n_train": len(trained), "n_test": len(tested), **_rounded(found_scores)})
        writer.rows = len(tested)
        writer.meta = {"train_s": train_s}
    return store.committed(recipe, writer)


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores with nine digits, which are the same for any number of threads."""
    return {name: round(value, 9) for name, value in scores.items()}
