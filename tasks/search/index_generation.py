"""Index generation: the data to index, and the last index of the name -> the recipe of the next one, and its base.

Does not import Prefect, so that a plan can use it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.sections.embed import PrecomputedEmbed
from topicflow.configs.sections.index import IndexConfig
from topicflow.tasks.core.vectors.nearest import RowArray
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.search import recipes
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.search.index_topics import TopicsOfRun
from topicflow.tasks.search.queries import space_of
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe

REBUILD_SHARE = 0.3
"""If more than this share was removed, or an index would more than double, it is built from scratch."""


@dataclass(frozen=True)
class Generation:
    """An index that exists or has to be built.

    Attributes
    ----------
    recipe : Recipe
        The recipe to build it, if `current` is None.
    current : ArtifactRef or None
        The last index, if it contains exactly these documents.
    base : IndexFiles or None
        The last index, if the new one builds on it; None if it is built from scratch.
    fresh, gone : ndarray of int
        Rows of the documents to add to `base`, and rows of `base` to remove.
    documents : LazyFrame
        All documents to index.
    space : mapping
        The space of its vectors.
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
    config: BuildIndexConfig,
    topics: TopicsOfRun | None,
    last: str | None,
) -> Generation:
    """Return how an index of documents and embeddings is made; parameters as in `tasks.search.build_stage.index`.

    Notes
    -----
    If the documents differ from those of the last index, reads the columns of both: the changes decide the recipe.
    """
    space = space_of(store, embeddings, config.embed, config.index)
    keys = topics.keys if topics else {}
    inputs = {"documents": documents.key, "embeddings": embeddings.key, **keys}
    column = config.embed.column if isinstance(config.embed, PrecomputedEmbed) else None
    table, none = index_documents(store, documents, column), np.zeros(0, np.int64)
    base = _base(store, last, space, config.index) if config.index.updates == "add" else None
    recipe = partial(recipes.index, config.index, space=space["encoder"], seed=config.seed)
    anew = Generation(recipe(inputs), None, None, none, none, table, space)
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
    grown = recipe({**inputs, "base": base.ref.key})
    return replace(anew, recipe=grown, base=base, fresh=found[0], gone=found[1])


def index_documents(store: ArtifactStore, documents: ArtifactRef, leave_out: str | None) -> pl.LazyFrame:
    """Return doc_id, text, label, timestamp and parent of documents, and their own columns except `leave_out`.

    If the input has its own `parent` column, the document of a passage is in `parent_doc_id`.
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
    """Return which documents are new and which rows of `base` are gone; None if it has other columns.

    A document that changed in any column counts as gone and as new.

    Notes
    -----
    Compares 64-bit hashes of whole rows: at ten million documents the odds of one missed change are 3 in a million.
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
    """Return whether it is worthwhile to build on `base`."""
    removed = int(base.removed().sum()) + len(gone)
    return len(fresh) <= base.ref.rows and removed <= REBUILD_SHARE * (base.ref.rows + len(fresh))


def _base(
    store: ArtifactStore, last: str | None, space: Mapping[str, Any], config: IndexConfig
) -> IndexFiles | None:
    """Return the last index if a new one can build on it."""
    if last is None or store.state("indexes", last) != "hit":
        return None
    if store.manifest("indexes", last)["recipe"].get("version") != recipes.VERSIONS["index"]:
        return None
    try:
        files = IndexFiles.open(store, last)
    except DamagedError:
        return None
    before = IndexConfig.model_validate(
        files.meta["config"]
    )  # with the defaults of fields that were added since
    same = before.model_copy(update={"topics": None}) == config.model_copy(update={"topics": None})
    same_words = not config.lexical or files.meta.get("words") == recipes.identity_of_words(config)
    return files if same and same_words and files.meta["space"] == dict(space) else None
