"""Sizes: a section `cluster` and a number of documents -> whether there can be a topic."""

from __future__ import annotations

from topicflow.configs.sections.cluster import ClassesCluster, ClusterConfig, KMeansCluster
from topicflow.tasks.errors import StageError


def check_size(config: ClusterConfig, n_docs: int) -> None:
    """Raise StageError if there are too few documents for the smallest topic or the number of topics."""
    if isinstance(config, ClassesCluster):
        return
    if isinstance(config, KMeansCluster):
        if config.n_clusters > n_docs:
            msg = (
                f"cluster: n_clusters={config.n_clusters} exceeds n_docs={n_docs}; set it to {n_docs} or less"
            )
            raise StageError(msg)
    elif config.min_cluster_size == "auto":
        if n_docs < 2:
            msg = f"cluster: found n_docs={n_docs}; a topic model needs at least two documents"
            raise StageError(msg)
    elif config.min_cluster_size > n_docs:
        ways = f"set it to {n_docs} or less" if n_docs >= 2 else "a topic model needs at least two documents"
        msg = f"cluster: min_cluster_size={config.min_cluster_size} exceeds n_docs={n_docs}; {ways}"
        raise StageError(msg)
