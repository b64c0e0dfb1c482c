"""Remarks: a run's figures -> what a person should know before reading its topics, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.cluster import ClassesCluster, ClusterConfig, KMeansCluster
from topicflow.tasks.log import LOG

CROWD = 0.5
"""Share of all documents above which one topic is worth a remark."""


def remarks(metrics: Mapping[str, Any], clustering: ClusterConfig) -> list[str]:
    """Return the remarks on a topic model with these metrics and this section `cluster`; most runs have none."""
    share = metrics.get("largest_topic_share")
    if share is None or share <= CROWD or isinstance(clustering, ClassesCluster):
        return []
    if isinstance(clustering, KMeansCluster):
        ways = f"raise cluster.n_clusters (now {clustering.n_clusters})"
    else:
        ways = (
            f"lower cluster.min_cluster_size (now {clustering.min_cluster_size}) "
            'or set cluster.selection = "leaf"'
        )
    remark = (
        f"One topic holds {share:.0%} of all documents. If you expected more topics, {ways}; "
        "if the documents are about one thing, this is the right answer."
    )
    return [remark]


def say_remarks(record: Mapping[str, Any]) -> None:
    """Log the remarks of a run's record: on the screen, in run.log and in Prefect."""
    for remark in record["remarks"]:
        LOG.warning("note: %s", remark)
