"""Publish update: the artifacts of an update -> its run folder and the state that the next one goes on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.tasks.documents.spreadsheet_csv import write_csv
from topicflow.tasks.execution.reporting import report
from topicflow.tasks.publish.announce import announce
from topicflow.tasks.publish.remarks import naming_remarks, remarks, say_remarks
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.publish.topic_folder import documents_table, flat_topics, name_encoder
from topicflow.tasks.publish.topic_model import leave_artifacts
from topicflow.tasks.report.report_page import finish_report
from topicflow.tasks.runs.records import RunId, RunRecord, point_latest, run_folder, write_json
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.updates.overview import lasting, read_batches, sized_topics
from topicflow.tasks.updates.topic_state import TopicState, batch_stages, save_state


@dataclass(frozen=True)
class Made:
    """What an update made beside its state: the artifact of each stage, and the run that it went on from."""

    stages: Mapping[str, ArtifactRef]
    topics: ArtifactRef
    drift: Mapping[str, Any] | None
    reason: str
    previous: str | None


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_update(
    store: ArtifactStore, config: UpdateTopicsConfig, state: TopicState, made: Made, run: RunId
) -> RunRecord:
    """Return the run's record after writing its folder; `latest` moves where it passed its gates.

    Notes
    -----
    The order makes a kill harmless at any moment: the state is an artifact like others, the folder appears in one
    step, and a run that died before `latest` moved is found by the next one, which goes on from it.
    """
    kept = save_state(store, state)
    runs = Path(config.runtime.runs)
    labels = read_batches(store, state.batches, "cluster", "labels")
    record = _record(store, config, state, made, run, kept)
    record["updates"] = history(state, lasting(labels, np.asarray(state.ids, np.int32)))
    with run_folder(runs, run) as folder:
        _write_tables(folder, store, config, state, made, labels)
        record["n_documents"], record["n_topics"] = len(labels), len(state.ids)
        write_json(folder / "metrics.json", record["metrics"])
        write_json(folder / "run.json", record)
        (folder / "config.toml").write_text(record["config"], encoding="utf-8")
        page = store.whole(made.stages["overview"], "report.html").read_text(encoding="utf-8")
        (folder / "report.html").write_text(finish_report(page, record), encoding="utf-8")
        _write_model(folder / "model", store, config, state, made, labels)
    say_remarks(record)
    if record["published"]:
        point_latest(runs / run.name, run.run_id)
    report("the run's tables", lambda: leave_artifacts(record, run.folder(runs).resolve()))
    announce(record, config.gates)
    return record


def update_numbers(state: TopicState) -> NDArray[np.int32]:
    """Return the number of the run (n_docs,) in which each document came; documents are kept in that order."""
    sizes = [update.n_new for update in state.updates]
    return np.repeat(np.array([update.number for update in state.updates], np.int32), sizes)


def all_documents(store: ArtifactStore, config: UpdateTopicsConfig, state: TopicState) -> pl.LazyFrame:
    """Return one row a document, as a topic model's run has it, with lasting topic ids and the run it came in.

    Lazy: written out it streams, batch by batch; columns that some batches lack are null there.
    """
    ids, numbers, start, tables = np.asarray(state.ids, np.int32), update_numbers(state), 0, []
    for batch in state.batches:
        stages = batch_stages(batch)
        labels = np.asarray(store.array(stages["cluster"], "labels", whole=True))
        topics = pl.Series("topic", lasting(labels, ids))
        came = pl.Series("update", numbers[start : start + len(labels)])
        table = documents_table(store, stages, config.load)
        tables.append(table.with_columns(topics, came))
        start += len(labels)
    return pl.concat(tables, how="diagonal_relaxed")


def _write_tables(
    folder: Path,
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    state: TopicState,
    made: Made,
    labels: NDArray[np.int32],
) -> None:
    all_documents(store, config, state).sink_parquet(folder / "documents.parquet")
    topics = lasting_topics(store, state, made.topics, labels)
    topics.write_parquet(folder / "topics.parquet")
    write_csv(flat_topics(topics), folder / "topics.csv")
    lineages = [
        store.table(ArtifactRef("lineages", key, "match"), "lineage").select(
            pl.lit(number, pl.Int32).alias("update"), pl.all()
        )
        for number, key in state.lineages
    ]
    pl.concat(lineages).collect().write_parquet(folder / "lineage.parquet")
    if made.drift is not None:
        write_json(folder / "drift.json", made.drift)


def lasting_topics(
    store: ArtifactStore, state: TopicState, topics: ArtifactRef, labels: NDArray[np.int32]
) -> pl.DataFrame:
    """Return one row a topic, largest first, by lasting id and name; `model_topic` is its number in the model."""
    centroids = store.address(topics, "centroids.npy")
    names = [state.names[number] for number in state.ids]
    return (
        sized_topics(store, topics, labels)
        .with_columns(
            pl.col("topic").alias("model_topic"),
            pl.Series("topic", state.ids, pl.Int32),
            pl.Series("name", [name.name for name in names]),
            pl.Series("named_by", [name.by for name in names]),
            pl.format("{}#{}", pl.lit(centroids), "centroid").alias("centroid"),
        )
        .drop("representative_rows")
        .sort("size", "topic", descending=[True, False])
    )


def _write_model(
    folder: Path,
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    state: TopicState,
    made: Made,
    labels: NDArray[np.int32],
) -> None:
    """Write the fit's BERTopic model with all documents; its topics have the fit's numbers and our names."""
    shutil.copytree(store.whole(made.topics, "model"), folder)
    path = folder / "topics.json"
    told = json.loads(path.read_bytes())
    numbers, sizes = np.unique(labels, return_counts=True)
    told["topics"] = labels.tolist()
    told["topic_sizes"] = dict(zip(map(str, numbers.tolist()), sizes.tolist(), strict=True))
    noise = told["custom_labels"][: told["_outliers"]]
    told["custom_labels"] = noise + [state.names[number].name for number in state.ids]
    path.write_text(json.dumps(told, separators=(",", ":")), encoding="utf-8")
    name_encoder(folder, config.embed, config.runtime.device)


def _record(
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    state: TopicState,
    made: Made,
    run: RunId,
    kept: ArtifactRef,
) -> RunRecord:
    last, metrics = state.updates[-1], store.json(made.stages["overview"], "metrics")
    described = describe_run(store, config, {**made.stages, "state": kept}, run)
    graph = store.meta(made.stages["neighbors"]) if "neighbors" in made.stages else {}
    return {
        **described,
        "metrics": described["metrics"] | metrics,
        "remarks": described["remarks"]
        + remarks(metrics, config.cluster, graph.get("copies"))
        + (naming_remarks(store.meta(made.stages["name"])) if "name" in made.stages else []),
        "update": {
            "number": last.number,
            "state": kept.key,
            "previous": made.previous,
            "n_new": last.n_new,
            "n_late": last.n_late,
            "watermark": state.watermark,
            "until": config.arrive.until,
            "refit": last.refit,
            "reason": made.reason,
        },
        "drift": made.drift,
        "lineage": store.meta(made.stages["match"]) if "match" in made.stages else None,
    }


def history(state: TopicState, topics: NDArray[np.int32]) -> dict[str, Any]:
    """Return what the report shows of all updates: which documents each told to the topics of today.

    Parameters
    ----------
    state : TopicState
        All updates, with the names of topics.
    topics : ndarray of shape (n_docs,), int32
        Lasting id of each document, -1 for none, in the order in which they came.
    """
    numbers, n_updates = update_numbers(state), len(state.updates)
    first = state.updates[0].number
    own = topics >= 0
    ids, sizes = np.unique(topics[own], return_counts=True)
    shown = ids[np.lexsort((ids, -sizes))][:MAX_LINES]
    return {
        "numbers": [update.number for update in state.updates],
        "watermarks": [update.watermark for update in state.updates],
        "n_new": [update.n_new for update in state.updates],
        "refit": [update.refit for update in state.updates],
        "outliers": np.bincount(numbers[~own] - first, minlength=n_updates).tolist(),
        "topics": [
            {
                "topic": topic,
                "name": state.names[topic].name,
                "counts": np.bincount(numbers[topics == topic] - first, minlength=n_updates).tolist(),
            }
            for topic in shown.tolist()
        ],
    }


MAX_LINES = 12
"""Topics drawn over the updates, as over time."""
