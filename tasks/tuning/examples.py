"""Examples: documents and their labels or links -> items, each with a role and a class, and links between them.

rows (n_items,) int64     the item's document, -1 for a text that is not a document's
roles (n_items,) int8     0 training, 1 validation, 2 held out, 3 training without a label, -1 left aside
classes (n_items,) int64  class of each, -1 for none
links (n_links, m) int64  items of each pair (m = 2) or triplet (m = 3); with link_roles (n_links,) int8 and
                          similar (n_links,) bool; graded pairs have scores (n_links,) float64 instead
contradictory (n,) int64  documents with equal texts and different labels, which are left aside

No text has two roles: a text that equals a held-out text is never used for training, with or without a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import (
    ClassExamples,
    PairExamples,
    SplitExamples,
    TopicExamples,
    TripletExamples,
)
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.tuning import recipes
from topicflow.tasks.tuning.example_files import (
    LISTED,
    AnyExamples,
    GivenLinks,
    read_labels,
    read_links,
    read_topics,
    source_digest,
)

TRAINING, VALIDATION, HELD_OUT, UNLABELLED, ASIDE = 0, 1, 2, 3, -1

ROLE_NAMES = {
    **dict.fromkeys(("train", "training"), TRAINING),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing", "held_out", "held-out"), HELD_OUT),
}
"""Allowed values of a split column."""

Roles = NDArray[np.int8]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Documents with roles (n,) int8, classes (n,) int64 and their names, and the rows with contradictory labels."""

    roles: Roles
    classes: Numbers
    names: list[str]
    contradictory: Numbers


def label_documents(
    labels: pl.Series, texts: Numbers, given: NDArray[np.object_] | None, split: SplitExamples, seed: int
) -> Labelled:
    """Return the roles and classes of documents.

    Parameters
    ----------
    labels : pl.Series
        Label of each document, null for none.
    texts : ndarray of shape (n,), int64
        Number of each document's text; equal texts have equal numbers.
    given : ndarray of shape (n,), object, or None
        Value of the split column for each document; roles are drawn if None.
    split : SplitExamples
        Shares.
    seed : int
        Seed of the draw.

    Raises
    ------
    DataError
        If there are fewer than two classes, or a class has only one example.
    """
    labels = labels.set((labels.str.strip_chars() == "").fill_null(value=False), None)
    frame = pl.DataFrame({"text": texts, "label": labels})
    n_labels = frame.select(pl.col("label").drop_nulls().n_unique().over("text")).to_series().to_numpy()
    known = labels.set(pl.Series(n_labels > 1), None)
    _check_classes(known)
    names = sorted(known.drop_nulls().unique().to_list())
    codes = {name: number for number, name in enumerate(names)}
    classes = known.replace_strict(codes, default=-1, return_dtype=pl.Int64).to_numpy()
    roles = draw_roles(texts, classes, split, seed) if given is None else _given_roles(given, split)
    roles = np.where(classes < 0, np.where(roles == TRAINING, UNLABELLED, ASIDE), roles).astype(np.int8)
    if given is None:
        roles[classes < 0] = UNLABELLED
    contradictory = np.flatnonzero((n_labels > 1) & labels.is_not_null().to_numpy())
    roles[contradictory] = ASIDE
    return Labelled(_kept_apart(roles, texts), classes, names, contradictory)


def draw_roles(texts: Numbers, strata: Numbers, split: SplitExamples, seed: int) -> Roles:
    """Return roles drawn within each stratum, equal texts together; at least two texts of each stratum are training.

    Parameters
    ----------
    texts, strata : ndarray of shape (n,), int64
        Text and stratum (class) of each document; those with stratum -1 are training documents.
    split : SplitExamples
        Shares of held-out examples, and of validation among the others.
    seed : int
        Seed of the draw.
    """
    roles = np.full(len(texts), TRAINING, np.int8)
    rng = np.random.default_rng(seed)
    for stratum in range(int(strata.max(initial=-1)) + 1):
        rows = np.flatnonzero(strata == stratum)
        groups, inverse = np.unique(texts[rows], return_inverse=True)
        free = max(0, len(groups) - 2)
        n_held = min(free, round(split.held_out * len(groups)))
        n_validation = min(free - n_held, round(split.validation * (len(groups) - n_held)))
        drawn = np.full(len(groups), TRAINING, np.int8)
        drawn[:n_held], drawn[n_held : n_held + n_validation] = HELD_OUT, VALIDATION
        roles[rows] = rng.permutation(drawn)[inverse]
    return roles


