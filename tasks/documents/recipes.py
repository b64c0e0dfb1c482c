"""Recipes of documents and of the records of their sources.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of

VERSIONS: Mapping[str, int] = {"load": 1}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def load_fields(config: LoadConfig) -> dict[str, Any]:
    """Return the fields that decide which documents an input gives.

    `date_order` is left out if it is auto: the field was added later, and older documents stay hits.
    """
    is_found = {"date_order"} if config.date_order == "auto" else set()
    return fields_of(config, leave_out={"path", "connection_env", *is_found})


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
