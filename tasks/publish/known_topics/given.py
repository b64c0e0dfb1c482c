"""Given topics of a run: the artifact of the stage `given` -> what its record, metrics and remarks say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import GIVEN, final_labels

if TYPE_CHECKING:
    from topicflow.tasks.updates.topic_state import TopicState

SHOWN_NAMES = 5
"""Names of topics without documents that a remark lists."""


def given_record(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> dict[str, Any]:
    """Return the given topics with their sizes and thresholds, as a run's record has them; empty without any.

    Numbers and sizes are those after edits, None for a topic that an edit merged, split or deleted.
    """
    return {"given_topics": store.meta(final_labels(stages))["given"]} if GIVEN in stages else {}


def given_figures(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> dict[str, float | int]:
    """Return the figures of the given topics and of the nearest names, for a run's metrics; empty without any."""
    return dict(store.meta(stages[GIVEN])["given_figures"]) if GIVEN in stages else {}


def given_record_of_series(
    store: ArtifactStore, state: TopicState, labels: NDArray[np.int32]
) -> dict[str, Any]:
    """Return the given topics of a series by lasting id, with their sizes today and the thresholds of the fit.

    `labels` (n_docs,) are those of all documents, in the fit's numbers. A topic that edits took away has no id.
    """
    from topicflow.tasks.updates.given_topics import given_numbers  # with compiled loops

    if not state.fit.clusters:
        return {}
    numbers = given_numbers(store, ArtifactRef("labels", state.fit.labels, "cluster"))
    rows = []
    for row in store.meta(state.fit.without_edits()[0])["given"]:
        number = numbers.get(row["name"])
        found = {"topic": None, "size": 0}
        if number is not None:
            found = {"topic": state.ids[number], "size": int((labels == number).sum())}
        rows.append({**row, **found})
    return {"given_topics": rows}


def given_figures_of_series(
    store: ArtifactStore,
    stages: Mapping[str, ArtifactRef],
    record: Mapping[str, Any],
    n_documents: int,
) -> dict[str, float | int]:
    """Return the figures of given topics over all documents, and those of the fit if the run has fitted."""
    if not (rows := record.get("given_topics")):
        return {}
    held = sum(row["size"] for row in rows)
    today = {"given_share": held / n_documents, "given_empty": sum(not row["size"] for row in rows)}
    return given_figures(store, stages) | today


def given_remarks(record: Mapping[str, Any], figures: Mapping[str, float | int]) -> list[str]:
    """Return a sentence on the documents in given topics, one on topics without any, and one on known classes."""
    if not (rows := record.get("given_topics")):
        return []
    said = [f"{figures['given_share']:.0%} of the documents are in the {len(rows):,} given topics."]
    if "given_as_nearest" in figures:
        said[0] += f" Of these, {figures['given_as_nearest']:.0%} have the nearest name, too."
    if empty := [row["name"] for row in rows if row["size"] == 0]:
        said.append(
            f"{len(empty):,} given {'topic has' if len(empty) == 1 else 'topics have'} no documents: {_named(empty)}."
        )
    if "given_precision" in figures:
        said.append(
            f"Documents of a class with the name of a topic: {figures['given_accuracy']:.0%} are in it, and "
            f"{figures['given_precision']:.0%} of the documents in such topics are of that class. By the nearest "
            f"name alone it is {figures['nearest_accuracy']:.0%}."
        )
    return said


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown} and {len(names) - SHOWN_NAMES:,} more"
