"""Duplicates: the tasks that find and group near-duplicates, in a line that two flows share."""

from __future__ import annotations

from collections.abc import Iterator

from topicflow.configs.sections.deduplicate import (
    AnyDeduplicate,
    BothDeduplicate,
    EmbeddingDeduplicate,
    MinhashDeduplicate,
)
from topicflow.configs.sections.embed import EmbedConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.running.frame import finished
from topicflow.tasks.duplicates.deduplicate import deduplicate
from topicflow.tasks.duplicates.similar_texts import shingle
from topicflow.tasks.duplicates.similar_vectors import pair
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


def duplicate_stages(
    store: ArtifactStore,
    documents: ArtifactRef,
    against: ArtifactRef | None,
    embedding: EmbedConfig,
    config: AnyDeduplicate,
    seed: int,
    runtime: RuntimeConfig,
    embed_name: str = "embed",
) -> Iterator[tuple[str, ArtifactRef]]:
    """Yield each stage's name and artifact, the last of them `deduplicate`.

    Parameters
    ----------
    documents, against : ArtifactRef
        The corpus, and the one it is compared with, if any.
    embedding : the section `embed`
        Not read where words alone are compared.
    config : the section `deduplicate`
    embed_name : str
        What the documents' embedding is called in lines and records.
    """
    pairs: dict[str, ArtifactRef] = {}
    base: ArtifactRef | None = None
    if isinstance(config, EmbeddingDeduplicate | BothDeduplicate):
        vectors = finished(embed_name, embed.submit(store, documents, embedding, runtime))
        yield embed_name, vectors
        if against is not None:
            base = finished("embed_against", embed.submit(store, against, embedding, runtime))
            yield "embed_against", base
        pairs["pair"] = finished("pair", pair.submit(store, vectors, base, config, seed, runtime))
        yield "pair", pairs["pair"]
    if isinstance(config, MinhashDeduplicate | BothDeduplicate):
        pairs["shingle"] = finished(
            "shingle", shingle.submit(store, documents, against, config, seed, runtime)
        )
        yield "shingle", pairs["shingle"]
    yield "deduplicate", finished("deduplicate", deduplicate.submit(store, documents, pairs, against, config))
