"""Contest: annotations -> scores of the probe and of SetFit on the same splits, and the recommended method.

Each training is its own artifact (kind `trials`): a kill loses only one, and another split or row of the few-shot
table only adds its own trainings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.classify import CompareConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.classify import recipes
from topicflow.tasks.classify.fitted_head import Examples, FittedHead, read_examples
from topicflow.tasks.classify.setfit_training import tune_body
from topicflow.tasks.core.learning.heads import Classes, FloatArray
from topicflow.tasks.core.learning.scores import interval, score
from topicflow.tasks.core.learning.splits import Rows, draw_shots, stratified_split
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import document_prompt, encoder_of, load_body
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import track
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

SCORES = ("accuracy", "macro_f1", "calibration_error")

WITHOUT = " without features"
"""End of a method's name in the scores for the same training without the features."""


@dataclass(frozen=True)
class Trial:
    """One training: the method, the examples per class (0 for a split: all except the test part), and its number."""

    method: str
    shots: int
    number: int


@dataclass(frozen=True)
class Tried:
    """The result of a training.

    Attributes
    ----------
    probabilities : ndarray of shape (n_tested, n_classes), float32
    seconds : float
    without : Tried or None
        The same without the features, if there are any: the same rows, and for SetFit the same body.
    """

    probabilities: FloatArray
    seconds: float
    without: Tried | None = None


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


def try_probe(examples: Examples, trained: Rows, tested: Rows, config: TrainClassifierConfig) -> Tried:
    """Return the probe's probabilities for the test rows, and the seconds of its training."""
    return _try_head(
        examples, trained, tested, (examples.vectors[trained], lambda: examples.vectors[tested]), config
    )


def try_setfit(
    examples: Examples, trained: Rows, tested: Rows, config: TrainClassifierConfig, seed: int
) -> Tried:
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
    vectors = encoder.encode(own)[0]
    before = time.perf_counter() - started
    others = [examples.texts[row] for row in tested]
    return _try_head(examples, trained, tested, (vectors, lambda: encoder.encode(others)[0]), config, before)


def _try_head(
    examples: Examples,
    trained: Rows,
    tested: Rows,
    vectors: tuple[FloatArray, Callable[[], FloatArray]],
    config: TrainClassifierConfig,
    before: float = 0.0,
) -> Tried:
    """Return the result of a head on vectors of the training rows, and of the test rows; `before` are its seconds."""
    found: list[Tried] = []
    others = None
    for each in (examples, replace(examples, features=None))[: 1 if examples.features is None else 2]:
        started = time.perf_counter()
        head = FittedHead.fit(each, trained, vectors[0], config)
        seconds = before + time.perf_counter() - started
        others = vectors[1]() if others is None else others
        found.append(Tried(head.probabilities(each, tested, others), seconds))
    return replace(found[0], without=found[1]) if len(found) > 1 else found[0]


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
    their overlap) is above 0: it takes minutes where the probe takes seconds, and needs its own encoder. With features,
    both methods read them, and `features` is their gain over the same method without them.
    """
    rows = []
    for shots, method in sorted({(trial["shots"], trial["method"]) for trial in trials}):
        own = [trial for trial in trials if (trial["shots"], trial["method"]) == (shots, method)]
        overlap = 0.0 if shots else own[0]["n_test"] / own[0]["n_train"]
        row = {"shots": shots, "method": method, "n_trials": len(own), "n_train": own[0]["n_train"]}
        for name in SCORES:
            row[name] = asdict(interval([trial[name] for trial in own], config.confidence, overlap))
        rows.append(row)
    found: dict[str, Any] = {"rows": rows, "metric": config.metric, "gain": None, "recommended": "probe"}
    if (gain := _gain(trials, "setfit", "probe", config)) is not None:
        found |= {"gain": gain, "recommended": "setfit" if gain["low"] > 0 else "probe"}
    gains = {method: _gain(trials, method, method + WITHOUT, config) for method in ("probe", "setfit")}
    if features := {method: each for method, each in gains.items() if each is not None}:
        found["features"] = features
    return found


def _gain(
    trials: Sequence[Mapping[str, Any]], method: str, other: str, config: CompareConfig
) -> dict[str, Any] | None:
    """Return the interval of the gain of a method over another on the same splits, None if one was not trained."""
    own, others = ([t for t in trials if t["shots"] == 0 and t["method"] == each] for each in (method, other))
    if not own or not others:
        return None
    gains = [one[config.metric] - less[config.metric] for one, less in zip(own, others, strict=True)]
    return asdict(interval(gains, config.confidence, own[0]["n_test"] / own[0]["n_train"]))


@stage("compare_methods")
def compare_methods(context: Context, annotations: ArtifactRef, config: TrainClassifierConfig) -> ArtifactRef:
    """Return the comparison; only trainings that no earlier run has done are computed."""
    store = context.store
    recipe = recipes.comparison(config, annotations.key, body_key(config))
    if found := store.find(recipe):
        return found
    examples = read_examples(store, annotations)
    methods = ("probe", "setfit") if config.setfit.enabled else ("probe",)
    trials = plan_trials(examples.classes, config.compare, methods)
    with store.writing(recipe) as writer:
        with track("compare_methods", len(trials), unit="trainings") as progress:
            results, seconds, keys = [], [], []
            for trial in trials:
                ref = _trial(store, annotations, examples, trial, config)
                found_scores, train_s = store.json(ref, "scores"), store.meta(ref)["train_s"]
                without, without_s = found_scores.pop("without", None), store.meta(ref).get("without_s")
                results.append({**asdict(trial), **found_scores})
                seconds.append((trial, trial.method, train_s))
                if without is not None:
                    method = trial.method + WITHOUT
                    results.append({**asdict(trial), "method": method, **without})
                    seconds.append((trial, method, without_s))
                keys.append(ref.key)
                progress.advance(1)
        writer.save_table("trials", pl.DataFrame(results))
        writer.save_json("summary", summarize(results, config.compare))
        writer.rows = len(results)
        writer.meta = {
            "train_s": [
                {"method": method, "shots": trial.shots, "number": trial.number, "seconds": round(s, 3)}
                for trial, method, s in seconds
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
        if trial.method == "setfit":
            tried = try_setfit(examples, trained, tested, config, config.seed + trial.number)
        else:
            tried = try_probe(examples, trained, tested, config)
        found_scores: dict[str, Any] = {"n_train": len(trained), "n_test": len(tested)}
        sizes = dict(found_scores)
        found_scores |= _scores(tried, examples, tested)
        writer.meta = {"train_s": tried.seconds}
        if tried.without is not None:
            found_scores["without"] = sizes | _scores(tried.without, examples, tested)
            writer.meta["without_s"] = tried.without.seconds
        writer.save_json("scores", found_scores)
        writer.rows = len(tested)
    return store.committed(recipe, writer)


def _scores(tried: Tried, examples: Examples, tested: Rows) -> dict[str, float]:
    """Return the scores of a training with nine digits, which are the same for any number of threads."""
    found = score(tried.probabilities, examples.classes[tested], multilabel=examples.multilabel)
    return {name: round(value, 9) for name, value in found.items()}
