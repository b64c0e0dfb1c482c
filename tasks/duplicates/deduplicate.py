"""Deduplicate: documents and pairs of similar ones -> which are kept, (n_docs,), and the kept documents.

duplicates/
        kept.npy (n,) bool; kept_row.npy (n,) int32, the document kept instead of it, -1 if that is one of [against];
        base_row.npy (n,) int32, that one, or -1; similarity.npy (n,) float32 to it, 1 for a kept one, NaN if they are
        linked only through other documents; way.npy (n,) uint8, a place in `WAYS`; figures.json
    documents/  as the load stage writes them, with only the kept rows
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.deduplicate import (
    AnyDeduplicate,
    GroupingConfig,
    VectorMatchConfig,
    WordMatchConfig,
)
from topicflow.tasks.core.duplicates.groups import (
    among,
    centrality,
    first_of_digests,
    group_documents,
    merged_firsts,
)
from topicflow.tasks.core.duplicates.pairs import Pairs, union
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.duplicates import recipes
from topicflow.tasks.duplicates.found import Found, compared, read_found, vectors_of, with_crowds
from topicflow.tasks.duplicates.recall import missed_in_sample, recall_of
from topicflow.tasks.duplicates.similar_vectors import read_plan
from topicflow.tasks.duplicates.whole_texts import (
    SAME_TO_THE_END,
    apart_by_whole_texts,
    cut_marks,
    with_copied_pairs,
)
from topicflow.tasks.encoding.embed import text_parts
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.digests import text_digests

WAYS = ("kept", "text", "embedding", "minhash")
"""How a duplicate was found: by an equal text, or by a method."""

N_THRESHOLDS = 7
"""Number of thresholds, from the floor to 1, for which the kept documents are counted."""

PART_ROWS = 65_536
"""Rows of the kept documents that are written at a time."""

RowArray = NDArray[np.int32]


@dataclass(frozen=True)
class Duplicates:
    """Which of n documents are kept, as in the artifact's files."""

    kept: NDArray[np.bool_]
    kept_row: RowArray
    base_row: RowArray
    similarity: NDArray[np.float32]
    way: NDArray[np.uint8]


@stage("deduplicate")
def deduplicate(
    context: Context,
    documents: ArtifactRef,
    pairs: Mapping[str, ArtifactRef],
    against: ArtifactRef | None,
    config: AnyDeduplicate,
) -> ArtifactRef:
    """Return the duplicates' artifact, grouping on a miss; `pairs` are by stage: `similar_vectors`, `similar_texts`."""
    store = context.store
    keys = {name: ref.key for name, ref in pairs.items()}
    recipe = recipes.deduplicate(config, documents.key, keys, against.key if against else None)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        n_base = against.rows if against else 0
        corpora = [ref for ref in (against, documents) if ref is not None]
        equal = first_of_digests(np.concatenate([_digests(store, ref) for ref in corpora]))
        methods = [read_found(store, name, ref, config) for name, ref in pairs.items()]
        whole = read_to_the_end(store, corpora, equal, pairs, methods, config)
        first = merged_firsts(equal, *(found.first for found in methods))
        similar = duplicates_of(methods, first)
        order = keep_order(store, documents, config, similar, first, n_base)
        star, stored = config.grouping == "star", methods
        if star:
            methods = with_crowds(methods, first, similar, order, n_base)
            similar = duplicates_of(methods, first)
        duplicates = find_duplicates(first, similar, order, n_base, star=star)
        duplicates.way[:] = _ways(duplicates, equal, methods, n_base)
        for name, values in vars(duplicates).items():
            writer.save_array(name, values)
        figures = _figures(store, duplicates, stored, first, order, pairs, n_base)
        if isinstance(config, VectorMatchConfig):
            figures |= _recall(context, pairs["similar_vectors"], stored[0], duplicates, order, config)
        figures |= _of_cut_texts(whole, duplicates, n_base)
        writer.save_json("figures", figures)
        writer.rows = documents.rows
        writer.meta = {name: value for name, value in figures.items() if not isinstance(value, list)}
    return store.committed(recipe, writer)


