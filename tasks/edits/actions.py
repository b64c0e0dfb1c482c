"""Actions: edits in order -> changed topics of documents, and what became of each edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.core.clusters.assign import best_topics
from topicflow.tasks.core.clusters.clustering import kmeans_clusters, number_by_size
from topicflow.tasks.edits.edits_file import Edit, NamedTopic
from topicflow.tasks.edits.shape import Shape


@dataclass(frozen=True)
class Outcome:
    """What became of an edit.

    Attributes
    ----------
    edit : Edit
        The edit.
    topics : tuple of int
        Working numbers of the topics that have what it asked for; empty if it does not apply.
    problem : str
        Why it does not apply, or not to all of its topics; empty if it does.
    """

    edit: Edit
    topics: tuple[int, ...] = ()
    problem: str = ""

    @property
    def is_applied(self) -> bool:
        """Whether it changed the topics of this run, or they were already as it asks for."""
        return bool(self.topics) or not self.problem


@dataclass(frozen=True)
class Splitting:
    """What the k-means of a split needs beside the documents."""

    seed: int = 0
    n_threads: int | None = None


def apply_edits(shape: Shape, edits: Sequence[Edit], splitting: Splitting) -> list[Outcome]:
    """Return what became of each edit after applying them in order; `shape` is changed in place."""
    return [ACTIONS[edit.action](shape, edit, splitting) for edit in edits]


def _found(shape: Shape, edit: Edit) -> tuple[list[int], str]:
    """Return the different topics that an edit names, in its order, and why some are not there."""
    topics: list[int] = []
    problems = []
    for named in edit.topics:
        found = shape.find(named)
        if isinstance(found, int):
            topics += [found] if found not in topics else []
        else:
            problems.append(f"topic {named} is not found: {found}")
    return topics, "; ".join(problems)


def _merge(shape: Shape, edit: Edit, _: Splitting) -> Outcome:
    """Give the documents of all topics to the first; it keeps a person's name, the first that one of them has."""
    topics, problem = _found(shape, edit)
    if not topics or (len(topics) == 1 and problem):
        return Outcome(edit, (), problem)
    first, *others = topics
    named = next((topic for topic in topics if topic in shape.by_person), first)
    name, by_person = shape.names.get(named), named in shape.by_person
    shape.labels[np.isin(shape.labels, others)] = first
    words = [word for topic in topics for word in shape.keywords.get(topic, ())]
    shape.keywords[first] = tuple(dict.fromkeys(words))
    _forget_names(shape, topics)
    if name is not None:
        _give_name(shape, first, name, by_person=by_person)
    return Outcome(edit, (first,), problem)


def _rename(shape: Shape, edit: Edit, _: Splitting) -> Outcome:
    topics, problem = _found(shape, edit)
    for topic in topics:
        _give_name(shape, topic, str(edit.name), by_person=True)
    return Outcome(edit, tuple(topics), problem)


def _delete(shape: Shape, edit: Edit, _: Splitting) -> Outcome:
    """Make the documents of the topics outliers, or give each to the nearest other topic."""
    topics, problem = _found(shape, edit)
    if not topics:
        return Outcome(edit, (), problem)
    rows = np.flatnonzero(np.isin(shape.labels, topics))
    others = [topic for topic in shape.topics() if topic not in topics]
    _forget_names(shape, topics)
    if edit.to == "outliers" or not others:
        shape.labels[rows] = -1
        shape.probabilities[rows] = 0.0
        shape.reassigned[rows] = False
    else:
        centroids = np.stack([shape.centroid(topic) for topic in others])
        nearest, cosines = best_topics(np.asarray(shape.embeddings[rows]), centroids)
        shape.labels[rows] = np.array(others, np.int32)[nearest]
        shape.probabilities[rows] = np.clip(cosines, 0.0, 1.0)
        shape.reassigned[rows] = True
    return Outcome(edit, tuple(topics), problem)


