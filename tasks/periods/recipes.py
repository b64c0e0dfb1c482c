"""Recipes of topics over time and by group.

The stages and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.slices import GroupsConfig, PeriodsConfig
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {"periods": 1, "groups": 1}
"""Increase a stage's number when equal inputs and config must give a different artifact."""

WEIGHTING = ("spread", "exclusivity", "reduce_frequent_words", "bm25_weighting")
"""Fields of `label` that rank words; its other fields do not matter here."""


def periods(config: PeriodsConfig, weighting: LabelConfig, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the topics over time; `inputs` are the documents, their labels and their word counts."""
    return _sliced("periods", config, weighting, inputs)


def groups(config: GroupsConfig, weighting: LabelConfig, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the topics by group; `inputs` are as for the periods."""
    return _sliced("groups", config, weighting, inputs)


def chosen(
    periods_config: PeriodsConfig | None,
    groups_config: GroupsConfig | None,
    weighting: LabelConfig,
    inputs: Mapping[str, str],
) -> dict[str, Recipe]:
    """Return the recipes of the stages whose sections a config has, in the order of the flow."""
    found = {}
    if periods_config is not None:
        found["periods"] = periods(periods_config, weighting, inputs)
    if groups_config is not None:
        found["groups"] = groups(groups_config, weighting, inputs)
    return found


def _sliced(
    stage: str, config: PeriodsConfig | GroupsConfig, weighting: LabelConfig, inputs: Mapping[str, str]
) -> Recipe:
    return Recipe(
        stage=stage,
        kind=stage,
        version=VERSIONS[stage],
        config=fields_of(config) | {name: getattr(weighting, name) for name in WEIGHTING},
        inputs=dict(inputs),
        identity=library_versions("numpy", "scipy"),
    )