def read_to_the_end(
    store: ArtifactStore,
    corpora: list[ArtifactRef],
    equal: RowArray,
    pairs: Mapping[str, ArtifactRef],
    methods: list[Found],
    config: AnyDeduplicate,
) -> dict[str, Any]:
    """In `methods`, remove the duplicates by embedding whose texts only begin alike.

    Returns
    -------
    dict
        Empty if no text was longer than the encoder reads. Otherwise `cut`, of which documents the encoder read only
        the beginning (n_base + n,); `apart`, which of these have another document's vector but are not its
        duplicates; and `max_tokens`, the number of tokens that it reads.
    """
    if "similar_vectors" not in pairs:
        return {}
    place, embeddings = list(pairs).index("similar_vectors"), compared(store, pairs["similar_vectors"])
    cut = cut_marks(store, embeddings)
    if not cut.any():
        return {}
    found = methods[place]
    threshold, width = (
        (config.jaccard_threshold, config.shingle_words)
        if isinstance(config, WordMatchConfig)
        else (SAME_TO_THE_END, int(WordMatchConfig.model_fields["shingle_words"].default))
    )
    first = apart_by_whole_texts(store, corpora, equal, cut, found.first, threshold, width)
    methods[place] = found.told_apart(first, with_copied_pairs(found.pairs, found.first, first))
    apart = (first == np.arange(len(first))) & (found.first != first)
    return {"cut": cut, "apart": apart, "max_tokens": store.meta(embeddings[-1])["max_tokens"]}


def duplicates_of(methods: Sequence[Found], first: RowArray) -> Pairs:
    """Return the duplicates among the first documents by any method."""
    return among(first, union(found.pairs.at_least(found.threshold) for found in methods))


def find_duplicates(first: RowArray, pairs: Pairs, order: RowArray, n_base: int, *, star: bool) -> Duplicates:
    """Return which documents after the first `n_base` are kept; the first `n_base` are only compared with.

    Parameters
    ----------
    first : ndarray of shape (n_base + n,), int32
        The first document that each one equals.
    pairs : Pairs
        Duplicates among the firsts.
    order : ndarray of shape (n,), int32
        Documents, counted without the first `n_base`, in order of preference for keeping.
    n_base : int
        Number of documents in the corpus that is only compared with.
    star : bool
        See `groups.group_documents`.

    Notes
    -----
    A document that is similar to one of that corpus is removed, and the most similar one there represents it; the
    other documents are grouped.
    """
    n = len(first) - n_base
    match, likeness = _nearest_in_base(first, pairs, n_base)
    base_row = match[first[n_base:]]
    known = base_row >= 0
    inside = (pairs.rows >= n_base).all(axis=1) & (match[pairs.rows] < 0).all(axis=1)
    own = Pairs(pairs.rows[inside] - n_base, pairs.similarities[inside])
    groups = group_documents(
        np.where(known, np.arange(n), first[n_base:] - n_base).astype(np.int32), own, order, star=star
    )
    kept = groups.is_kept & ~known
    return Duplicates(
        kept=kept,
        kept_row=np.where(known, -1, groups.kept).astype(np.int32),
        base_row=base_row,
        similarity=np.where(known, likeness[first[n_base:]], groups.similarity).astype(np.float32),
        way=np.zeros(n, np.uint8),
    )


def _nearest_in_base(first: RowArray, pairs: Pairs, n_base: int) -> tuple[RowArray, NDArray[np.float32]]:
    """Return for each row (n_base + n,) the most similar of the first `n_base`, -1 if it has a pair with none."""
    match, likeness = np.full(len(first), -1, np.int32), np.zeros(len(first), np.float32)
    match[:n_base], likeness[:n_base] = np.arange(n_base), 1.0  # also for rows that equal one of them
    across = np.flatnonzero((pairs.rows[:, 0] < n_base) & (pairs.rows[:, 1] >= n_base))
    rising = across[np.lexsort((-pairs.rows[across, 0], pairs.similarities[across]))]
    match[pairs.rows[rising, 1]] = pairs.rows[rising, 0]  # the most similar is written last
    likeness[pairs.rows[rising, 1]] = pairs.similarities[rising]
    return match, likeness


