"""Tree: labels (n_docs,), neighbour graph, counts (n_docs, n_words) and topics -> groups of topics in layers.

trees: `nodes.parquet`, one row a node: first the topics, then the groups; `hierarchical.parquet` on request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.reduce import DiffusionReduce
from topicflow.configs.sections.shaping import TreeConfig
from topicflow.tasks.core.clusters.linkage import (
    Dendrogram,
    average_linkage,
    layer_counts,
    topic_means,
)
from topicflow.tasks.core.words.keywords import distinct_names
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.resources import compiled_threads
from topicflow.tasks.topics.count import read_counts
from topicflow.tasks.topics.fitted_sample import read_sample
from topicflow.tasks.topics.reduce import diffused
from topicflow.tasks.tree import recipes
from topicflow.tasks.tree.bertopic_hierarchy import hierarchical_topics
from topicflow.tasks.tree.group_words import TopicCounts
from topicflow.tasks.tree.layers import nearest_layer, tree_nodes

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "topic": pl.Int32,
    "group": pl.Int32,
    "parent": pl.Int32,
    "layer": pl.Int32,
    "topics": pl.List(pl.Int32),
    "size": pl.UInt32,
    "name": pl.String,
    "keywords": pl.List(pl.String),
    "weights": pl.List(pl.Float32),
    "distance": pl.Float32,
}
"""Columns of the nodes: a node is a topic or a group, and its parent is a group."""


@dataclass(frozen=True)
class Grouped:
    """The artifacts from which a tree is made; its topics are those of `topics`."""

    embeddings: ArtifactRef
    neighbors: ArtifactRef
    labels: ArtifactRef
    counts: ArtifactRef
    topics: ArtifactRef

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items()}


@stage("tree")
def tree(context: Context, grouped: Grouped, config: TreeConfig, labelling: LabelConfig) -> ArtifactRef:
    """Return the tree's artifact, computing it on a miss; `labelling` decides the keywords of groups."""
    store = context.store
    recipe = recipes.tree(config, labelling, grouped.keys)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer, compiled_threads(context.runtime.n_threads):
        topics = store.table(grouped.topics, "topics").sort("topic").collect()
        dendrogram = merged_topics(store, grouped, topics["size"].to_numpy(), context.runtime.n_threads)
        counts = [] if dendrogram is None else layer_counts(dendrogram.distances, config.about)
        labels = np.asarray(store.array(grouped.labels, "labels"))
        word_counts = TopicCounts.of(*read_counts(store, replace(grouped.counts, rows=len(labels))), labels)
        table = nodes_table(topics, dendrogram, counts, word_counts, labelling)
        writer.save_table("nodes", table)
        if config.hierarchical_topics:
            merged = hierarchical_topics(topics["keywords"].to_list(), dendrogram, word_counts, labelling)
            writer.save_table("hierarchical", merged)
        writer.rows = table.height
        writer.meta = {
            "figures": figures(topics.height, counts, config.about),
            "layers": counts,
            "merges": config.hierarchical_topics,
        }
    return store.committed(recipe, writer)


def merged_topics(
    store: ArtifactStore, grouped: Grouped, sizes: NDArray[np.integer], n_threads: int | None
) -> Dendrogram | None:
    """Return the merges of the topics with these sizes; None without topics.

    Notes
    -----
    Documents are compared in the space in which `cluster.method = "graph"` finds topics by default: averaged with their
    neighbours in the graph that is there already. It groups topics better than the embeddings, for topics of k-means,
    too (tests/benchmarks/README.md). O(edges dim) time for the averages; of a sample only the fitted documents count.
    """
    if not len(sizes):
        return None
    vectors, labels = store.array(grouped.embeddings, "embeddings"), store.array(grouped.labels, "labels")
    sample = read_sample(store, grouped.neighbors)
    rows = slice(None) if sample is None else sample.rows
    counts = np.ones(len(labels), np.int64) if sample is None or sample.counts is None else sample.counts
    graph = store.array(grouped.neighbors, "indices"), store.array(grouped.neighbors, "distances")
    points = diffused(*graph, np.asarray(vectors[rows]), DiffusionReduce(), n_threads)
    return average_linkage(topic_means(points, labels[rows], counts, len(sizes)), sizes)


def nodes_table(
    topics: pl.DataFrame,
    dendrogram: Dendrogram | None,
    counts: Sequence[int],
    word_counts: TopicCounts,
    labelling: LabelConfig,
) -> pl.DataFrame:
    """Return one row a node of the tree, first the topics by number, then the groups, the root first.

    Parameters
    ----------
    topics : pl.DataFrame
        topic, size, name, keywords, weights; by number.
    dendrogram : Dendrogram or None
        The merges of the topics; None without topics.
    counts : sequence of int
        Number of groups of each layer, the finest one first.
    word_counts : TopicCounts
        How often each word occurs in each topic.
    labelling : LabelConfig
        Weighting and number of keywords, and how many of them are a name.
    """
    if dendrogram is None:
        return pl.DataFrame(schema=SCHEMA)
    n, sizes = topics.height, topics["size"].to_numpy().astype(np.int64)
    nodes = tree_nodes(dendrogram, counts, sizes)
    n_groups = len(nodes.parents) - n
    groups = nodes.members[n:]
    found = word_counts.keywords(groups, labelling)
    words = [[word for word, _ in each] for each in found]
    telling = word_counts.name_words(groups, found)
    names = distinct_names([*topics["keywords"].to_list(), *telling], labelling.n_name_words)[n:]
    bounds = groups.indptr.tolist()
    return pl.DataFrame(
        {
            "topic": [*range(n), *[None] * n_groups],
            "group": [*[None] * n, *range(n_groups)],
            "parent": [None if parent < 0 else parent - n for parent in nodes.parents.tolist()],
            "layer": nodes.layers,
            "topics": [
                *([topic] for topic in range(n)),
                *(groups.indices[a:b].tolist() for a, b in pairwise(bounds)),
            ],
            "size": [*sizes.tolist(), *(groups @ sizes).tolist()],
            "name": [*topics["name"].to_list(), *names],
            "keywords": [*topics["keywords"].to_list(), *words],
            "weights": [*topics["weights"].to_list(), *([weight for _, weight in each] for each in found)],
            "distance": [*[None] * n, *nodes.distances[n:].tolist()],
        },
        schema=SCHEMA,
    )


def figures(n_topics: int, counts: Sequence[int], about: int | None) -> dict[str, int]:
    """Return the figures of a tree for the metrics of a run; with `about` the nearest layer and its groups."""
    found = {"tree_layers": (1 if n_topics else 0) + len(counts) + (1 if n_topics > 1 else 0)}
    if about is None or not n_topics:
        return found
    layer, groups = nearest_layer(n_topics, counts, about)
    return {**found, "tree_layer": layer, "tree_layer_groups": groups}
