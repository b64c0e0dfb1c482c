"""Move: labels of documents that were assigned after a fit -> the same with the documents that a person moved.

The artifact has the files that the stage `assign` writes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from topicflow.tasks.documents.document_rows import rows_of
from topicflow.tasks.edits import recipes
from topicflow.tasks.edits.edit import ARRAYS
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

OF_ASSIGNED = ("reduced", "distances")
"""Arrays that labels of assigned documents have besides those of a fit; a move does not change them."""


def moves_of(store: ArtifactStore, edited: ArtifactRef) -> dict[str, int]:
    """Return the topic of each document that a person moved, from the artifact of the stage `edit`."""
    moves: dict[str, int] = {}
    for each in store.meta(edited).get("edits", []):
        if each["asked"]["action"] == "move" and each["topics"]:
            moves |= dict.fromkeys(each["asked"]["documents"], each["topics"][0])
    return moves


@stage("move")
def move(
    context: Context, labels: ArtifactRef, documents: ArtifactRef, moves: Mapping[str, int]
) -> ArtifactRef:
    """Return the labels of assigned documents after the moves, computed on a miss."""
    store = context.store
    recipe = recipes.move(labels.key, documents.key, moves)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        arrays = {name: np.array(store.array(labels, name)) for name in (*ARRAYS, *OF_ASSIGNED)}
        for document, rows in rows_of(store, documents, list(moves)).items():
            arrays["labels"][rows] = moves[document]
            arrays["probabilities"][rows] = 1.0
            arrays["reassigned"][rows] = False
        for name, array in arrays.items():
            writer.save_array(name, array)
        writer.rows = len(arrays["labels"])
        writer.meta = {"outlier_share": float((arrays["labels"] < 0).mean())}
    return store.committed(recipe, writer)
