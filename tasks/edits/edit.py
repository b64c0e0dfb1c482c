"""Edit: labels (n_docs,), topics, embeddings and a person's edits -> labels (n_docs,) of the edited topics.

labels: the files that the stage `cluster` writes, so that every later stage takes either. The meta data also have
`names` (n_topics,), the name of each topic or None if it is made of its keywords, `named_by_person`, the topics whose
name a person gave, and `edits`, what became of each edit; with given topics `given_now`, the number of each or None.
Given topics that are left come first, in their order, also those without documents; others follow by decreasing size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.clustering import LabelArray, number_by_size
from topicflow.tasks.documents.document_rows import rows_of
from topicflow.tasks.edits import recipes
from topicflow.tasks.edits.actions import Outcome, Splitting, apply_edits, named_documents
from topicflow.tasks.edits.edits_file import Edit
from topicflow.tasks.edits.shape import Shape
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

ARRAYS = ("labels", "probabilities", "outlier_scores", "reassigned")
"""Arrays of the artifact of the stage `cluster`; some have a `stability` too."""


@dataclass(frozen=True)
class Editable:
    """What edits are applied to; the fields are the recipe's inputs."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    labels: ArtifactRef
    topics: ArtifactRef

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items()}


@stage("edit")
def edit(
    context: Context, editable: Editable, edits: Sequence[Edit], later: Sequence[str] = ()
) -> ArtifactRef:
    """Return the artifact of the edited labels, computing it on a miss.

    Parameters
    ----------
    context : Context
        Store, seed and threads.
    editable : Editable
        What the edits are applied to.
    edits : sequence of Edit
        The edits, in order.
    later : sequence of str
        Moved documents that are not among these, as they came after the fit; the stage `move` moves them.

    Notes
    -----
    One pass over the ids of the documents; the embeddings are read only for topics that are deleted, split or searched
    by their centroid.
    """
    store = context.store
    given = store.meta(editable.labels).get("given", [])
    recipe = recipes.edit(edits, editable.keys, context.seed, later, has_given=bool(given))
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        shape, numbers, outcomes = applied(context, editable, edits, later)
        labels = np.append(numbers, -1)[shape.labels].astype(np.int32)
        writer.save_array("labels", labels)
        writer.save_array("probabilities", shape.probabilities)
        writer.save_array("outlier_scores", np.asarray(store.array(editable.labels, "outlier_scores")))
        writer.save_array("reassigned", shape.reassigned)
        if "stability.npy" in store.manifest(editable.labels.kind, editable.labels.key)["files"]:
            writer.save_array("stability", np.asarray(store.array(editable.labels, "stability")))
        writer.rows = len(labels)
        writer.meta = {
            **store.meta(editable.labels),
            "outlier_share": float((labels < 0).mean()),
            **described(shape, numbers, outcomes),
            **given_after(given, numbers, labels),
        }
    return store.committed(recipe, writer)


def applied(
    context: Context, editable: Editable, edits: Sequence[Edit], later: Sequence[str]
) -> tuple[Shape, NDArray[np.int32], list[Outcome]]:
    """Return the topics after all edits, the final number of each, and what became of each edit."""
    store = context.store
    shape = read_shape(store, editable, named_documents(edits))
    shape.later = frozenset(later)
    before = shape.labels.copy()
    outcomes = apply_edits(shape, edits, Splitting(context.seed, context.runtime.n_threads))
    n_given = len(store.meta(editable.labels).get("given", ()))
    return shape, final_numbers(before, shape.labels, n_given), outcomes


def read_shape(store: ArtifactStore, editable: Editable, documents: Sequence[str]) -> Shape:
    """Return the topics before any edit, and the rows of the named `documents`."""
    table = store.table(editable.topics, "topics").sort("topic").select("topic", "keywords").collect()
    keywords = {topic: tuple(words) for topic, words in table.iter_rows()}
    meta = store.meta(editable.labels)
    names = meta.get("names") or []
    return Shape(
        embeddings=store.array(editable.embeddings, "embeddings"),
        labels=np.array(store.array(editable.labels, "labels")),
        probabilities=np.array(store.array(editable.labels, "probabilities")),
        reassigned=np.array(store.array(editable.labels, "reassigned")),
        keywords=keywords,
        rows=rows_of(store, editable.documents, documents),
        names={topic: name for topic, name in enumerate(names) if name is not None},
        by_person=set(meta.get("named_by_person") or ()),
    )


def final_numbers(before: LabelArray, edited: LabelArray, n_given: int = 0) -> NDArray[np.int32]:
    """Return the number of each working topic after all edits, -1 if it has no documents any more.

    Parameters
    ----------
    before : ndarray of shape (n_docs,), int32
        Topics before any edit.
    edited : ndarray of shape (n_docs,), int32
        Working numbers after all edits.
    n_given : int
        Number of given topics, which come first in `before`. No edit finds one without documents, so it stays.
    """
    numbers = np.full(max(int(edited.max(initial=-1)) + 1, n_given), -1, np.int32)
    held, had = (np.bincount(each[each >= 0], minlength=n_given) for each in (edited, before))
    first = np.flatnonzero((held[:n_given] > 0) | (had[:n_given] == 0))
    numbers[first] = np.arange(len(first))
    rest = np.flatnonzero(edited >= n_given)
    numbers[edited[rest]] = number_by_size(edited[rest]) + len(first)
    return numbers


def described(shape: Shape, numbers: NDArray[np.int32], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what the artifact says of names and edits, with final `numbers` instead of the working numbers."""
    final = {topic: number for topic, number in enumerate(numbers.tolist()) if number >= 0}
    names: list[str | None] = [None] * len(final)
    for topic, name in shape.names.items():
        if topic in final:
            names[final[topic]] = name
    return {
        "n_topics": len(final),
        "names": names,
        "named_by_person": sorted(final[topic] for topic in shape.by_person if topic in final),
        "edits": [
            {
                "edit": str(outcome.edit),
                "asked": outcome.edit.model_dump(mode="json", exclude_unset=True),
                "applied": outcome.is_applied,
                "topics": [final[topic] for topic in outcome.topics if topic in final],
                "problem": outcome.problem,
            }
            for outcome in outcomes
        ],
    }


def given_after(
    given: Sequence[Mapping[str, Any]], numbers: NDArray[np.int32], labels: LabelArray
) -> dict[str, Any]:
    """Return the rows of given topics with their numbers and sizes after the edits; empty without given topics.

    Number and size are None for a topic that an edit merged, split or deleted.
    """
    if not given:
        return {}
    sizes = np.bincount(labels[labels >= 0], minlength=int(numbers.max()) + 1)
    now = [None if number < 0 else number for number in numbers[: len(given)].tolist()]
    rows = [
        {**row, "topic": number, "size": None if number is None else int(sizes[number])}
        for row, number in zip(given, now, strict=True)
    ]
    return {"given": rows, "given_now": now}