def link_roles(links: Numbers, n_items: int, split: SplitExamples, seed: int) -> tuple[Roles, Roles]:
    """Return the roles of links (n_links,) and of their items (n_items,); a link between two roles is left aside.

    Connected items get the same role, unless more than half of all items are connected; then each item is drawn
    alone.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    heads = np.repeat(links[:, 0], links.shape[1] - 1)
    graph = coo_matrix((np.ones(len(heads)), (heads, links[:, 1:].ravel())), shape=(n_items, n_items))
    groups = connected_components(graph, directed=False)[1].astype(np.int64)
    if np.bincount(groups).max() > n_items / 2:
        groups = np.arange(n_items)
    roles = draw_roles(groups, np.zeros(n_items, np.int64), split, seed)
    members = roles[links]
    return np.where((members == members[:, :1]).all(axis=1), members[:, 0], ASIDE).astype(np.int8), roles


@stage("examples")
def examples(
    context: Context,
    documents: ArtifactRef,
    config: AnyExamples,
    split: SplitExamples,
) -> ArtifactRef:
    """Return the examples' artifact, reading and splitting them on a miss."""
    store, seed = context.store, context.seed
    recipe = recipes.examples(config, split, documents.key, source_digest(config, context.runtime), seed)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        if isinstance(config, ClassExamples | TopicExamples):
            arrays, meta = _of_classes(store, documents, config, split, seed, context.runtime)
        else:
            arrays, meta = _of_links(store, documents, config, split, seed)
            if "texts" in arrays:
                writer.save_table("texts", pl.DataFrame({"text": arrays.pop("texts")}))
        for name, array in arrays.items():
            writer.save_array(name, array)
        roles = arrays["roles" if "links" not in arrays else "link_roles"]
        meta |= {name: int((roles == role).sum()) for name, role in _COUNTED.items()}
        _check_parts(meta)
        writer.rows, writer.meta = meta["n_training"] + meta["n_validation"] + meta["n_held_out"], meta
    return store.committed(recipe, writer)


_COUNTED = {
    "n_training": TRAINING,
    "n_validation": VALIDATION,
    "n_held_out": HELD_OUT,
    "n_unlabelled": UNLABELLED,
    "n_left_aside": ASIDE,
}


