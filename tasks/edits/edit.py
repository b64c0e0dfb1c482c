"""Edit: labels (n_docs,), topics, embeddings and a person's edits -> labels (n_docs,) of the edited topics.

labels: the files that the stage `cluster` writes, so that every later stage takes either. The meta data also have
`names` (n_topics,), the name of each topic or None if it is made of its keywords, `named_by_person`, the topics whose
name a person gave, and `edits`, what became of each edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.tasks.core.clusters.clustering import number_by_size
from topicflow.tasks.documents.document_rows import rows_of
from topicflow.tasks.edits import recipes
from topicflow.tasks.edits.actions import Outcome, Splitting, apply_edits, named_documents
from topicflow.tasks.edits.edits_file import Edit
from topicflow.tasks.edits.shape import Shape
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.states import cached
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


@task(name="edit", cache_policy=NO_CACHE, persist_result=False)
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
    recipe = recipes.edit(edits, editable.keys, context.seed, later)
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        before = {name: np.asarray(store.array(editable.labels, name)) for name in ARRAYS}
        shape = read_shape(store, editable, named_documents(edits))
        shape.later = frozenset(later)
        outcomes = apply_edits(shape, edits, Splitting(context.seed, context.runtime.n_threads))
        labels = number_by_size(shape.labels)
        writer.save_array("labels", labels)
        writer.save_array("probabilities", shape.probabilities)
        writer.save_array("outlier_scores", before["outlier_scores"])
        writer.save_array("reassigned", shape.reassigned)
        if "stability.npy" in store.manifest(editable.labels.kind, editable.labels.key)["files"]:
            writer.save_array("stability", np.asarray(store.array(editable.labels, "stability")))
        writer.rows = len(labels)
        writer.meta = {
            **store.meta(editable.labels),
            "outlier_share": float((labels < 0).mean()),
            **described(shape, labels, outcomes, store.meta(editable.labels).get("given", [])),
        }
    return store.committed(recipe, writer)


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


def described(
    shape: Shape,
    labels: NDArray[np.int32],
    outcomes: Sequence[Outcome],
    given: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return what the artifact says of topics, names and edits, with the numbers of `labels` for the working numbers.

    `given` is a row for each given topic. One without documents stays as one of the last topics, unless an edit merged,
    split or deleted it.
    """
    numbers = numbers_of(shape, labels)
    empty = [row["topic"] for row in given if row["topic"] in shape.names and row["topic"] not in numbers]
    numbers |= {topic: len(numbers) + place for place, topic in enumerate(empty)}
    names: list[str | None] = [None] * len(numbers)
    for topic, name in shape.names.items():
        if topic in numbers:
            names[numbers[topic]] = name
    return {
        "n_topics": len(numbers),
        "names": names,
        "named_by_person": sorted(numbers[topic] for topic in shape.by_person if topic in numbers),
        "edits": [
            {
                "edit": str(outcome.edit),
                "asked": outcome.edit.model_dump(mode="json", exclude_unset=True),
                "applied": outcome.is_applied,
                "topics": [numbers[topic] for topic in outcome.topics if topic in numbers],
                "problem": outcome.problem,
            }
            for outcome in outcomes
        ],
        **({"given": edited_rows(given, numbers, labels)} if given else {}),
    }


def numbers_of(shape: Shape, labels: NDArray[np.int32]) -> dict[int, int]:
    """Return the number in `labels` of each working number that has documents."""
    working, first = np.unique(shape.labels, return_index=True)
    return {int(topic): int(labels[row]) for topic, row in zip(working, first, strict=True) if topic >= 0}


def edited_rows(
    given: Sequence[Mapping[str, Any]], numbers: Mapping[int, int], labels: NDArray[np.int32]
) -> list[dict[str, Any]]:
    """Return the rows of given topics with their numbers and sizes after the edits, None for topics that are gone."""
    sizes = np.bincount(labels[labels >= 0], minlength=len(numbers)).tolist()
    topics = [numbers.get(row["topic"]) for row in given]
    return [
        {**row, "topic": topic, "size": None if topic is None else sizes[topic]}
        for row, topic in zip(given, topics, strict=True)
    ]
