"""Recipe of the tree of topics.

The stage and the plan call the same function. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping

from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.shaping import TreeConfig
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {"tree": 2}
"""Increase a stage's number when equal inputs and config must give a different artifact."""

WEIGHTED_BY = (
    "top_n_words", "spread", "exclusivity", "reduce_frequent_words", "bm25_weighting", "n_name_words",
)  # fmt: skip
"""Fields of the section `label` that decide the keywords and names of groups."""


def tree(config: TreeConfig, labelling: LabelConfig, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the tree; `inputs` are the embeddings, neighbors, labels, counts and topics."""
    return Recipe(
        stage="tree",
        kind="trees",
        version=VERSIONS["tree"],
        config=fields_of(config) | {name: getattr(labelling, name) for name in WEIGHTED_BY},
        inputs=dict(inputs),
        identity=library_versions("numpy", "numba", "scipy"),
    )
