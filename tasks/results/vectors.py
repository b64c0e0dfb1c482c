"""Vectors: the record of a run -> the embeddings of its documents (n, dim) float32, from the store."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.history import RunRecord, called
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, open_store
from topicflow.tasks.topics.final import final_labels, final_topics
from topicflow.tasks.updates.overview import read_batches
from topicflow.tasks.updates.topic_state import Fit, TopicState, documents_of, read_state


def store_of(record: RunRecord) -> ArtifactStore:
    """Return the store of a run."""
    return open_store(RuntimeConfig(store=record["store"]))


def stage_of(record: RunRecord, stage: str) -> ArtifactRef:
    """Return the artifact of a stage of a run; raise ConfigError if the run has no such stage."""
    found = next((each for each in record.get("stages", ()) if each["stage"] == stage), None)
    if found is None:
        msg = f"{called(record)}: a {record['state']} run of {record.get('flow')} has no stage {stage}"
        raise ConfigError(msg)
    return ArtifactRef(found["kind"], found["key"], stage, rows=found["rows"])


def state_of(store: ArtifactStore, record: RunRecord) -> TopicState | None:
    """Return the state of an update, None for a run of another flow."""
    return read_state(store, record["update"]["state"]) if "update" in record else None


def embeddings_of(record: RunRecord) -> NDArray[np.float32]:
    """Return the unit vectors (n, dim) of a run, read-only, in the order of `documents`.

    A run that split its documents has a vector for each passage.

    Raises
    ------
    ConfigError
        If the run embedded nothing.
    ArtifactError
        If the store does not have the vectors any more.
    """
    store = store_of(record)
    if (state := state_of(store, record)) is not None:
        found: NDArray[np.float32] = read_batches(store, state.batches, "embed", "embeddings")
        return found
    return np.asarray(present(store, record, "embed", "embeddings"))


def present(store: ArtifactStore, record: RunRecord, stage: str, name: str) -> NDArray[Any]:
    """Return an array of a stage of a run; raise ArtifactError, one line, if it was deleted."""
    return store.array(_there(store, record, stage_of(record, stage)), name)


def _there(store: ArtifactStore, record: RunRecord, ref: ArtifactRef) -> ArtifactRef:
    """Return an artifact of a run; raise ArtifactError, one line, if it was deleted."""
    if (state := store.state(ref.kind, ref.key)) != "hit":
        msg = f"{called(record)}: {ref.kind}/{ref.key} is {state} in {store.name}; run its config again to make it"
        raise ArtifactError(msg)
    return ref


def fit_of(store: ArtifactStore, record: RunRecord) -> tuple[Fit, NDArray[np.int32] | None]:
    """Return the artifacts of the fit of a run, and the lasting ids of its topics, None if they are their numbers."""
    if (state := state_of(store, record)) is not None:
        return state.fit, np.asarray(state.ids, np.int32)
    names = {each["stage"]: each["stage"] for each in record["stages"]}
    keys = {
        "embeddings": "embed", "neighbors": "neighbors", "labels": final_labels(names), "layout": "map",
        "counts": "count", "topics": final_topics(names),
    }  # fmt: skip
    own = {name: _there(store, record, stage_of(record, stage)).key for name, stage in keys.items()}
    return Fit(
        own["embeddings"], own["neighbors"], own["labels"], own["layout"], own["counts"], own["topics"],
        cells="", settings="",
    ), None  # fmt: skip


def times_of(record: RunRecord) -> pl.DataFrame | None:
    """Return id (doc_id) and time (timestamp, null if unknown) of each document of a run; None if it has no times."""
    store = store_of(record)
    if (state := state_of(store, record)) is not None:
        refs = [documents_of(batch) for batch in state.batches]
    else:
        stages = [each["stage"] for each in record["stages"]]
        refs = [stage_of(record, "keep" if "keep" in stages else "load")]
    tables = []
    for ref in refs:
        table = store.table(_there(store, record, ref), "documents")
        names = table.collect_schema().names()
        if "timestamp" in names:
            whole = "parent" if "parent" in names else "doc_id"
            tables.append(
                table.select(pl.col(whole).alias("doc_id"), "timestamp").unique("doc_id", keep="first")
            )
    return pl.concat(tables, how="vertical_relaxed").collect() if tables else None
