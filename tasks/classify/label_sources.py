"""Label sources: a column, files of doc_id and label, or the topics of a run -> a table of doc_id and label."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from topicflow.configs.sections.classify import LabelsConfig
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.spreadsheet_csv import read_csv
from topicflow.tasks.errors import ConfigError, DataError, first_line
from topicflow.tasks.runs.resolve import TOPIC_FLOWS, resolve
from topicflow.tasks.runs.run_files import whole_file
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

OPEN = "?"
"""The label of a document that nobody has looked at yet, if documents may be without labels."""


def read_labels(
    store: ArtifactStore, documents: ArtifactRef, config: LabelsConfig, runs: Path
) -> pl.DataFrame:
    """Return the labels as given: one row per document and label, doc_id and label as text, none of them blank.

    If a document may have several labels, a listed document without any has no class: its label is null. Documents
    with the label OPEN are not labelled yet, nor are nulls in a column of the documents.

    Parameters
    ----------
    store, documents
        The documents; their column `label` is used if `config` names no other source.
    config : LabelsConfig
    runs : Path
        Folder in which `config.run` is searched.

    Raises
    ------
    ConfigError
        If the run does not exist.
    DataError
        If a file cannot be read, a column is missing, or no label is left.
    """
    if config.path is not None:
        paths = (config.path,) if isinstance(config.path, str) else config.path
        tables = [_doc_labels(path) for path in paths]
        where = ", ".join(paths)
    elif config.run is not None:
        run = resolve(runs, config.run, flow=TOPIC_FLOWS, where="labels.run")
        tables = [topic_labels(run["folder"], config)]
        where = f"{config.run} and {config.topics}"
    else:
        tables = [store.table(documents, "documents").select("doc_id", "label").collect()]
        where = "load.label_column"
    found = pl.concat(tables).filter(pl.col("doc_id").is_not_null())
    if config.separator is None:
        found = found.with_columns(pl.col("label").str.strip_chars()).filter(pl.col("label") != "")
    else:
        if config.path is not None:  # a row of such a file means that somebody looked at the document
            found = found.with_columns(pl.col("label").fill_null(""))
        found = split_labels(found, config.separator)
    if found["label"].null_count() == found.height:
        msg = f"labels: {where}: no labels; label some documents of at least two classes"
        raise DataError(msg)
    return found.unique(maintain_order=True)


def split_labels(given: pl.DataFrame, separator: str) -> pl.DataFrame:
    """Split a table of doc_id and labels in one text into one row per document and label; null for no label.

    Rows with null or OPEN are left out.
    """
    known = given.filter(pl.col("label").is_not_null() & (pl.col("label").str.strip_chars() != OPEN))
    words = pl.element().str.strip_chars()
    parts = pl.col("label").str.split(separator).list.eval(words.filter(words != ""))
    return known.with_columns(parts).explode("label", empty_as_null=True)


def topic_labels(folder: str, config: LabelsConfig) -> pl.DataFrame:
    """Return the documents of a topic run with the class of their topic.

    Documents below `min_probability`, and documents that `cluster.max_outlier_share` reassigned, are left out.
    """
    path = whole_file(Path(folder), "documents.parquet")
    if not path.exists():
        msg = f"labels.run: {folder} has no documents.parquet; name a completed run of topic_model"
        raise ConfigError(msg)
    classes = read_table(str(config.topics), ("topic", "class"))
    classes = classes.select(pl.col("topic").cast(pl.Int64, strict=False), label=pl.col("class"))
    classes = classes.filter(pl.col("topic").is_not_null() & pl.col("label").is_not_null())
    placed = pl.read_parquet(path, columns=["doc_id", "topic", "probability", "reassigned"])
    unknown = set(classes["topic"]) - set(placed["topic"])
    if unknown:
        msg = f"labels.topics: {config.topics}: topic {min(unknown)} is not in {folder} ({len(unknown):,} such rows)"
        raise DataError(msg)
    sure = placed.filter((pl.col("probability") >= config.min_probability) & ~pl.col("reassigned"))
    return (
        sure.with_columns(pl.col("topic").cast(pl.Int64)).join(classes, on="topic").select("doc_id", "label")
    )


def read_table(path: str, columns: tuple[str, str]) -> pl.DataFrame:
    """Return two columns of a CSV or Parquet file as text; raise DataError if it cannot be read or they are missing."""
    try:
        is_parquet = Path(path).suffix == ".parquet"
        table = pl.read_parquet(path) if is_parquet else read_csv(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = first_line(getattr(error, "strerror", None) or error).lower()
        msg = f"labels: {path}: cannot be read ({reason}); give a CSV or Parquet file with {' and '.join(columns)}"
        raise DataError(msg) from None
    for name in columns:
        require_column(f"labels: {path}", name, table.columns)
    return table.select(pl.col(name).cast(pl.String) for name in columns)


def _doc_labels(path: str) -> pl.DataFrame:
    return read_table(path, ("doc_id", "label"))
