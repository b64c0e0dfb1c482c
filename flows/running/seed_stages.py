"""Seed stages: pull the vectors that are fitted towards seeds, and find where seeds ended; none runs without seeds."""

from __future__ import annotations

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.shaping import SeededTopics
from topicflow.flows.running.stages import Stages
from topicflow.tasks.given.pull import pull
from topicflow.tasks.given.seeds import Seeded, seeds
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.topics.label import Clustered, Seeds


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


def ended_seeds(stages: Stages, clustered: Clustered, labels: ArtifactRef) -> ArtifactRef | None:
    """Return the topics of `labels` in which seeds ended; None without seeds."""
    if clustered.seeds is None:
        return None
    return stages.run(seeds, Seeded(clustered.documents, clustered.seeds.pulled, labels, clustered.counts))
