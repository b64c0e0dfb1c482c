"""Recipes of documents and of the records of their sources.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of

VERSIONS: Mapping[str, int] = {"load": 2}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


LATER_FIELDS = (
    "date_order", "encoding", "separator", "quote", "skip_rows", "header", "sheet", "time_format", "clean",
)  # fmt: skip
"""Fields that are part of a recipe only if they are set: older configs keep their keys."""


def load_fields(config: LoadConfig) -> dict[str, Any]:
    """Return the fields that decide which documents an input gives."""
    defaults = type(config).model_fields
    unset = {name for name in LATER_FIELDS if getattr(config, name) == defaults[name].default}
    return fields_of(config, leave_out={"path", "connection_env", *unset})


def load(config: LoadConfig, source: str) -> Recipe:
    """Return the recipe of the source record, which has the documents' key for a `source` fingerprint.

    The path is not part of it: the same bytes in another place are the same documents.
    """
    return Recipe(
        stage="load",
        kind="sources",
        version=VERSIONS["load"],
        config=load_fields(config),
        identity={"source": source},
    )


def documents(config: LoadConfig) -> Recipe:
    """Return the recipe of the documents; `load` sets their key, which depends on their content."""
    return Recipe(stage="load", kind="documents", version=VERSIONS["load"], config=load_fields(config))
