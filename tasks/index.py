"""Index: documents and embeddings (n_docs, dim) -> what is searched: vectors, an HNSW graph over their codes, postings.

Where an index of the same name is there already and little has changed, the new one goes on from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from configs.index import IndexConfig
from configs.models import EmbedConfig, PrecomputedEmbed, RuntimeConfig
from tasks import recipes
from tasks.core.nearest import RowArray
from tasks.index_build import write_index
from tasks.index_files import IndexFiles
from tasks.index_topics import TopicsOfRun, write_topics
from tasks.queries import space_of
from tasks.states import cached
from tasks.store import ArtifactRef, ArtifactStore

REBUILD_SHARE = 0.3
"""An index of which more than this was removed, or that would more than double, is built anew."""


def index_documents(store: ArtifactStore, documents: ArtifactRef, leave_out: str | None) -> pl.LazyFrame:
    """Return doc_id, text, label and timestamp of documents, and their own columns but nested ones and `leave_out`."""
    table, own = store.table(documents, "documents"), store.table(documents, "columns")
    mine = [name for name in ("doc_id", "text", "label", "timestamp") if name in table.collect_schema()]
    kept = [
        name
        for name, dtype in own.collect_schema().items()
        if name not in {*mine, leave_out} and not dtype.is_nested()
    ]
    return pl.concat([table.select(mine), own.select(kept)], how="horizontal")


def changes(base: IndexFiles, documents: pl.LazyFrame) -> tuple[RowArray, RowArray] | None:
    """Return which documents are fresh and which rows of `base` are gone; None where it has other columns.

    A document that has changed in any column is gone and fresh.

    Notes
    -----
    By 64-bit hashes of whole rows in this process: at ten million documents odds of 3 in a million of one missed.
    """
    before = base.documents()
    if documents.collect_schema() != before.schema:
        return None
    now = documents.select(hash=pl.struct(pl.all()).hash()).collect()["hash"]
    then = before.select(hash=pl.struct(pl.all()).hash())["hash"]
    live = ~np.asarray(base.array("removed"))
    fresh = np.flatnonzero(~now.is_in(then.filter(pl.Series(live)).implode()).to_numpy())
    gone = np.flatnonzero(live & ~then.is_in(now.implode()).to_numpy())
    return fresh, gone


def _grows_from(base: IndexFiles | None, found: tuple[RowArray, RowArray] | None) -> bool:
    """Return whether going on from `base` is worth it."""
    if base is None or found is None:
        return False
    fresh, gone = found
    removed = int(np.asarray(base.array("removed")).sum()) + len(gone)
    return len(fresh) <= base.ref.rows and removed <= REBUILD_SHARE * (base.ref.rows + len(fresh))


@task(name="index", cache_policy=NO_CACHE, persist_result=False)
def index(
    store: ArtifactStore,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    config: IndexConfig,
    embedding: EmbedConfig,
    seed: int,
    runtime: RuntimeConfig,
    topics: TopicsOfRun | None = None,
    last: str | None = None,
) -> ArtifactRef:
    """Return the index's artifact, computing it on a miss: from the `last` one's key where little has changed.

    Parameters
    ----------
    store, documents, embeddings, config, seed, runtime
        As every stage.
    embedding : EmbedConfig
        How the vectors were made, which is how queries are.
    topics : TopicsOfRun, optional
        The run whose topics are shown.
    last : str, optional
        Key of the last index of this name; one that is gone, of another space or config, is not gone on from.
    """
    space = space_of(store, embeddings, embedding, config)
    inputs = {"documents": documents.key, "embeddings": embeddings.key, **(topics.keys if topics else {})}
    fresh_recipe = recipes.index(config, inputs, space["encoder"], seed)
    column = embedding.column if isinstance(embedding, PrecomputedEmbed) else None
    table = index_documents(store, documents, column)
    base = _base(store, last, space, config) if config.updates == "add" else None
    if (
        base is not None
        and base.meta["documents"] == documents.key
        and base.meta["topic_keys"] == (topics.keys if topics else {})
    ):
        return cached(ArtifactRef("indexes", base.ref.key, "index", base.ref.rows, cached=True))
    found = changes(base, table) if base is not None else None
    grows = base is not None and _grows_from(base, found)
    recipe = (
        recipes.index(config, {**inputs, "base": base.ref.key}, space["encoder"], seed)
        if base is not None and grows
        else fresh_recipe
    )
    if hit := store.find(recipe):
        return cached(hit)
    path = store.path(embeddings, "embeddings.npy")
    with store.writing(recipe) as writer:
        if base is not None and grows and found is not None:
            fresh, gone = found
            rows = table.with_row_index("__row").filter(pl.col("__row").is_in(fresh)).drop("__row")
            vectors = np.load(path, mmap_mode="r")[fresh]
            write_index(writer, base, rows, vectors, gone, config, seed, runtime)
        else:
            none = np.zeros(0, np.int64)
            write_index(writer, None, table, path, none, config, seed, runtime)
        writer.meta |= {
            "space": space,
            "embed": _json(embedding),
            "documents": documents.key,
            "topic_keys": topics.keys if topics else {},
            "config": _json(config),
        }
        if topics is not None:
            write_topics(writer, topics)
    return store.committed(recipe, writer)


def _base(
    store: ArtifactStore, last: str | None, space: Mapping[str, Any], config: IndexConfig
) -> IndexFiles | None:
    """Return the last index where it can be gone on from."""
    if last is None or store.state("indexes", last) != "hit":
        return None
    files = IndexFiles.open(store, last)
    same = {**files.meta["config"], "topics": None} == {**_json(config), "topics": None}
    return files if same and files.meta["space"] == dict(space) else None


def _json(config: BaseModel) -> dict[str, Any]:
    return config.model_dump(mode="json")
