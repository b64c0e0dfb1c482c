"""Recipes of given topics: topics, vectors and clusters -> the recipe of each document's topic.

The stage and the plan call the same functions. This module imports no numeric library, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.cluster import ClusterConfig, GraphCluster, HdbscanCluster
from topicflow.configs.sections.shaping import SeededTopics, ZeroShotTopics
from topicflow.tasks.given.topics_file import given_topics
from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.store.recipe_parts import library_versions

VERSIONS: Mapping[str, int] = {"given": 2, "pull": 1, "seeds": 1}
"""Increase a stage's number when equal inputs and config must give a different artifact."""


def given(config: ZeroShotTopics, inputs: Mapping[str, str], encoder: str, smallest: int | str) -> Recipe:
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


def given_fields(config: ZeroShotTopics) -> dict[str, Any]:
    """Return the given topics and the settings of a section as JSON values."""
    return {"topics": described(config), "threshold": config.threshold}


def pull(config: SeededTopics, documents: str, embeddings: str, encoder: str) -> Recipe:
    """Return the recipe of the vectors after the pull; the documents decide only if a seed names some of them.

    The weight of words is not in it: it changes keywords alone.
    """
    names_documents = any(topic.documents for topic in given_topics(config))
    fields = {"topics": described(config), "threshold": config.threshold, "strength": config.strength}
    return Recipe(
        stage="pull",
        kind="pulled",
        version=VERSIONS["pull"],
        config=fields,
        inputs={"embeddings": embeddings} | ({"documents": documents} if names_documents else {}),
        identity={"encoder": encoder, **library_versions("numpy")},
    )


def seeds(inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the topics in which seeds ended."""
    return Recipe("seeds", "seeds", VERSIONS["seeds"], {}, dict(inputs), library_versions("scikit-learn"))


def described(config: ZeroShotTopics | SeededTopics) -> list[dict[str, Any]]:
    """Return what a recipe says of the topics; the content of a file, not its path."""
    return [topic.model_dump(mode="json", exclude_defaults=True) for topic in given_topics(config)]


def smallest_of(config: ClusterConfig) -> int | str:
    """Return the smallest topic as the config has it; with "auto" the clusters' artifact has the number."""
    return config.min_cluster_size if isinstance(config, GraphCluster | HdbscanCluster) else 2
