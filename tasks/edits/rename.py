"""Rename: topics after all other edits, and all edits -> the same topics with the names that a person gave.

renamed: `topics.parquet`, the topics' table with `name` and `named_by`, and `centroids.npy`. The meta data have
`names`, `named_by_person` and `edits`, as those of the stage `edit`. No document changes its topic here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topicflow.tasks.edits import recipes
from topicflow.tasks.edits.edit import Editable, applied, described
from topicflow.tasks.edits.edits_file import Edit
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.topics.label import with_given_names


@stage("rename")
def rename(
    context: Context,
    editable: Editable,
    topics: ArtifactRef,
    edits: Sequence[Edit],
    later: Sequence[str] = (),
) -> ArtifactRef:
    """Return the artifact of the renamed topics, computing it on a miss.

    Parameters
    ----------
    context : Context
        Store, seed and threads.
    editable : Editable
        What the edits are applied to.
    topics : ArtifactRef
        The topics after all edits that are no renames.
    edits : sequence of Edit
        All edits, in order: a rename names a topic as it is at its place among them.
    later : sequence of str
        Moved documents that came after the fit.
    """
    store = context.store
    recipe = recipes.rename(edits, editable.keys | {"described": topics.key}, context.seed, later)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        told = described(*applied(context, editable, edits, later))
        table = store.table(topics, "topics").sort("topic").collect()
        writer.save_table("topics", with_given_names(table, told))
        writer.save_array("centroids", np.asarray(store.array(topics, "centroids")))
        writer.rows = table.height
        writer.meta = told
    return store.committed(recipe, writer)
