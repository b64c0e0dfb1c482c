"""Publish duplicates: the artifacts of a finished run of `deduplicate` -> its folder, which the user reads.

documents.parquet  every document: doc_id, kept, kept_id, similarity, way, group, text, the input's own columns
kept.parquet       the kept rows of the input, with its own columns
groups.parquet     the members of every group of at least two, the kept one first
against.parquet    documents that are in the corpus `against` already, each with its similar document there
metrics.json run.json config.toml run.log
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.tasks.duplicates.deduplicate import WAYS
from topicflow.tasks.duplicates.report_duplicates import N_LEAST
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.publish.folder import show_run, show_table, write_run_folder
from topicflow.tasks.publish.remarks import by_beginnings
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.publish.topic_folder import with_own_columns
from topicflow.tasks.runs.records import RunId, RunRecord, write_json
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


@stage("publish")
def publish_duplicates(
    store: ArtifactStore, config: DeduplicateConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder and showing it in Prefect.

    Raises
    ------
    ArtifactError
        When the folder cannot be written.
    """
    documents, against = stages["load"], stages.get("load_against")
    record = describe_run(store, config, stages, run) | {"n_documents": documents.rows}
    figures = record["metrics"] | store.json(stages["deduplicate"], "figures")
    with write_run_folder(config, run, record) as folder:
        verdicts = verdict_table(store, documents, stages["deduplicate"], against)
        texts, own = store.table(documents, "documents").select("text"), store.table(documents, "columns")
        with_own_columns(verdicts.lazy(), texts, own).sink_parquet(folder / "documents.parquet")
        written = pl.scan_parquet(folder / "documents.parquet")
        kept_rows(written, verdicts["kept"], own).sink_parquet(folder / "kept.parquet")
        group_table(written).write_parquet(folder / "groups.parquet")
        if against is not None:
            against_table(store, written, against).write_parquet(folder / "against.parquet")
        figures["least_similar"] = least_similar(store, written, against)
        write_json(folder / "metrics.json", figures)
        record["metrics"] = {name: value for name, value in figures.items() if not isinstance(value, list)}
        record["remarks"] += by_beginnings(figures)
        record["least_similar"] = figures["least_similar"]
    about = "The least similar duplicates"
    show_run(
        record, config, "Duplicates found and kept documents",
        lambda name: show_table(f"{name}-least-similar", record["least_similar"], about),
    )  # fmt: skip
    return record


def kept_rows(written: pl.LazyFrame, kept: pl.Series, own: pl.LazyFrame) -> pl.LazyFrame:
    """Return the input's own columns of the kept documents; ids and texts if no column was kept."""
    if not own.collect_schema():
        return written.filter(pl.col("kept")).select("doc_id", "text")
    marked = pl.concat([own, kept.alias(_MARK).to_frame().lazy()], how="horizontal")
    return marked.filter(pl.col(_MARK)).drop(_MARK)


_MARK = "kept\0"
"""Name of a column that no file has."""


def verdict_table(
    store: ArtifactStore, documents: ArtifactRef, duplicates: ArtifactRef, against: ArtifactRef | None
) -> pl.DataFrame:
    """Return one row a document: doc_id, kept, kept_id, similarity, way, group; -1 if it has no duplicate.

    Groups are numbered by decreasing size. `kept_id` names the kept document, or the one in `against`.
    """
    ids = store.table(documents, "documents").select("doc_id").collect()["doc_id"]
    kept, row = (np.asarray(store.array(duplicates, name, whole=True)) for name in ("kept", "kept_row"))
    base = np.asarray(store.array(duplicates, "base_row", whole=True))
    sizes = np.bincount(row[row >= 0], minlength=len(row))
    heads = np.flatnonzero(sizes > 1)
    numbers = np.full(len(row) + 1, -1, np.int32)  # the last place is for row -1
    numbers[heads[np.argsort(-sizes[heads], kind="stable")]] = np.arange(len(heads))
    kept_ids = ids.gather(np.maximum(row, 0))
    if against is not None:
        theirs = store.table(against, "documents").select("doc_id").collect()["doc_id"]
        in_against = pl.Series(base >= 0)
        kept_ids = pl.select(
            pl.when(in_against).then(theirs.gather(np.maximum(base, 0))).otherwise(kept_ids)
        ).to_series()
    way = pl.Series(np.asarray(store.array(duplicates, "way", whole=True)))
    return pl.DataFrame(
        {
            "doc_id": ids,
            "kept": kept,
            "kept_id": kept_ids,
            "similarity": pl.Series(np.asarray(store.array(duplicates, "similarity", whole=True))).fill_nan(
                None
            ),
            "way": way.replace_strict(dict(enumerate(WAYS)), return_dtype=pl.String),
            "group": numbers[row],
            "in_against": base >= 0,
        }
    ).drop([] if against is not None else ["in_against"])


def group_table(written: pl.LazyFrame) -> pl.DataFrame:
    """Return the members of every group of at least two, by group, the kept one first, then by similarity."""
    members = written.filter(pl.col("group") >= 0).select(
        "group", "doc_id", "kept", "kept_id", "similarity", "way", "text"
    )
    ordered = members.sort(
        "group", "kept", "similarity", descending=[False, True, True], nulls_last=True, maintain_order=True
    )
    return ordered.with_columns(pl.len().over("group").alias("size")).collect()


def against_table(store: ArtifactStore, written: pl.LazyFrame, against: ArtifactRef) -> pl.DataFrame:
    """Return the documents that are in `against`, most similar first, each with its similar document there."""
    known = written.filter(pl.col("in_against")).select("doc_id", "similarity", "way", "text", "kept_id")
    theirs = store.table(against, "documents").select(
        pl.col("doc_id").alias("kept_id"), pl.col("text").alias("against_text")
    )
    joined = known.join(theirs, on="kept_id", how="left").rename({"kept_id": "against_id"})
    return joined.sort("similarity", "doc_id", descending=[True, False]).collect()


def least_similar(
    store: ArtifactStore, written: pl.LazyFrame, against: ArtifactRef | None
) -> list[dict[str, Any]]:
    """Return the least similar duplicates, least similar first, each with the text that is kept."""
    found = (
        written.filter(~pl.col("kept") & pl.col("similarity").is_not_null())
        .select("doc_id", "kept_id", "similarity", "way", "text", *(["in_against"] if against else []))
        .bottom_k(N_LEAST, by="similarity")
        .sort("similarity", "doc_id")
        .collect()
    )
    own = written.select(pl.col("doc_id").alias("kept_id"), pl.col("text").alias("kept_text"))
    if against is None:
        return found.lazy().join(own, on="kept_id", how="left", maintain_order="left").collect().to_dicts()
    theirs = store.table(against, "documents").select(
        pl.col("doc_id").alias("kept_id"), pl.col("text").alias("kept_text")
    )
    parts = [
        found.filter(pl.col("in_against") == is_theirs).lazy().join(table, on="kept_id", how="left")
        for is_theirs, table in ((True, theirs), (False, own))
    ]
    return pl.concat(parts).sort("similarity", "doc_id").collect().to_dicts()
