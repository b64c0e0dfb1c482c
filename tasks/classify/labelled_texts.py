"""Annotate: documents, their embeddings and labels -> the distinct labelled texts with vectors and classes.

texts.parquet   text, digest of each distinct labelled text
features.parquet   their columns of `features`, if there are any; then equal texts with other features are distinct
vectors.npy     (n_labelled, dim) float32, classes.npy (n_labelled, n_classes) bool
names.json      the classes' names, sorted; the manifest also has the space of the vectors

The key is made from this content: if the corpus grows but the labelled texts do not change, the annotations are the
same, and the trained classifier stays a hit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.classify import FeaturesConfig, LabelsConfig
from topicflow.tasks.classify import recipes
from topicflow.tasks.classify.features import identified, read_features
from topicflow.tasks.classify.label_sources import read_labels
from topicflow.tasks.core.learning.heads import Classes
from topicflow.tasks.encoding.spaces import space_of
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.store.artifact_store import ArtifactRef, canonical_json

SHOWN = 5
"""Maximum number of documents in a message."""


def settle_labels(
    labels: pl.DataFrame, documents: pl.DataFrame, config: LabelsConfig
) -> tuple[pl.DataFrame, list[str], int]:
    """Return the labelled rows with their classes, the classes' names, and the number of texts with contradictions.

    Parameters
    ----------
    labels : pl.DataFrame
        doc_id, label: one row per document and label; null for a document without labels, if several are allowed.
    documents : pl.DataFrame
        row, doc_id, text of all documents, and `same`, which is equal for documents that are one example.
    config : LabelsConfig
        Whether a document has one label, and how contradictions are handled.

    Returns
    -------
    labelled : pl.DataFrame
        row, text, label (list), one row per example, in the documents' order.
    names : list of str
        Sorted.
    n_dropped : int

    Raises
    ------
    DataError
        If a label names no document, a text has two labels but only one is allowed, or too few classes are left.
    """
    strangers = labels.join(documents, on="doc_id", how="anti")
    if not strangers.is_empty():
        listed = ", ".join(repr(name) for name in strangers["doc_id"].unique(maintain_order=True)[:SHOWN])
        n = strangers["doc_id"].n_unique()
        more = " …" if n > SHOWN else ""
        msg = f"labels: {n:,} labels belong to no document: {listed}{more}; check doc_id and load.id_column"
        raise DataError(msg)
    found = documents.join(labels, on="doc_id", maintain_order="left")
    grouped = found.group_by("same", maintain_order=True).agg(
        pl.col("row", "doc_id", "text").first(), pl.col("label").drop_nulls().unique().sort()
    )
    n_dropped = 0
    if config.separator is None:
        contradicted = grouped.filter(pl.col("label").list.len() > 1)
        n_dropped = contradicted.height
        if n_dropped and config.contradictions == "refuse":
            _refuse(contradicted)
        grouped = grouped.filter(pl.col("label").list.len() == 1)
    names = sorted(grouped["label"].explode().drop_nulls().unique().to_list())
    _check_classes(grouped, names)
    return grouped.select("row", "text", "label"), names, n_dropped


def _refuse(contradicted: pl.DataFrame) -> None:
    rows = contradicted.head(SHOWN).iter_rows(named=True)
    listed = "; ".join(f"{row['doc_id']}: {' / '.join(row['label'])}" for row in rows)
    more = " …" if contradicted.height > SHOWN else ""
    msg = (
        f"labels: {contradicted.height:,} texts have different labels: {listed}{more}; correct them, or set "
        'labels.contradictions = "drop", or labels.separator if a document may have several'
    )
    raise DataError(msg)


def _check_classes(grouped: pl.DataFrame, names: list[str]) -> None:
    """Raise DataError if there is only one class, or a class with only one example."""
    if len(names) < 2:
        msg = (
            f"labels: only one class ({names[0]!r}); a classifier needs two"
            if names
            else "labels: no label is left"
        )
        raise DataError(msg)
    sizes = grouped["label"].explode().drop_nulls().value_counts()
    few = sizes.filter(pl.col("count") < 2).sort("label")["label"].to_list()
    if few:
        listed = ", ".join(map(repr, few[:SHOWN])) + (" …" if len(few) > SHOWN else "")
        msg = f"labels: only one example of {listed}; label another document of each, or remove these classes"
        raise DataError(msg)


def class_matrix(labels: pl.Series, names: list[str]) -> Classes:
    """Return the classes of each row (n, n_classes) bool."""
    places = {name: i for i, name in enumerate(names)}
    classes = np.zeros((len(labels), len(names)), bool)
    for row, own in enumerate(labels.to_list()):
        classes[row, [places[name] for name in own]] = True
    return classes


@stage("labelled_texts")
def labelled_texts(
    context: Context,
    documents: ArtifactRef,
    embeddings: ArtifactRef,
    config: LabelsConfig,
    runs: Path,
    columns: FeaturesConfig | None = None,
) -> ArtifactRef:
    """Return the annotations; labels are read again in each run, and stored if they are new."""
    store = context.store
    given = read_labels(store, documents, config, runs)
    # "row" of the documents counts input rows, including empty texts; vectors are in the documents' own order
    table = store.table(documents, "documents").select("doc_id", "text").with_row_index("row").collect()
    features = read_features(store, documents, columns or FeaturesConfig())
    same = identified(table["text"], features)
    labelled, names, n_dropped = settle_labels(given, table.with_columns(same=same), config)
    classes = class_matrix(labelled["label"], names)
    vectors = np.asarray(store.array(embeddings, "embeddings")[labelled["row"].to_numpy()])
    space = space_of(store, embeddings)
    digests = text_digests(same[labelled["row"]])
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # the same for any order of the corpus
    labelled, classes, vectors, digests = labelled[order], classes[order], vectors[order], digests[order]
    own = None if features is None else features[labelled["row"]]
    recipe = recipes.labelled_texts(config, _content(digests, vectors, classes, names, own), space)
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        writer.save_table("texts", labelled.select("text"))
        writer.save_array("digests", digests)
        writer.save_array("vectors", vectors)
        writer.save_array("classes", classes)
        writer.save_json("names", names)
        if own is not None:
            writer.save_table("features", own)
        writer.rows = len(classes)
        writer.meta = {
            "space": space,
            "multilabel": config.separator is not None,
            "n_classes": len(names),
            "n_contradictory": n_dropped,
            **({} if own is None else {"features": own.columns}),
            "sizes": dict(zip(names, classes.sum(axis=0).tolist(), strict=True)),
        }
    return store.committed(recipe, writer)


def _content(
    digests: NDArray[np.uint64],
    vectors: NDArray[np.float32],
    classes: Classes,
    names: list[str],
    features: pl.DataFrame | None,
) -> str:
    hasher = hashlib.blake2b(canonical_json(names), digest_size=16)
    if features is not None:
        hasher.update(canonical_json(features.to_dict(as_series=False)))
    for array in (digests, vectors, classes):
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()
