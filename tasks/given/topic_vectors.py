"""Topic vectors: given topics -> the unit vector of what is said of each, by the encoder of the documents."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import (
    ApiEmbed,
    EmbedConfig,
    ImagesEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.tasks.core.clusters.given import directions
from topicflow.tasks.documents.document_rows import rows_of
from topicflow.tasks.encoding.embed import embed_texts
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.given.topics_file import GivenTopic
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

TextEmbed = SentenceTransformersEmbed | StaticEmbed | ApiEmbed


def text_encoding(encoding: EmbedConfig) -> TextEmbed:
    """Return the section of an encoder of texts; raise ConfigError for a section that has none."""
    if isinstance(encoding, PrecomputedEmbed | ImagesEmbed):
        raise ConfigError(f"topics: embed.method={encoding.method!r} cannot embed the topics' names")
    return encoding


def topic_vectors(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    topics: tuple[GivenTopic, ...],
    encoding: TextEmbed,
) -> NDArray[np.float32]:
    """Return the unit vector (n_topics, dim) of each topic: the mean of the vectors of its texts and its documents.

    Raises
    ------
    ConfigError
        If a topic names a document that the corpus does not have.
    """
    store = context.store
    named = named_rows(store, documents, topics)
    texts = [text for topic in topics for text in topic.texts]
    vectors = embed_texts(store, pl.Series(texts, dtype=pl.String), encoding, context.runtime)
    starts = np.cumsum([0, *(len(topic.texts) for topic in topics)])[:-1]
    sums = np.add.reduceat(vectors, starts, axis=0)
    known = store.array(embeddings, "embeddings")
    for number, rows in enumerate(named):
        if len(rows):
            sums[number] += np.asarray(known[rows], np.float32).sum(axis=0)
    return directions(sums)


def named_rows(
    store: ArtifactStore, documents: ArtifactRef, topics: tuple[GivenTopic, ...]
) -> list[NDArray[np.int64]]:
    """Return the rows of the documents that each topic names; all passages of a document that was split."""
    wanted = [document for topic in topics for document in topic.documents]
    found = rows_of(store, documents, wanted) if wanted else {}
    for topic in topics:
        absent = [document for document in topic.documents if document not in found]
        if absent:
            more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
            raise ConfigError(
                f"topics.path: topic {topic.name!r}: document {absent[0]!r}{more} not found among the documents of "
                "the run; expected ids as in the column doc_id of documents.parquet"
            )
    return [
        np.concatenate([*(found[document] for document in topic.documents), np.empty(0, np.int64)])
        for topic in topics
    ]
