"""Groups: the tree of topics -> what a language model is told of each group, and of the group above each topic.

A node of the tree is known by its place in the tree's table: first the topics by number, then the groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.naming.evidence import (
    SIBLING_WORDS,
    Evidence,
    Modelled,
    Part,
    gather_evidence,
    nearest_first,
    person_names,
    unit_rows,
)
from topicflow.tasks.naming.wanted import Wanted
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

MAX_PARTS = 10
"""Finer topics of a group that the model is told, the largest ones."""

PART_WORDS = 4
"""Keywords of a finer topic."""

Names = Mapping[int, str]
"""Names by node."""


@dataclass(frozen=True)
class Group:
    """A group that is to be named.

    Attributes
    ----------
    evidence : Evidence
        What is known before the names of its parts; its number is the group's node.
    layer : int
        Its layer: groups of lower layers are named first.
    parts : tuple of int
        The nodes directly inside it, the largest first.
    keywords : mapping of int to tuple of str
        Keywords of these nodes.
    """

    evidence: Evidence
    layer: int
    parts: tuple[int, ...]
    keywords: Mapping[int, tuple[str, ...]]

    @property
    def node(self) -> int:
        """The group's node."""
        return self.evidence.topic

    def told(self, names: Names) -> Evidence:
        """Return the evidence with the names of the finer topics."""
        parts = tuple(_part(names[node], self.keywords[node]) for node in self.parts[:MAX_PARTS])
        return replace(self.evidence, inside=parts)


def _part(name: str, keywords: Sequence[str]) -> Part:
    """Return a finer topic; its keywords only if the name is not made of them."""
    made_of_them = name.partition(", ")[0] in keywords
    return Part(name, () if made_of_them else tuple(keywords[:PART_WORDS]))


