"""Recipe of the report.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {"report": 10}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def report(config: ReportConfig, name: str, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the report's page; a run adds its own timings."""
    return Recipe(
        stage="report",
        kind="reports",
        version=VERSIONS["report"],
        config=fields_of(config.model_copy(update={"title": config.title or name})),
        inputs=dict(inputs),
        identity=library_versions("plotly"),
    )