def keep_order(
    store: ArtifactStore,
    documents: ArtifactRef,
    config: GroupingConfig,
    pairs: Pairs,
    first: RowArray,
    n_base: int,
) -> RowArray:
    """Return the documents (n,) in order of preference for keeping; equals are in the order of the input.

    Raises
    ------
    DataError
        If the column for the order is missing or cannot be sorted.
    """
    if config.keep == "first":
        return np.arange(documents.rows, dtype=np.int32)
    if config.keep == "central":
        values = pl.Series(centrality(first, pairs)[n_base:])
    elif config.keep == "longest":
        table = store.table(documents, "documents").select(pl.col("text").str.len_chars())
        values = table.collect().to_series()
    elif config.keep == "newest":
        values = store.table(documents, "documents").select("timestamp").collect().to_series()
    else:
        values = _column(store, documents, str(config.keep_column))
    if values.dtype.is_float():
        values = values.fill_nan(None)  # otherwise NaN would be the largest number
    order: RowArray = values.arg_sort(descending=True, nulls_last=True).to_numpy().astype(np.int32)
    ranked = values.gather(order).rle_id().to_numpy()
    return order[np.lexsort((order, ranked))]  # polars does not define the order of equal values


def _column(store: ArtifactStore, documents: ArtifactRef, name: str) -> pl.Series:
    columns = store.table(documents, "columns")
    schema = columns.collect_schema()
    require_column("deduplicate", name, schema, "deduplicate.keep_column")
    if schema[name].is_nested():
        msg = f"deduplicate: keep_column={name!r} is {schema[name]}, expected numbers, dates or text"
        raise DataError(msg)
    return columns.select(name).collect()[name]


def _digests(store: ArtifactStore, documents: ArtifactRef) -> NDArray[np.uint64]:
    return np.concatenate([text_digests(texts) for texts in text_parts(store, documents)])


def _ways(duplicates: Duplicates, equal: RowArray, methods: list[Found], n_base: int) -> NDArray[np.uint8]:
    """Return how each document (n,) was found: by its text, otherwise by the first method that found it."""
    rows = np.arange(len(duplicates.kept)) + n_base
    other = np.where(duplicates.base_row >= 0, duplicates.base_row, duplicates.kept_row + n_base)
    way = np.full(len(rows), WAYS.index(methods[-1].method), np.uint8)
    for found in methods[-2::-1]:  # both methods: words found what embeddings did not find
        pairs = np.sort(np.stack([found.first[rows], found.first[other]], axis=1), axis=1)
        codes = (pairs[:, 0].astype(np.int64) << 32) | pairs[:, 1]
        by_it = (pairs[:, 0] == pairs[:, 1]) | np.isin(codes, found.pairs.at_least(found.threshold).codes)
        way[by_it] = WAYS.index(found.method)
    way[equal[rows] == equal[other]] = WAYS.index("text")
    way[duplicates.kept] = 0
    return way


# --- figures ------------------------------------------------------------------------------------------------


