"""Recipe of the topic shares.

The stage and the plan call the same function. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.sections.slices import SharesConfig
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {"shares": 1}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def shares(config: SharesConfig, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the shares; `inputs` are the documents, embeddings, labels, counts and topics.

    For documents that came after the fit of their topics, the labels and counts of the fit are inputs too.
    """
    return Recipe(
        stage="shares",
        kind="shares",
        version=VERSIONS["shares"],
        config=fields_of(config),
        inputs=dict(inputs),
        identity=library_versions("numpy", "numba"),
    )