@dataclass(frozen=True)
class TreeNodes:
    """The nodes of a tree: its table, first the topics by number, then the groups."""

    table: pl.DataFrame

    @classmethod
    def read(cls, store: ArtifactStore, tree: ArtifactRef) -> TreeNodes:
        """Return the nodes of a tree's artifact."""
        return cls(store.table(tree, "nodes").collect())

    @property
    def n_topics(self) -> int:
        """Number of topics."""
        return int(self.table["topic"].count())

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return self.table.height - self.n_topics

    @cached_property
    def parents(self) -> NDArray[np.int64]:
        """The node (n_nodes,) above each node; -1 for the root."""
        groups = self.table["parent"].cast(pl.Int64).fill_null(-1 - self.n_topics).to_numpy()
        return groups + self.n_topics

    @cached_property
    def keywords(self) -> list[tuple[str, ...]]:
        """The keywords of each node."""
        return [tuple(words) for words in self.table["keywords"].to_list()]

    def above(self, topic: int) -> tuple[str, ...]:
        """Return the best keywords of the group that contains a topic; none if it is the root, which has all.

        They are in the order of the alphabet: another order alone is no reason to ask for the topic again.
        """
        parent = int(self.parents[topic])
        return (
            ()
            if parent < 0 or self.parents[parent] < 0
            else tuple(sorted(self.keywords[parent][:SIBLING_WORDS]))
        )

    def parts(self, node: int) -> tuple[int, ...]:
        """Return the nodes directly inside a group, the largest first."""
        inside = np.flatnonzero(self.parents == node)
        sizes = self.table["size"].to_numpy().astype(np.int64)[inside]
        return tuple(inside[np.argsort(-sizes, kind="stable")].tolist())

    def beside(self, layer: int) -> NDArray[np.int64]:
        """Return the nodes of a layer: groups, and topics that stand alone in it."""
        layers = self.table["layer"].to_numpy()
        ends = np.where(self.parents < 0, np.iinfo(np.int32).max, layers[self.parents])
        return np.flatnonzero((layers <= layer) & (ends > layer))

    def centroids(self, topics: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the unit centroid (n_nodes, dim) of each node from those of the topics."""
        sizes = self.table["size"].to_numpy()[: self.n_topics]
        sums = topics * sizes[:, None].astype(np.float32)
        inside = [sums[own].sum(axis=0) for own in self.table["topics"].to_list()]
        return unit_rows(np.array(inside, np.float32).reshape(-1, topics.shape[1]))  # also without topics


@dataclass(frozen=True)
class Told:
    """What a model is told: of the topics to be named, of the groups, and the names that are there already."""

    topics: list[Evidence]
    groups: list[Group]
    names: Names


def without_persons(store: ArtifactStore, modelled: Modelled, wanted: Wanted) -> Wanted:
    """Return what is wanted without the topics that a person named, if all topics are wanted."""
    persons = {} if wanted.topics is not None else person_names(store, modelled.topics)
    if not persons:
        return wanted
    topics = tuple(topic for topic in range(modelled.topics.rows) if topic not in persons)
    return replace(wanted, topics=topics, taken=persons)


def gather(store: ArtifactStore, modelled: Modelled, config: NamesConfig, wanted: Wanted) -> Told:
    """Return what a model is told of the wanted topics, and of the wanted groups if there is a tree.

    Notes
    -----
    The documents of a group are those of its topics, so that groups read no text and no vector.
    """
    if modelled.tree is None:
        found = gather_evidence(store, modelled, config, wanted.topics)
        return Told(found, [], {each.topic: each.name for each in found} | dict(wanted.taken))
    nodes = TreeNodes.read(store, modelled.tree)
    topics = range(nodes.n_topics) if wanted.topics is None else wanted.topics
    numbers = range(nodes.n_groups) if wanted.groups is None else wanted.groups
    members = nodes.table["topics"].to_list()[nodes.n_topics :]
    needed = {topic for number in numbers for topic in members[number]} | set(topics)
    known = {each.topic: each for each in gather_evidence(store, modelled, config, sorted(needed))}
    found = [replace(known[topic], above=nodes.above(topic)) for topic in sorted(topics)]
    own = dict(enumerate(nodes.table["name"].to_list()))
    taken = {nodes.n_topics + number: name for number, name in wanted.taken_by_groups.items()}
    centroids = nodes.centroids(np.asarray(store.array(modelled.topics, "centroids"), np.float32))
    siblings = _siblings(nodes, centroids, config.n_siblings)
    groups = [_group(nodes, nodes.n_topics + number, known, siblings, config) for number in sorted(numbers)]
    return Told(found, groups, own | dict(wanted.taken) | taken)


def _group(
    nodes: TreeNodes,
    node: int,
    topics: Mapping[int, Evidence],
    siblings: Mapping[int, Sequence[int]],
    config: NamesConfig,
) -> Group:
    """Return what is known of a group; `topics` has the evidence of its topics, `siblings` its nearest nodes."""
    row, parts = nodes.table.row(node, named=True), nodes.parts(node)
    own = sorted((topics[topic] for topic in row["topics"]), key=lambda each: (-each.size, each.topic))
    evidence = Evidence(
        topic=node,
        size=row["size"],
        keywords=nodes.keywords[node],
        documents=_in_turns([each.documents for each in own], (config.n_documents + 1) // 2),
        siblings=tuple(
            nodes.keywords[other][:SIBLING_WORDS] for other in siblings[node] if nodes.keywords[other]
        ),
        name=row["name"],
    )
    return Group(evidence, row["layer"], parts, {part: nodes.keywords[part] for part in parts})


def _in_turns(documents: Sequence[Sequence[str]], n: int) -> tuple[str, ...]:
    """Return `n` documents: the first one of each topic, then the second ones, and so on."""
    longest = max(map(len, documents), default=0)
    found = dict.fromkeys(own[turn] for turn in range(longest) for own in documents if turn < len(own))
    return tuple(found)[:n]


def _siblings(nodes: TreeNodes, centroids: NDArray[np.float32], n: int) -> dict[int, list[int]]:
    """Return the `n` nodes nearest to each group in the lowest layer that has it, nearest first."""
    found: dict[int, list[int]] = {}
    layers = nodes.table["layer"].to_numpy()
    for layer in np.unique(layers[nodes.n_topics :]).tolist():
        beside = nodes.beside(layer)
        near = nearest_first(centroids[beside], n)
        found |= {
            node: beside[near[at]].tolist()
            for at, node in enumerate(beside.tolist())
            if node >= nodes.n_topics and layers[node] == layer
        }
    return found
