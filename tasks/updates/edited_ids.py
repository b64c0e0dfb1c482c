"""Ids through edits: topics before and after a person's edits -> lasting ids that come back when an edit is undone.

A series keeps ids for the topics of its last fit as they were without edits. As long as nothing is fitted again, edited
topics take theirs from these: a merged topic has one of its topics' ids, and an undo brings the other ids back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from topicflow.tasks.core.clusters.clustering import LabelArray

MIN_SHARE = 0.5
"""Minimum share of a topic's documents that had the earlier topic, for the topic to get its id."""


def ids_by_documents(
    new: LabelArray, old: LabelArray, old_ids: Sequence[int], wanted: Iterable[int], taken: Iterable[int]
) -> dict[int, int]:
    """Return the ids that topics get from earlier topics with the same documents; topics without such are left out.

    Parameters
    ----------
    new, old : ndarray of shape (n_docs,), int32
        Topic of each document now and earlier, -1 for none.
    old_ids : sequence of int
        Lasting id of each earlier topic.
    wanted : iterable of int
        The topics that need an id, in order of preference.
    taken : iterable of int
        Ids of other topics.
    """
    used, found = set(taken), {}
    for topic in wanted:
        own = old[new == topic]
        counts = np.bincount(own[own >= 0], minlength=1)
        best = int(counts.argmax())
        if not counts[best] or counts[best] < MIN_SHARE * len(own) or old_ids[best] in used:
            continue
        found[topic] = old_ids[best]
        used.add(old_ids[best])
    return found


def unedited_ids(
    unedited: LabelArray,
    edited: LabelArray,
    ids: Sequence[int],
    before: tuple[LabelArray, Sequence[int]] | None,
) -> dict[int, int]:
    """Return the lasting ids of the topics of a new fit without its edits, as far as they are known.

    Parameters
    ----------
    unedited, edited : ndarray of shape (n_docs,), int32
        Topic of each document without and with the edits.
    ids : sequence of int
        Lasting ids of the edited topics.
    before : (labels, ids), optional
        Labels of the last fit without edits, for the first documents, and the lasting ids of its topics.
    """
    topics = range(int(unedited.max(initial=-1)) + 1)
    sizes = np.bincount(unedited[unedited >= 0], minlength=len(topics))
    largest = np.argsort(-sizes, kind="stable").tolist()
    found = ids_by_documents(unedited, edited, ids, largest, ())
    if before is None:
        return found
    old, old_ids = before
    rest = [topic for topic in topics if topic not in found]
    return found | ids_by_documents(unedited[: len(old)], old, old_ids, rest, {*ids, *found.values()})
