"""Labels of vectors by three ways: our defaults, our layout with HDBSCAN, and BERTopic's recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.cluster import GraphCluster, HdbscanCluster
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import DiffusionReduce, ParallelUmapReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.topics.cluster import AnyCluster, cluster
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import AnyReduce, reduce

Labels = NDArray[np.int32]
Vectors = NDArray[np.float32]


def default_labels(vectors: Vectors, smallest: int, seed: int) -> Labels:
    """Return the labels (n,) of the shipped defaults with another smallest topic."""
    return stage_labels(vectors, DiffusionReduce(), GraphCluster(min_cluster_size=smallest), seed)


def layout_labels(vectors: Vectors, smallest: int, seed: int, max_topic_share: float = 0.5) -> Labels:
    """Return the labels (n,) of our layout with HDBSCAN, the defaults of version 0.1.0."""
    clustering = HdbscanCluster(method="hdbscan", min_cluster_size=smallest, max_topic_share=max_topic_share)
    return stage_labels(vectors, ParallelUmapReduce(method="parallel_umap"), clustering, seed)


def stage_labels(vectors: Vectors, reducing: AnyReduce, clustering: AnyCluster, seed: int) -> Labels:
    """Return the labels (n,) of the stages neighbors, reduce and cluster in a store of their own."""
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        recipe = Recipe("embed", "embeddings", 1)
        with store.writing(recipe) as writer:
            writer.save_array("embeddings", vectors)
            writer.rows = len(vectors)
        embeddings = store.committed(recipe, writer)
        context = Context(store, seed, RuntimeConfig())
        graph = neighbors.fn(context, embeddings, NeighborsConfig())
        reduced = reduce.fn(context, embeddings, graph, reducing)
        found = cluster.fn(context, embeddings, graph, reduced, clustering)
        return np.array(store.array(found, "labels"))


def bertopic_labels(vectors: Vectors, smallest: int, seed: int) -> Labels:
    """Return the labels (n,) of `umap.UMAP` and `hdbscan.HDBSCAN` as BERTopic 0.17 calls them."""
    from hdbscan import HDBSCAN
    from umap import UMAP

    umap = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed, n_jobs=1)
    return HDBSCAN(min_cluster_size=smallest).fit(umap.fit_transform(vectors)).labels_.astype(np.int32)
