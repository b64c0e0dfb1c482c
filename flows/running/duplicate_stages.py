"""Duplicate stages: load, find and group near-duplicates, keep one of each; several flows share them."""

from __future__ import annotations

from dataclasses import dataclass

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.deduplicate import (
    AnyDeduplicate,
    BothDeduplicate,
    EmbeddingDeduplicate,
    MinhashDeduplicate,
)
from topicflow.configs.sections.embed import EmbedConfig
from topicflow.flows.running.stages import Stages
from topicflow.tasks.documents.load import load
from topicflow.tasks.duplicates.deduplicate import deduplicate, keep
from topicflow.tasks.duplicates.similar_texts import similar_texts
from topicflow.tasks.duplicates.similar_vectors import similar_vectors
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.store.artifact_store import ArtifactRef


@dataclass(frozen=True)
class Documents:
    """The documents of a topic model, the loaded ones that they are from, and which of those are duplicates."""

    documents: ArtifactRef
    loaded: ArtifactRef
    duplicates: ArtifactRef | None


def kept_documents(stages: Stages, config: TopicModelConfig) -> Documents:
    """Return the documents of a topic model: one of each group of near-duplicates if the config says so."""
    loaded = stages.run(load, config=config.load)
    if config.deduplicate is None:
        return Documents(loaded, loaded, None)
    duplicates = duplicate_stages(
        stages, loaded, None, config.embed, config.deduplicate, embed_name="embed_all"
    )
    return Documents(stages.run(keep, documents=loaded, duplicates=duplicates), loaded, duplicates)


def duplicate_stages(
    stages: Stages,
    documents: ArtifactRef,
    against: ArtifactRef | None,
    embedding: EmbedConfig,
    config: AnyDeduplicate,
    embed_name: str = "embed",
) -> ArtifactRef:
    """Return the artifact of the stage `deduplicate`.

    Parameters
    ----------
    stages : Stages
        The run's stages.
    documents, against : ArtifactRef
        The corpus, and the one that it is compared with, if any.
    embedding : the section `embed`
        Not read if only words are compared.
    config : the section `deduplicate`
    embed_name : str
        The name of the documents' embeddings in lines and records.
    """
    pairs: dict[str, ArtifactRef] = {}
    base: ArtifactRef | None = None
    if isinstance(config, EmbeddingDeduplicate | BothDeduplicate):
        vectors = stages.run_as(embed_name, embed, documents=documents, config=embedding)
        if against is not None:
            base = stages.run_as("embed_against", embed, documents=against, config=embedding)
        pairs["similar_vectors"] = stages.run(
            similar_vectors, embeddings=vectors, against=base, config=config
        )
    if isinstance(config, MinhashDeduplicate | BothDeduplicate):
        pairs["similar_texts"] = stages.run(
            similar_texts, documents=documents, against=against, config=config
        )
    return stages.run(deduplicate, documents=documents, pairs=pairs, against=against, config=config)