def _of_classes(
    store: ArtifactStore,
    documents: ArtifactRef,
    config: ClassExamples | TopicExamples,
    split: SplitExamples,
    seed: int,
    runtime: RuntimeConfig,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    table = store.table(documents, "documents")
    ids = table.select("doc_id").collect()["doc_id"]
    if isinstance(config, ClassExamples) and config.path is None:
        labels = table.select("label").collect()["label"]
    else:
        given = (
            read_topics(config, runtime)
            if isinstance(config, TopicExamples)
            else read_labels(str(config.path), ids)
        )
        labels = ids.to_frame().join(given, on="doc_id", how="left", maintain_order="left")["label"]
        if isinstance(config, TopicExamples) and labels.null_count() == len(labels):
            msg = f"examples: the run {config.run} has no topics of these documents; name a run with the same ids"
            raise DataError(msg)
    found = label_documents(
        labels, _text_numbers(store, documents), _said(store, documents, split), split, seed
    )
    if len(np.unique(found.classes[found.roles == TRAINING])) < 2:
        msg = "examples: fewer than two classes are left to train on; give more labels, or change split"
        raise DataError(msg)
    arrays: dict[str, NDArray[Any]] = {
        "rows": np.arange(len(ids)), "roles": found.roles, "classes": found.classes,
        "contradictory": found.contradictory,
    }  # fmt: skip
    return arrays, {"kind": "classes", "classes": found.names, "n_contradictory": len(found.contradictory)}


def _of_links(
    store: ArtifactStore,
    documents: ArtifactRef,
    config: PairExamples | TripletExamples,
    split: SplitExamples,
    seed: int,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    table = store.table(documents, "documents")
    ids = table.select("doc_id").collect()["doc_id"]
    given = read_links(config, ids)
    names = pl.concat([given.table[member].rename("name") for member in given.members]).unique(
        maintain_order=True
    )
    places = {name: number for number, name in enumerate(names.to_list())}
    links = np.array(
        [[places[value] for value in row] for row in given.table.select(given.members).iter_rows()]
    )
    links = links.reshape(-1, len(given.members))
    roles_of_links, roles = _roles_of_links(store, documents, given, names, ids, links, split, seed)
    rows = np.full(len(names), -1)
    if not given.by_text:
        at = {name: row for row, name in enumerate(ids.to_list())}
        rows = np.array([at[name] for name in names.to_list()])
    is_labelled = config.method == "pairs" and not given.graded
    similar = given.table["similar"].to_numpy() if is_labelled else np.empty(0, bool)
    arrays: dict[str, NDArray[Any]] = {
        "rows": rows, "roles": roles, "classes": np.full(len(names), -1), "links": links,
        "link_roles": roles_of_links, "similar": np.asarray(similar, bool),
    }  # fmt: skip
    if given.graded:
        arrays["scores"] = given.table["score"].to_numpy()
    if given.by_text:
        arrays["texts"] = names.to_numpy()
    graded = {"graded": True} if given.graded else {}
    return arrays, {"kind": config.method, "by_text": given.by_text, **graded}


def _roles_of_links(
    store: ArtifactStore,
    documents: ArtifactRef,
    given: GivenLinks,
    names: pl.Series,
    ids: pl.Series,
    links: Numbers,
    split: SplitExamples,
    seed: int,
) -> tuple[Roles, Roles]:
    """Return the roles of the links and of their items: from the documents' split column, or drawn."""
    said = None if given.by_text else _said(store, documents, split)
    if said is None:
        return link_roles(links, len(names), split, seed)
    at = {name: row for row, name in enumerate(ids.to_list())}
    roles = _given_roles(said, split)[np.array([at[name] for name in names.to_list()])]
    members = roles[links]
    return np.where((members == members[:, :1]).all(axis=1), members[:, 0], ASIDE).astype(np.int8), roles


def _said(store: ArtifactStore, documents: ArtifactRef, split: SplitExamples) -> NDArray[np.object_] | None:
    """Return the value of the split column for each document, or None if no column is set."""
    if split.column is None:
        return None
    columns = store.table(documents, "columns")
    schema = columns.collect_schema()
    require_column("split", split.column, schema, "split.column")
    said: NDArray[np.object_] = (
        columns.select(pl.col(split.column).cast(pl.String)).collect()[split.column].to_numpy()
    )
    return said


def _given_roles(said: NDArray[np.object_], split: SplitExamples) -> Roles:
    roles = np.array(
        [TRAINING if one is None else ROLE_NAMES.get(str(one).strip().lower(), -9) for one in said], np.int8
    )
    if (roles == -9).any():
        found = sorted({str(one) for one in said[roles == -9]})
        msg = f"split: column {split.column!r} contains {', '.join(found[:LISTED])}; expected train, validation or test"
        raise DataError(msg)
    return roles


def _text_numbers(store: ArtifactStore, documents: ArtifactRef) -> Numbers:
    """Return a number for each document's text, equal numbers for equal texts; this takes 16 bytes per document."""
    parts = store.table(documents, "documents").select("text").collect_batches(chunk_size=65_536)
    digests = np.concatenate([text_digests([]), *(text_digests(part["text"]) for part in parts)])
    return np.unique(digests, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _kept_apart(roles: Roles, texts: Numbers) -> Roles:
    """Return the roles; training items whose text equals a held-out or validation text are left aside."""
    apart = roles.copy()
    for measured in (HELD_OUT, VALIDATION):
        taken = np.isin(texts, texts[apart == measured])
        earlier = {HELD_OUT: (TRAINING, VALIDATION, UNLABELLED), VALIDATION: (TRAINING, UNLABELLED)}[measured]
        apart[taken & np.isin(apart, earlier)] = ASIDE
    return apart


def _check_classes(labels: pl.Series) -> None:
    sizes = labels.drop_nulls().value_counts(sort=True)
    if sizes.height < 2:
        found = f"one class, {sizes[labels.name][0]!r}" if sizes.height else "no labels"
        msg = f"examples: {found}; tuning needs documents of at least two classes"
        raise DataError(msg)
    single = sizes.filter(pl.col("count") == 1)[labels.name].sort()
    if len(single):
        more = f", and {len(single) - LISTED:,} more" if len(single) > LISTED else ""
        named = ", ".join(repr(name) for name in single.head(LISTED)) + more
        msg = (
            f"examples: {len(single):,} classes have a single example: {named}; "
            "label another document of each, or remove their labels"
        )
        raise DataError(msg)


def _check_parts(meta: dict[str, Any]) -> None:
    for name, what in (("n_training", "to train on"), ("n_held_out", "held out to measure on")):
        if not meta[name]:
            msg = f"examples: none are left {what}; add examples, or change split.held_out or split.column"
            raise DataError(msg)
