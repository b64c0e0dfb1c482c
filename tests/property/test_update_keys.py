"""Keys of updates: every field of a section changes its stage's key, receivers do not, inputs and seeds do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.property.test_keys import perturbed
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.gates import GatesConfig
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.report import ReportConfig
from topicflow.configs.sections.update import DriftConfig, MatchConfig, NewDocumentsConfig
from topicflow.tasks.publish import recipes as publish_recipes
from topicflow.tasks.store.artifact_store import Recipe
from topicflow.tasks.updates import recipes as updates
from topicflow.tasks.updates.recipes import FITTED_BY, fit_settings

LOAD = LoadConfig(path="a.csv")
OVERVIEW = (EvaluateConfig(), CountConfig(), ReportConfig(), "name", {"batches": "b"}, "names")
SECTIONS: dict[str, BaseModel] = {
    "new_documents": NewDocumentsConfig(watermark="t", since="2024-01-01", until="2025-01-01"),
    "drift": DriftConfig(),
    "match": MatchConfig(),
    "gate": GatesConfig(),
}
RECIPES: dict[str, Callable[[Any], Recipe]] = {
    "new_documents": lambda c: updates.new_documents(LOAD, c, "source", "state"),
    "drift": lambda c: updates.drift(c, {"labels": "l"}, 1),
    "match": lambda c: updates.lineage(c, {"labels": "l"}),
    "gate": lambda c: publish_recipes.gate(c, {"overview": "o"}, None),
}
BARE: dict[str, Callable[[], Recipe]] = {
    "assign": lambda: updates.assign({"cells": "c"}),
    "merge_batches": lambda: updates.merged_batches(["a", "b"]),
    "overview": lambda: updates.overview(*OVERVIEW),
}
OTHERS: dict[str, Any] = {
    "watermark": "u", "late": "leave", "since": "2024-02-01", "until": "2025-02-01", "on_drift": "warn",
    "refit_after": 3, "min_documents": 7, "max_topics": 90, "min_topics": 2,
}  # fmt: skip
"""Values for fields whose bounds or patterns the general ones do not meet; the others get half of theirs or .3."""

CASES = [(stage, field) for stage, config in SECTIONS.items() for field in type(config).model_fields]


@pytest.mark.parametrize(("stage", "field"), CASES)
def test_every_field_except_the_receivers_changes_the_key(stage: str, field: str) -> None:
    config = SECTIONS[stage]
    value = getattr(config, field)
    if field.startswith("webhook"):
        told = type(config).model_validate({field: "hook"})
        assert RECIPES[stage](told).key == RECIPES[stage](config).key
        return
    other = OTHERS.get(field, value / 2 if isinstance(value, float) else 0.3)
    changed = type(config).model_validate({**config.model_dump(), field: other})
    assert getattr(changed, field) != value
    assert RECIPES[stage](changed).key != RECIPES[stage](config).key


@pytest.mark.parametrize("stage", [*RECIPES, *BARE])
def test_a_bumped_version_changes_the_key(stage: str, bump: Callable[..., None]) -> None:
    def key() -> str:
        return (RECIPES[stage](SECTIONS[stage]) if stage in RECIPES else BARE[stage]()).key

    before = key()
    bump(stage)
    assert key() != before


def test_inputs_change_the_keys() -> None:
    config = NewDocumentsConfig()
    assert (
        updates.new_documents(LOAD, config, "s", "").key
        != updates.new_documents(LOAD, config, "s", "state").key
    )
    assert (
        updates.new_documents(LOAD, config, "s", "").key != updates.new_documents(LOAD, config, "t", "").key
    )
    elsewhere = LoadConfig(path="b.csv")
    assert (
        updates.new_documents(elsewhere, config, "s", "").key
        == updates.new_documents(LOAD, config, "s", "").key
    )
    assert updates.merged_batches(["a", "b"]).key != updates.merged_batches(["b", "a"]).key
    assert updates.cells({"e": "1"}, 1).key != updates.cells({"e": "1"}, 2).key
    assert updates.overview(*OVERVIEW).key != updates.overview(*OVERVIEW[:5], "other names").key


@pytest.mark.parametrize("section", [EvaluateConfig(), ReportConfig(title="t")])
def test_every_field_of_the_sections_shown_changes_the_overviews_key(section: BaseModel) -> None:
    at = 0 if isinstance(section, EvaluateConfig) else 2
    for field, changed in perturbed(section):
        assert changed is not None, field
        both = [
            updates.overview(*(*OVERVIEW[:at], each, *OVERVIEW[at + 1 :])).key for each in (section, changed)
        ]
        assert both[0] != both[1], field


def test_only_what_decides_a_fit_causes_another_one(tmp_path: Path) -> None:
    base = UpdateTopicsConfig(load={"path": "a.csv"})
    changes: dict[str, Any] = {
        "seed": 1, "embed": {"prompt": "p"}, "neighbors": {"n_neighbors": 9}, "reduce": {"n_components": 32},
        "map": {"min_dist": 0.5}, "cluster": {"min_cluster_size": 50}, "count": {"lowercase": False},
        "label": {"top_n_words": 5}, "name": "other", "period": "1d", "load": {"path": "b.csv"},
        "new_documents": {"late": "leave", "watermark": "t"}, "drift": {"max_psi": 9.0}, "match": {"weight": 0.1},
        "evaluate": {"sample": 50}, "report": {"title": "t"}, "gates": {"min_topics": 2}, "runtime": {"store": "s"},
        "names": {"url": "http://h/v1", "model": "m"}, "edits": {"path": "e.toml"}, "tree": {"about": 20},
        "topics": {"names": ["a"]}, "groups": {"columns": ["a"]}, "shares": {"top": 3},
    }  # fmt: skip
    assert set(changes) | {"periods"} == set(UpdateTopicsConfig.model_fields)  # it needs a column of times
    moved = {
        name
        for name, value in changes.items()
        if fit_settings(UpdateTopicsConfig(**{"load": {"path": "a.csv"}, name: value})) != fit_settings(base)
    }
    assert moved == {*FITTED_BY, "topics"}
    files = [tmp_path / name for name in ("one.csv", "other.csv")]
    for file in files:
        file.write_text("name\na\n")
    same = [UpdateTopicsConfig(load={"path": "a.csv"}, topics={"path": str(file)}) for file in files]
    assert fit_settings(same[0]) == fit_settings(same[1]) != fit_settings(base)  # the content decides
