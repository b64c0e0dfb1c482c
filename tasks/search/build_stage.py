"""Index: documents and embeddings (n_docs, dim) -> an index: vectors, an HNSW graph over their codes, postings.

If there is already an index of the same name and little has changed, the new index is built from it.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.log import LOG
from topicflow.tasks.search.index_build import write_index
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.search.index_generation import next_generation
from topicflow.tasks.search.index_topics import TopicsOfRun, write_topics
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


def is_sound(store: ArtifactStore, key: str, *, everything: bool = False) -> bool:
    """Return whether an index can be used, or with `everything` built on; otherwise log which file is damaged."""
    try:
        IndexFiles.open(store, key).check(everything=everything)
    except DamagedError as error:
        LOG.warning("%s", error)
        return False
    return True


@stage("index")
def index(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    config: BuildIndexConfig,
    topics: TopicsOfRun | None = None,
    last: str | None = None,
) -> ArtifactRef:
    """Return the index's artifact, computing it on a miss; it builds on the index with the key `last` if possible.

    Parameters
    ----------
    context, documents, embeddings
        As in every stage.
    config : BuildIndexConfig
        The section `index`, and the section `embed`: how the vectors were made, and therefore how queries are embedded.
    topics : TopicsOfRun, optional
        The topic model's run whose topics the index shows.
    last : str, optional
        Key of the last index of this name; it is not used if it is gone or has another space or config.
    """
    store = context.store
    start = partial(next_generation, store, documents, embeddings, config, topics)
    made = start(last)
    if made.base is not None and not is_sound(store, made.base.ref.key, everything=True):
        made = start(None)
    while (found := made.current or store.find(made.recipe)) is not None:
        if is_sound(store, found.key):
            return found
        store.discard(found.kind, found.key)
        made = start(None)
    path = store.path(embeddings, "embeddings.npy")
    with store.writing(made.recipe) as writer:
        if made.base is not None:
            chosen = pl.col("__row").is_in(made.fresh)
            rows = made.documents.with_row_index("__row").filter(chosen).drop("__row")
            vectors = np.load(path, mmap_mode="r")[made.fresh]
            write_index(
                writer, made.base, rows, vectors, made.gone, config.index, config.seed, context.runtime
            )
        else:
            write_index(
                writer, None, made.documents, path, made.gone, config.index, config.seed, context.runtime
            )
        writer.meta |= {
            "space": made.space,
            "embed": config.embed.model_dump(mode="json"),
            "documents": documents.key,
            "topic_keys": topics.keys if topics else {},
            "config": config.index.model_dump(mode="json"),
        }
        if topics is not None:
            write_topics(writer, topics)
    return store.committed(made.recipe, writer)
