"""Index generation: what is to be indexed, and the last index of the name -> the recipe of the next one, and its start.

Imports no Prefect, so that a plan can ask as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.sections.embed import EmbedConfig, PrecomputedEmbed
from topicflow.configs.sections.index import IndexConfig
from topicflow.tasks.core.vectors.nearest import RowArray
from topicflow.tasks.core.words.segmenters import word_identity
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.search import recipes
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.search.index_topics import TopicsOfRun
from topicflow.tasks.search.queries import space_of
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe

REBUILD_SHARE = 0.3
"""An index of which more than this was removed, or that would more than double, is built anew."""


@dataclass(frozen=True)
class Generation:
    """An index that is there or is to be made.

    Attributes
    ----------
    recipe : Recipe
        What it is made by, where `current` is None.
    current : ArtifactRef or None
        The last index, where it holds just what is wanted.
    base : IndexFiles or None
        The last index, where it is gone on from; None where one is made anew.
    fresh, gone : ndarray of int
        Rows of the documents to add to `base`, and rows of `base` to remove.
    documents : LazyFrame
        All that is to be indexed.
    space : mapping
        What its vectors mean.
    """

    recipe: Recipe
    current: ArtifactRef | None
    base: IndexFiles | None
    fresh: RowArray
    gone: RowArray
    documents: pl.LazyFrame
    space: Mapping[str, Any]


def next_generation(
    store: ArtifactStore,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    config: IndexConfig,
    embedding: EmbedConfig,
    seed: int,
    topics: TopicsOfRun | None,
    last: str | None,
) -> Generation:
    """Return how an index of documents and embeddings is come by; parameters as of `tasks.search.build_stage.index`.

    Notes
    -----
    Reads the columns of all documents, and of the last index, where these are others: what changed decides the recipe.
    """
    space, keys = space_of(store, embeddings, embedding, config), topics.keys if topics else {}
    inputs = {"documents": documents.key, "embeddings": embeddings.key, **keys}
    column = embedding.column if isinstance(embedding, PrecomputedEmbed) else None
    table, none = index_documents(store, documents, column), np.zeros(0, np.int64)
    base = _base(store, last, space, config) if config.updates == "add" else None
    anew = Generation(
        recipes.index(config, inputs, space["encoder"], seed), None, None, none, none, table, space
    )
    if base is None:
        return anew
    if base.meta["documents"] == documents.key and base.meta["topic_keys"] == keys:
        return replace(
            anew, current=ArtifactRef("indexes", base.ref.key, "index", base.ref.rows, cached=True)
        )
    try:
        found = changes(base, table)
    except DamagedError:
        return anew
    if found is None or not _grows_from(base, *found):
        return anew
    grown = recipes.index(config, {**inputs, "base": base.ref.key}, space["encoder"], seed)
    return replace(anew, recipe=grown, base=base, fresh=found[0], gone=found[1])


def index_documents(store: ArtifactStore, documents: ArtifactRef, leave_out: str | None) -> pl.LazyFrame:
    """Return doc_id, text, label, timestamp and parent of documents, and their own columns but for `leave_out`.

    Where the input has a `parent` of its own, the document that a passage is of is `parent_doc_id`.
    """
    table, own = store.table(documents, "documents"), store.table(documents, "columns")
    there, given = table.collect_schema(), own.collect_schema()
    mine = [pl.col(name) for name in ("doc_id", "text", "label", "timestamp") if name in there]
    if "parent" in there:
        mine.append(pl.col("parent").alias("parent_doc_id") if "parent" in given else pl.col("parent"))
    names = {expression.meta.output_name() for expression in mine}
    kept = [name for name in given if name not in {*names, leave_out}]
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
    live = ~base.removed()
    fresh = np.flatnonzero(~now.is_in(then.filter(pl.Series(live)).implode()).to_numpy())
    gone = np.flatnonzero(live & ~then.is_in(now.implode()).to_numpy())
    return fresh, gone


def _grows_from(base: IndexFiles, fresh: RowArray, gone: RowArray) -> bool:
    """Return whether going on from `base` is worth it."""
    removed = int(base.removed().sum()) + len(gone)
    return len(fresh) <= base.ref.rows and removed <= REBUILD_SHARE * (base.ref.rows + len(fresh))


def _base(
    store: ArtifactStore, last: str | None, space: Mapping[str, Any], config: IndexConfig
) -> IndexFiles | None:
    """Return the last index where it can be gone on from."""
    if last is None or store.state("indexes", last) != "hit":
        return None
    if store.manifest("indexes", last)["recipe"].get("version") != recipes.VERSIONS["index"]:
        return None
    try:
        files = IndexFiles.open(store, last)
    except DamagedError:
        return None
    same = {**files.meta["config"], "topics": None} == {**config.model_dump(mode="json"), "topics": None}
    same_words = not config.lexical or files.meta.get("words") == word_identity()
    return files if same and same_words and files.meta["space"] == dict(space) else None
