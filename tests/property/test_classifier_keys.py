"""Keys of classifiers: every field that decides training or predictions changes a key, and no other field does."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.property.test_keys import perturbed
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.classify import CompareConfig, HeadConfig, PredictConfig, SetFitConfig
from topicflow.tasks.classify import recipes
from topicflow.tasks.store.artifact_store import Recipe

BASE = TrainClassifierConfig(load={"path": "a", "label_column": "label"})
RECIPES: dict[str, Callable[[TrainClassifierConfig], Recipe]] = {
    "trial": lambda c: recipes.trial(c, {"method": "setfit", "shots": 0, "number": 1}, "annotations", "body"),
    "compare": lambda c: recipes.comparison(c, "annotations", "body"),
    "train": lambda c: recipes.classifier(c, "setfit", "annotations", "body"),
    "predict": lambda c: recipes.predictions(c.predict, "embeddings", "annotations", "classifier"),
}
MOVED = {
    "head": {"trial", "compare", "train"},
    "setfit": {"trial", "compare", "train"},
    "compare": {"compare"},
    "predict": {"predict"},
}
BESIDE = {"metric", "confidence", "shots", "method"}
"""Fields with separate tests below."""

FIELDS = [
    (section, field, changed)
    for section, config in (
        ("head", HeadConfig()), ("setfit", SetFitConfig()), ("compare", CompareConfig()), ("predict", PredictConfig()),
    )
    for field, changed in perturbed(config)
]  # fmt: skip


@pytest.mark.parametrize(
    ("section", "field", "changed"),
    [pytest.param(*f, id=f"{f[0]}-{f[1]}") for f in FIELDS if f[1] not in BESIDE],
)
def test_a_field_changes_the_keys_of_what_it_decides(section: str, field: str, changed: Any) -> None:
    assert changed is not None, "no valid other value was found"
    config = BASE.model_copy(update={section: changed})
    moved = {stage for stage, recipe in RECIPES.items() if recipe(config).key != recipe(BASE).key}
    expected = MOVED[section] | ({"trial"} if field in {"test_share", "max_test"} else set())
    assert moved == expected


@pytest.mark.parametrize("changes", [{"metric": "accuracy"}, {"confidence": 0.9}, {"shots": (8,)}])
def test_how_it_is_judged_changes_the_comparison_and_no_training(changes: dict[str, Any]) -> None:
    config = BASE.model_copy(update={"compare": CompareConfig(**changes)})
    assert RECIPES["compare"](config).key != RECIPES["compare"](BASE).key
    assert RECIPES["trial"](config).key == RECIPES["trial"](BASE).key


@pytest.mark.parametrize("method", ["probe", "setfit"])
def test_the_method_is_in_the_classifiers_key_and_not_in_the_predictions(method: str) -> None:
    config = BASE.model_copy(update={"predict": PredictConfig(method=method)})
    assert RECIPES["predict"](config).key == RECIPES["predict"](BASE).key
    assert recipes.classifier(BASE, method, "a", None).key != recipes.classifier(BASE, "other", "a", None).key


def test_a_probe_does_not_depend_on_setfit() -> None:
    config = BASE.model_copy(update={"setfit": SetFitConfig(n_steps=7)})
    probe = {"method": "probe", "shots": 0, "number": 1}
    assert recipes.trial(config, probe, "a", None).key == recipes.trial(BASE, probe, "a", None).key
    assert (
        recipes.classifier(config, "probe", "a", None).key == recipes.classifier(BASE, "probe", "a", None).key
    )


def test_inputs_seed_and_versions_change_keys(bump: Callable[..., None]) -> None:
    assert (
        recipes.classifier(BASE, "setfit", "a", "b").key != recipes.classifier(BASE, "setfit", "a", "c").key
    )
    assert (
        recipes.classifier(BASE, "setfit", "a", "b").key != recipes.classifier(BASE, "setfit", "x", "b").key
    )
    other = BASE.model_copy(update={"seed": 1})
    before = {stage: recipe(BASE).key for stage, recipe in RECIPES.items()}
    assert {s for s, recipe in RECIPES.items() if recipe(other).key != before[s]} == {
        "trial",
        "compare",
        "train",
    }
    bump("compare_methods", "train", "predict", "labelled_texts")
    assert all(recipe(BASE).key != before[stage] for stage, recipe in RECIPES.items())
