"""Final topics: what the stages of a topic model made -> the labels and topics that its results have.

They are those of the stages `cluster` and `label`; with given topics those of `given` and `label`, and with edits those
of `edit` and `label_edited`. Names that a person gave are those of `rename`, which changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EDIT, LABEL_EDITED = "edit", "label_edited"
"""Names of the stages that edits add: the topic of each document after all edits, and what `label` makes from these."""

RENAME = "rename"
"""Name of the stage that renames add: the table of topics with these names."""

GIVEN = "given"
"""Name of the stage that given topics add: the given or found topic of each document."""

PULL, SEEDS = "pull", "seeds"
"""Names of the stages that seeds add: the vectors that they pulled, and the topics in which they ended."""

Made = TypeVar("Made")


def final_labels(made: Mapping[str, Made]) -> Made:
    """Return what is made of the documents' topics, by stage: after given topics and edits if there are any."""
    return made[EDIT] if EDIT in made else labels_before_edits(made)


def labels_before_edits(made: Mapping[str, Made]) -> Made:
    """Return what is made of the documents' topics, by stage: after given topics if there are any."""
    return made[GIVEN] if GIVEN in made else made["cluster"]


def final_topics(made: Mapping[str, Made]) -> Made:
    """Return what is made of the topics' keywords and centroids, by stage: after edits if there are any."""
    return made[LABEL_EDITED] if LABEL_EDITED in made else made["label"]


def named_topics(made: Mapping[str, Made]) -> Made:
    """Return what has the topics' names, by stage: those of a person if there are any."""
    return made[RENAME] if RENAME in made else final_topics(made)


def read_stability(store: ArtifactStore, labels: ArtifactRef) -> NDArray[np.float32] | None:
    """Return how often each document (n_docs,) has the same topic in other fits, None if it was not measured.

    It is NaN for documents of which it cannot be known, such as those of given topics.
    """
    if "stability.npy" not in store.manifest(labels.kind, labels.key)["files"]:
        return None
    import numpy as np

    return np.asarray(store.array(labels, "stability", whole=True))
