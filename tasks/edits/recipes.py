"""Recipes of edits: topics and a person's edits -> the recipe of the edited topics of documents.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from topicflow.tasks.store.artifacts import Recipe, canonical_json, digest
from topicflow.tasks.store.recipe_parts import library_versions

if TYPE_CHECKING:
    from topicflow.tasks.edits.edits_file import Edit

VERSIONS: Mapping[str, int] = {"edit": 1, "rename": 1, "move": 1}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def edit(
    edits: Sequence[Edit],
    inputs: Mapping[str, str],
    seed: int,
    later: Sequence[str] = (),
    *,
    has_given: bool = False,
) -> Recipe:
    """Return the recipe of the topic of each document after all edits; only a split depends on the seed.

    `later` are moved documents that came after the fit; `has_given` says whether there are given topics.
    """
    splits = any(each.action == "split" for each in edits)
    return Recipe(
        stage="edit",
        kind="labels",
        version=VERSIONS["edit"],
        config={f"edit {number}": f"{each} [{each.digest}]" for number, each in enumerate(edits, 1)},
        inputs=dict(inputs),
        identity=library_versions("numpy", *(("scikit-learn",) if splits else ()))
        | ({"later": digest(canonical_json(sorted(later)))} if later else {})
        | ({"given": "first"} if has_given else {}),
        seed=seed if splits else None,
    )


def rename(edits: Sequence[Edit], inputs: Mapping[str, str], seed: int, later: Sequence[str] = ()) -> Recipe:
    """Return the recipe of the topics with a person's names; `inputs` are those of `edit`, and the edited topics."""
    whole = edit(edits, inputs, seed, later)
    return Recipe(**{**vars(whole), "stage": "rename", "kind": "renamed", "version": VERSIONS["rename"]})


def move(labels: str, documents: str, moves: Mapping[str, int]) -> Recipe:
    """Return the recipe of the labels of assigned documents after moves: the topic of each moved document."""
    fields = {"moves": digest(canonical_json(sorted(moves.items())))}
    return Recipe("move", "labels", VERSIONS["move"], fields, {"labels": labels, "documents": documents})
