"""Pull: documents, embeddings (n_docs, dim) and seeds -> vectors (n_docs, dim) for neighbors, reduce and cluster.

pulled: `embeddings` (n_docs, dim), in which documents near a seed are nearer to it; `seeds` (n_docs,) int32, the seed
that pulled each document, -1 for none; `nearest` (n_docs,) int32, the seed with the largest cosine. The embeddings
themselves stay as they are: centroids of topics, search and the assignment of new documents use them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.sections.embed import EmbedConfig
from topicflow.configs.sections.shaping import SeededTopics
from topicflow.tasks.core.clusters.given import fit_given
from topicflow.tasks.core.clusters.pull import Pulled, pull_rows
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.given import recipes
from topicflow.tasks.given.topic_vectors import text_encoding, topic_vectors
from topicflow.tasks.given.topics_file import given_topics
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactWriter
from topicflow.tasks.topics.neighbors import ordered_points


@stage("pull")
def pull(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    config: SeededTopics,
    encoding: EmbedConfig,
) -> ArtifactRef:
    """Return the artifact of the vectors after the pull, computing it on a miss; `encoding` embedded the documents."""
    store, encoding, n_threads = context.store, text_encoding(encoding), context.runtime.n_threads
    encoder = find_encoder(encoding, context.runtime.device, store).key
    recipe = recipes.pull(config, documents.key, embeddings.key, encoder)
    if found := store.find(recipe):
        return found
    topics = given_topics(config)
    with store.writing(recipe) as writer:
        vectors = store.array(embeddings, "embeddings")
        names = topic_vectors(context, documents, embeddings, topics, encoding)
        seeds = fit_given(vectors, names, config.threshold)
        rows, _, point = ordered_points(vectors, n_threads)
        write_pulled(writer, pull_rows(vectors, rows, names, seeds, config.strength), point, vectors.shape)
        writer.rows = len(vectors)
        writer.meta = {"seeds": [{"name": topic.name, "words": list(topic.words)} for topic in topics]}
    return store.committed(recipe, writer)


def write_pulled(
    writer: ArtifactWriter, blocks: Iterable[Pulled], point: NDArray[np.int32], shape: tuple[int, ...]
) -> None:
    """Write the vectors and seeds of all documents.

    Parameters
    ----------
    writer : ArtifactWriter
        The artifact's files.
    blocks : iterable of Pulled
        The distinct vectors after the pull, in the order of their points.
    point : ndarray of shape (n_docs,), int32
        The point of each document: copies of one vector stay copies.
    shape : tuple of int
        Documents and dimensions.
    """
    owners, start = np.argsort(point, kind="stable"), 0
    of_owners = point[owners]
    vectors = writer.open_array("embeddings", shape, "float32")
    seeds, nearest = np.empty(shape[0], np.int32), np.empty(shape[0], np.int32)
    for block in blocks:
        stop = start + len(block.seeds)
        low, high = np.searchsorted(of_owners, [start, stop])
        documents, own = owners[low:high], of_owners[low:high] - start
        vectors[documents] = block.vectors[own]
        seeds[documents] = block.seeds[own]
        nearest[documents] = block.nearest[own]
        start = stop
    vectors.flush()  # type: ignore[attr-defined]
    writer.save_array("seeds", seeds)
    writer.save_array("nearest", nearest)
