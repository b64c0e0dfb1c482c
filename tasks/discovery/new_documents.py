"""New documents: a file beside the input of an index -> its texts, ids and vectors in the index's space."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.read import parse_config
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.encoding.spaces import identity
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.runs.history import called
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.queries import space_of


@dataclass(frozen=True)
class NewDocuments:
    """Documents that an index does not know: ids, texts, and unit vectors (n, dim) float32 in its space."""

    ids: list[str]
    texts: list[str]
    vectors: NDArray[np.float32]


def read_new(index: SearchIndex, path: Path) -> NewDocuments:
    """Return the documents of a file, read and embedded as the documents of an index were.

    Their artifacts stay in the store: the same file again costs nothing.

    Raises
    ------
    ConfigError
        If no run names the index, or the encoder here gives vectors of another space.
    DataError
        If the file cannot be read, or lacks a column that the index's config names.
    """
    config = _config_of(index)
    source = {"path": str(path), "query": None, "connection_env": None, "columns": None}
    unused = {"label_column": None, "timestamp_column": None, "limit": None, "format": "auto"}
    context = Context(index.store, config.seed, RuntimeConfig(store=index.store.name))
    documents = load.fn(context, config.load.model_copy(update=source | unused))
    embedding = config.embed
    if isinstance(embedding, SentenceTransformersEmbed):
        embedding = embedding.model_copy(update={"precision": index.files.meta["space"]["precision"]})
    embeddings = embed.fn(context, documents, embedding)
    _check_space(index, space_of(index.store, embeddings, embedding, config.index))
    table = index.store.table(documents, "documents").select("doc_id", "text").collect()
    vectors = np.asarray(index.store.array(embeddings, "embeddings"))
    return NewDocuments(table["doc_id"].to_list(), table["text"].to_list(), vectors)


def _config_of(index: SearchIndex) -> BuildIndexConfig:
    if index.record is None:
        msg = "outliers: no run names this index, so that nothing says how documents are read; name the index's run"
        raise ConfigError(msg)
    return parse_config(tomllib.loads(index.record["config"]), BuildIndexConfig, called(index.record))


def _check_space(index: SearchIndex, found: Mapping[str, Any]) -> None:
    """Raise ConfigError if new documents are in another space than those of an index."""
    own = index.files.meta["space"]
    if identity(own) != identity(found):
        msg = (
            f"outliers: the index's documents were embedded by {own.get('model')} ({str(own['encoder'])[:8]}), the new "
            f"ones by {found.get('model')} ({str(found.get('encoder'))[:8]}); restore the model, or index again"
        )
        raise ConfigError(msg)
