"""Seed stages: pull the vectors that are fitted towards seeds, and find where seeds ended; none runs without seeds."""

from __future__ import annotations

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.shaping import SeededTopics
from topicflow.flows.running.stages import Stages
from topicflow.tasks.given.pull import pull
from topicflow.tasks.given.seeds import Seeded, seeds
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.topics.cluster import cluster
from topicflow.tasks.topics.label import Clustered, Seeds
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.recipes import UNSEEDED, is_chosen
from topicflow.tasks.topics.reduce import reduce


def pulled_vectors(
    stages: Stages, config: TopicModelConfig, documents: ArtifactRef, embeddings: ArtifactRef
) -> tuple[ArtifactRef, Seeds | None]:
    """Return the vectors for the neighbour graph, the layout and the clusters, and the seeds that pulled them.

    Without seeds they are the embeddings.
    """
    section = config.topics
    if not isinstance(section, SeededTopics):
        return embeddings, None
    pulled = stages.run(
        pull, documents=documents, embeddings=embeddings, config=section, encoding=config.embed
    )
    return pulled, Seeds(pulled, section.word_weight)


def sizing_labels(stages: Stages, config: TopicModelConfig, embeddings: ArtifactRef) -> ArtifactRef | None:
    """Return the labels of a fit without seeds, which choose the smallest topic; None if nothing is to be chosen.

    Seeds make tight groups of the documents near them, which would look like many small topics.
    """
    if not isinstance(config.topics, SeededTopics) or not is_chosen(config.cluster):
        return None
    graph = stages.run_as(UNSEEDED["neighbors"], neighbors, embeddings=embeddings, config=config.neighbors)
    reduced = stages.run_as(
        UNSEEDED["reduce"], reduce, embeddings=embeddings, neighbors=graph, config=config.reduce
    )
    return stages.run_as(
        UNSEEDED["cluster"],
        cluster,
        embeddings=embeddings,
        neighbors=graph,
        reduced=reduced,
        config=config.cluster,
    )


def ended_seeds(stages: Stages, clustered: Clustered, labels: ArtifactRef) -> ArtifactRef | None:
    """Return the topics of `labels` in which seeds ended; None without seeds."""
    if clustered.seeds is None:
        return None
    return stages.run(seeds, Seeded(clustered.documents, clustered.seeds.pulled, labels, clustered.counts))
