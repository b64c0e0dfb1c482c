"""Recipes of given topics: topics, vectors and clusters -> the recipe of each document's topic.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.cluster import ClusterConfig, GraphCluster, HdbscanCluster
from topicflow.configs.sections.shaping import TopicsConfig
from topicflow.tasks.given.topics_file import given_topics
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import library_versions

VERSIONS: Mapping[str, int] = {"given": 2}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def given(config: TopicsConfig, inputs: Mapping[str, str], encoder: str, smallest: int | str) -> Recipe:
    """Return the recipe of the topic of each document, given or found; the content of a file is in it, not its path.

    `smallest` is the smallest topic of the clusters; a cluster of which fewer documents are left is dissolved.
    """
    return Recipe(
        stage="given",
        kind="labels",
        version=VERSIONS["given"],
        config={**given_fields(config), "smallest": smallest},
        inputs=dict(inputs),
        identity={"encoder": encoder, **library_versions("numpy")},
    )


def given_fields(config: TopicsConfig) -> dict[str, Any]:
    """Return the given topics and the settings of a section as JSON values; a file's topics count, not its path."""
    topics = [topic.model_dump(mode="json", exclude_defaults=True) for topic in given_topics(config)]
    return {"topics": topics, "threshold": config.threshold}


def smallest_of(config: ClusterConfig) -> int | str:
    """Return the smallest topic as the config has it; with "auto" the clusters' artifact has the number."""
    return config.min_cluster_size if isinstance(config, GraphCluster | HdbscanCluster) else 2
