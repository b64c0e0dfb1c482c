"""Given: embeddings (n_docs, dim), clusters (n_docs,) and given topics -> labels (n_docs,) of given and found topics.

labels: the files that the stage `cluster` writes, so that every later stage takes either; `stability` is that of
`cluster`, and NaN for documents that a given topic or the end of a cluster moved. Given topics come first, in their
order; found ones follow by decreasing size. The meta data also have `names`, a name for each given topic and None for
found ones, `given`, a row for each given topic, and `given_figures`. Further arrays (`given_vectors.npy`, …) say where
the given topics are, so that later documents can be compared with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.cluster import ClusterConfig, GraphCluster, HdbscanCluster
from topicflow.configs.sections.embed import EmbedConfig
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.tasks.core.clusters.clustering import FloatArray, LabelArray, number_by_size
from topicflow.tasks.core.clusters.given import Given, Placed, fit_given, nearest_names, place
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.given import recipes
from topicflow.tasks.given.classes import wanted_topics
from topicflow.tasks.given.fitted_topics import save_fitted
from topicflow.tasks.given.topic_vectors import text_encoding, topic_vectors
from topicflow.tasks.given.topics_file import GivenTopic, given_topics
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import read_stability


@dataclass(frozen=True)
class Findable:
    """What given topics are looked for in; the fields are the recipe's inputs."""

    documents: ArtifactRef
    embeddings: ArtifactRef
    labels: ArtifactRef

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items()}


@stage("given")
def given(
    context: Context,
    findable: Findable,
    config: ZeroShotTopics,
    clustering: ClusterConfig,
    encoding: EmbedConfig,
) -> ArtifactRef:
    """Return the artifact of the labels, computing it on a miss; `encoding` has embedded the documents."""
    store, encoding = context.store, text_encoding(encoding)
    encoder = find_encoder(encoding, context.runtime.device, store).key
    recipe = recipes.given(config, findable.keys, encoder, recipes.smallest_of(clustering))
    if found := store.find(recipe):
        return found
    topics = given_topics(config)
    with store.writing(recipe) as writer:
        embeddings = store.array(findable.embeddings, "embeddings")
        names = topic_vectors(context, findable.documents, findable.embeddings, topics, encoding)
        fitted = fit_given(embeddings, names, config.threshold)
        placed = place(embeddings, fitted)
        clusters = np.asarray(store.array(findable.labels, "labels"))
        before = store.meta(findable.labels)
        labels = combined(placed.topics, clusters, len(topics), smallest(clustering, before))
        own = labels >= len(topics)
        of_clusters = np.asarray(store.array(findable.labels, "probabilities"))
        probabilities = np.where(own, of_clusters, np.where(labels >= 0, placed.nearness, 0.0))
        scores = np.where(
            own, np.asarray(store.array(findable.labels, "outlier_scores")), 1.0 - placed.nearness
        )
        reassigned = own & np.asarray(store.array(findable.labels, "reassigned"))
        writer.save_array("labels", labels)
        writer.save_array("probabilities", probabilities.astype(np.float32))
        writer.save_array("outlier_scores", scores.astype(np.float32))
        writer.save_array("reassigned", reassigned)
        save_fitted(writer, fitted)
        if (stability := read_stability(store, findable.labels)) is not None:
            writer.save_array("stability", known_stability(stability, own, labels, clusters))
        writer.rows = len(labels)
        n_topics = max(len(topics), int(labels.max(initial=-1)) + 1)
        writer.meta = {
            **before,
            "n_topics": n_topics,
            "outlier_share": float((labels < 0).mean()),
            "names": [*(topic.name for topic in topics), *[None] * (n_topics - len(topics))],
            "named_by_person": list(range(len(topics))),
            "given": described(topics, placed, fitted),
            "given_figures": figures(
                store, findable.documents, topics, placed, nearest_names(embeddings, names)
            ),
        }
    return store.committed(recipe, writer)


def smallest(config: ClusterConfig, of_clusters: dict[str, Any]) -> int:
    """Return the smallest topic of the clusters, in documents: that of the config, or what the stage chose."""
    if not isinstance(config, GraphCluster | HdbscanCluster):
        return 2
    if config.min_cluster_size != "auto":
        return config.min_cluster_size
    return int(of_clusters.get("size_choice", {}).get("min_cluster_size", 2))


def combined(given: LabelArray, clusters: LabelArray, n_given: int, least: int) -> LabelArray:
    """Return the given topic of each document (n,), or its cluster's number from `n_given` on, or -1.

    A cluster of which fewer than `least` documents are left is no topic any more: these documents are outliers.
    """
    left = np.where(given >= 0, -1, clusters)
    sizes = np.bincount(left[left >= 0], minlength=int(clusters.max(initial=-1)) + 1)
    lasts = np.append(sizes >= max(1, least), False)
    found = number_by_size(np.where(lasts[left], left, -1).astype(np.int32))
    return np.where(given >= 0, given, np.where(found >= 0, found + n_given, -1)).astype(np.int32)


def known_stability(
    stability: FloatArray, own: NDArray[np.bool_], labels: LabelArray, clusters: LabelArray
) -> FloatArray:
    """Return the stability (n,) of documents that are where their cluster put them, NaN for all others.

    Other fits say how often such a document has its topic, or none; of given topics they say nothing.
    """
    as_clustered = own | ((labels < 0) & (clusters < 0))
    return np.where(as_clustered, stability, np.float32(np.nan)).astype(np.float32)


def described(topics: tuple[GivenTopic, ...], placed: Placed, fitted: Given) -> list[dict[str, Any]]:
    """Return a row for each given topic: its name, its documents, and the similarities that decided."""
    sizes = np.bincount(placed.topics[placed.topics >= 0], minlength=len(topics))
    return [
        {
            "topic": number,
            "name": topic.name,
            "size": int(sizes[number]),
            "threshold": round(float(fitted.threshold[number]), 3),
            "usual_similarity": round(float(fitted.usual[number]), 3),
            "own_similarity": round(float(fitted.own[number]), 3),
            "name_similarity": round(float(fitted.to_name[number]), 3),
        }
        for number, topic in enumerate(topics)
    ]


def figures(
    store: ArtifactStore,
    documents: ArtifactRef,
    topics: tuple[GivenTopic, ...],
    placed: Placed,
    nearest: LabelArray,
) -> dict[str, float | int]:
    """Return how many documents are in given topics, beside the nearest name as the baseline.

    With a column of classes whose names are those of the topics: the share of these documents that are in the topic of
    their class, by topics and by nearest names; of the documents in topics that have a class, the share of that class;
    and of the documents of other classes, the share that is in no topic.
    """
    inside = placed.topics >= 0
    found: dict[str, float | int] = {
        "given_share": float(inside.mean()),
        "given_empty": len(topics) - len(np.unique(placed.topics[inside])),
    }
    if inside.any():
        found["given_as_nearest"] = float((placed.topics == nearest)[inside].mean())
    wanted = wanted_topics(store, documents, [topic.name for topic in topics])
    if wanted is None or not (wanted >= 0).any():
        return found
    known = wanted >= 0
    found["given_accuracy"] = float((placed.topics == wanted)[known].mean())
    found["nearest_accuracy"] = float((nearest == wanted)[known].mean())
    named = inside & np.isin(placed.topics, wanted[known])  # other topics may be right without a class
    if named.any():
        found["given_precision"] = float((placed.topics == wanted)[named].mean())
    if not known.all():
        found["given_left_out"] = float((~inside)[~known].mean())
    return found