def _figures(
    store: ArtifactStore,
    duplicates: Duplicates,
    methods: list[Found],
    first: RowArray,
    order: RowArray,
    pairs: Mapping[str, ArtifactRef],
    n_base: int,
) -> dict[str, Any]:
    """Return counts, the histogram of similarities, and the number kept at other thresholds."""
    own = duplicates.kept_row[duplicates.kept_row >= 0]
    sizes = np.bincount(own, minlength=1)
    n, n_kept = len(duplicates.kept), int(duplicates.kept.sum())
    figures: dict[str, Any] = {
        "n_documents": n,
        "n_kept": n_kept,
        "n_duplicates": n - n_kept,
        "duplicate_share": (n - n_kept) / n,
        "n_equal_texts": int((duplicates.way == WAYS.index("text")).sum()),
        "n_in_against": int((duplicates.base_row >= 0).sum()),
        "n_groups": int((sizes > 1).sum()),
        "largest_group": int(sizes.max()),
    }
    for found in methods:
        similar = found.pairs.similarities >= np.float32(found.threshold)
        figures[f"n_pairs_{found.method}"] = int(similar.sum())
    found = methods[0]
    floor = float(
        store.manifest("pairs", next(iter(pairs.values())).key)["recipe"]["config"][
            "floor" if found.method == "embedding" else "jaccard_floor"
        ]
    )
    counts, edges = np.histogram(found.pairs.similarities, bins=np.linspace(floor, 1.0, 16))
    figures["histogram"] = [
        {"from": round(float(low), 4), "to": round(float(high), 4), "pairs": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    if len(methods) == 1:
        figures["kept_at"] = [
            {
                "threshold": round(float(at), 4),
                "n_kept": int(_kept_at(found, first, order, n_base, float(at))),
            }
            for at in np.linspace(floor, 1.0, N_THRESHOLDS)
        ]
    return figures


def _kept_at(found: Found, first: RowArray, order: RowArray, n_base: int, threshold: float) -> int:
    there = [replace(found, threshold=threshold)]
    there = with_crowds(there, first, duplicates_of(there, first), order, n_base)
    return int(find_duplicates(first, duplicates_of(there, first), order, n_base, star=True).kept.sum())


def _of_cut_texts(whole: dict[str, Any], duplicates: Duplicates, n_base: int) -> dict[str, int]:
    """Return how many documents were cut, how many the rest separated, and how many were found by beginnings only."""
    if not whole:
        return {}
    cut = whole["cut"]
    other = np.where(duplicates.base_row >= 0, duplicates.base_row, duplicates.kept_row + n_base)
    by_beginning = (duplicates.way == WAYS.index("embedding")) & cut[n_base:] & cut[other]
    return {
        "n_cut": int(cut[n_base:].sum()),
        "max_tokens": int(whole["max_tokens"]),
        "n_apart_by_whole_texts": int(whole["apart"][n_base:].sum()),
        "n_by_beginning": int(by_beginning.sum()),
    }


def _recall(
    context: Context,
    pairs: ArtifactRef,
    found: Found,
    duplicates: Duplicates,
    order: RowArray,
    config: VectorMatchConfig,
) -> dict[str, Any]:
    """Return how pairs of vectors were searched, and the measured recall of duplicates."""
    meta, plan = context.store.meta(pairs), read_plan(context.store.meta(pairs))
    kept = order[duplicates.kept[order]]
    missed = missed_in_sample(context, vectors_of(context.store, pairs), found, kept, config.recall_sample)
    n_found = int((duplicates.way == WAYS.index("embedding")).sum())
    return {
        "search": meta["search"],
        "recall_expected": 1.0 if plan is None else plan.recall(found.threshold),
        **recall_of(n_found, len(kept), *missed),
    }


# --- the kept documents -------------------------------------------------------------------------------------


@stage("keep")
def keep(context: Context, documents: ArtifactRef, duplicates: ArtifactRef) -> ArtifactRef:
    """Return the documents artifact of the kept rows; every later stage uses it like that of `load`."""
    store = context.store
    recipe = recipes.keep(documents.key, duplicates.key)
    if found := store.find(recipe):
        return found
    kept = np.asarray(store.array(duplicates, "kept"))
    texts = hashlib.blake2b(digest_size=16)
    with store.writing(recipe) as writer:
        for name in ("documents", "columns"):
            table = store.table(documents, name)
            for number, start in enumerate(range(0, documents.rows, PART_ROWS)):
                rows = kept[start : start + PART_ROWS]
                part = table.slice(start, PART_ROWS).collect()
                part = (
                    part.filter(pl.Series(rows)) if part.width else part
                )  # no column of the input is in the artifact
                writer.save_table(f"{name}/part-{number:05d}", part)
                if name == "documents":
                    texts.update(text_digests(part["text"]).tobytes())
        writer.rows = int(kept.sum())
        writer.meta = {
            **store.meta(documents), "texts": texts.hexdigest(), "n_documents": writer.rows,
            "n_duplicates": documents.rows - writer.rows,
        }  # fmt: skip
    return store.committed(recipe, writer)