def _split(shape: Shape, edit: Edit, splitting: Splitting) -> Outcome:
    """Cut a topic into parts by k-means on its embeddings; the largest part keeps the number, none keeps the name."""
    topics, problem = _found(shape, edit)
    if not topics or edit.into is None:
        return Outcome(edit, (), problem)
    (topic,) = topics
    rows = np.flatnonzero(shape.labels == topic)
    vectors, copies = np.unique(np.asarray(shape.embeddings[rows]), axis=0, return_inverse=True)
    if len(vectors) < edit.into:
        short = (
            f"topic {edit.topics[0]} has {len(vectors):,} different documents, fewer than {edit.into} parts"
        )
        return Outcome(edit, (), short)
    counts = np.bincount(copies.ravel(), minlength=len(vectors))
    found = kmeans_clusters(vectors, edit.into, splitting.seed, counts, splitting.n_threads)
    parts = number_by_size(found.labels[copies.ravel()])
    numbers = [topic, *(max(shape.keywords, default=-1) + 1 + i for i in range(edit.into - 1))]
    shape.labels[rows] = np.array(numbers, np.int32)[parts]
    shape.keywords |= dict.fromkeys(numbers, shape.keywords.get(topic, ()))
    _forget_names(shape, [topic])
    return Outcome(edit, tuple(numbers), problem)


def _move(shape: Shape, edit: Edit, _: Splitting) -> Outcome:
    """Give documents to a topic, with certainty."""
    absent = [each for each in edit.documents if each not in shape.rows and each not in shape.later]
    problem = f"document {absent[0]} is not there" if absent else ""
    if len(absent) > 1:
        problem = f"{len(absent):,} of {len(edit.documents):,} documents are not there: {absent[0]}, …"
    rows = shape.rows_of(edit.documents)
    if len(absent) == len(edit.documents):
        return Outcome(edit, (), problem)
    topics, unknown = _found(shape, edit)
    if not topics:
        return Outcome(edit, (), unknown)
    _give(shape, rows, topics[0])
    return Outcome(edit, tuple(topics), problem)


def _pin(shape: Shape, edit: Edit, _: Splitting) -> Outcome:
    """Keep a topic: its name and its named documents; make it again from these if it is gone."""
    (named,) = edit.topics
    found = shape.find(named)
    rows = shape.rows_of(named.documents)
    if isinstance(found, str):
        if len(rows) < 2:
            return Outcome(edit, (), f"topic {named} is not found: {found}")
        topic = max([*shape.keywords, *shape.topics()], default=-1) + 1
        shape.keywords[topic] = named.keywords
    else:
        topic = found
    away = rows[shape.labels[rows] != topic]
    _give(shape, away, topic)
    if edit.name is not None:
        _give_name(shape, topic, edit.name, by_person=True)
    return Outcome(edit, (topic,))


def _give(shape: Shape, rows: NDArray[np.int64], topic: int) -> None:
    """Put documents into a topic with probability 1: a person said so."""
    shape.labels[rows] = topic
    shape.probabilities[rows] = 1.0
    shape.reassigned[rows] = False


def _give_name(shape: Shape, topic: int, name: str, *, by_person: bool) -> None:
    shape.names[topic] = name
    if by_person:
        shape.by_person.add(topic)


def _forget_names(shape: Shape, topics: Sequence[int]) -> None:
    for topic in topics:
        shape.names.pop(topic, None)
        shape.by_person.discard(topic)


ACTIONS: Mapping[str, Callable[[Shape, Edit, Splitting], Outcome]] = {
    "merge": _merge,
    "rename": _rename,
    "delete": _delete,
    "split": _split,
    "move": _move,
    "pin": _pin,
}


def named_documents(edits: Sequence[Edit]) -> list[str]:
    """Return the ids of all documents that edits name."""
    topics: list[NamedTopic] = [topic for edit in edits for topic in edit.topics]
    ids = [
        *(each for edit in edits for each in edit.documents),
        *(each for t in topics for each in t.documents),
    ]
    return list(dict.fromkeys(ids))
