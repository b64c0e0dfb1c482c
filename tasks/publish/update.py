"""Publish an update: the artifacts of a finished run -> its folder, and the state that the next update continues."""

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

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.tasks.documents.spreadsheet_csv import write_csv
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.publish.edits import (
    edit_figures,
    edit_record,
    edit_remarks,
    without_advice,
    without_path,
    write_edits,
)
from topicflow.tasks.publish.folder import write_run_folder
from topicflow.tasks.publish.known_topics.given import (
    given_figures_of_series,
    given_record_of_series,
    given_remarks,
)
from topicflow.tasks.publish.remarks import naming_remarks, remarks
from topicflow.tasks.publish.run_record import describe_run
from topicflow.tasks.publish.slice_tables import lasting_topics_of, write_slices
from topicflow.tasks.publish.topic_folder import (
    documents_table,
    flat_topics,
    name_encoder,
    size_record,
    write_metrics,
    write_report,
)
from topicflow.tasks.publish.topic_model import show_topics
from topicflow.tasks.publish.topic_tree import tree_metrics, write_tree
from topicflow.tasks.runs.changes import changes_since
from topicflow.tasks.runs.records import RunId, RunRecord, write_json
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import EDIT
from topicflow.tasks.updates.overview import group_names, lasting, read_batches, sized_topics
from topicflow.tasks.updates.topic_state import TopicState, batch_stages, save_state
from topicflow.tasks.updates.update_steps import edits_artifact


@dataclass(frozen=True)
class Outcome:
    """The result of an update: the new state, the drift, why topics were refitted, and the run before."""

    state: TopicState
    drift: Mapping[str, Any] | None
    reason: str
    """Empty if new documents were assigned to the topics of the last fit."""
    previous: str | None
    """The id of the run that the update continues; None for the first run."""

    @property
    def topics(self) -> ArtifactRef:
        """The topics of the state's fit."""
        return ArtifactRef("topics", self.state.fit.topics, "label", rows=len(self.state.ids))


@stage("publish")
def publish_update(
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    stages: Mapping[str, ArtifactRef],
    outcome: Outcome,
    run: RunId,
) -> RunRecord:
    """Return the run's record after writing its folder; `latest` moves if the run passed its gates.

    Notes
    -----
    A kill does no harm at any moment: the state is an artifact like others, the folder appears in one step, and the
    next run finds and continues a run that died before `latest` moved.
    """
    state = outcome.state
    kept = save_state(store, state)
    labels = read_batches(store, state.batches, "cluster", "labels")
    record = _record(store, config, {**stages, "state": kept}, outcome, run, labels)
    record["n_documents"], record["n_topics"] = len(labels), len(state.ids)
    record["updates"] = history(state, lasting(labels, np.asarray(state.ids, np.int32)))
    with write_run_folder(config, run, record) as folder:
        _write_tables(folder, store, config, outcome, labels)
        write_slices(folder, store, stages, ids=np.asarray(state.ids, np.int32))
        write_metrics(folder, record)
        write_edits(folder, record)
        _write_model(folder / "model", store, config, outcome, labels)
        record |= changes_since(Path(config.runtime.runs), record, folder, lasting=True)
        write_report(folder, store, stages["overview"], record)
    show_topics(record, config, run)
    return record


def update_numbers(state: TopicState) -> NDArray[np.int32]:
    """Return the number of the update (n_docs,) that added each document; documents are in that order."""
    sizes = [update.n_new for update in state.updates]
    return np.repeat(np.array([update.number for update in state.updates], np.int32), sizes)


def all_documents(store: ArtifactStore, config: UpdateTopicsConfig, state: TopicState) -> pl.LazyFrame:
    """Return one row a document, as in a topic model's run, with lasting topic ids and the number of its update.

    The table is lazy: writing it streams, batch by batch. A column is null in the batches that do not have it.
    """
    ids, numbers, start, tables = np.asarray(state.ids, np.int32), update_numbers(state), 0, []
    fitted = [(number, state.names[lasting_id].name) for number, lasting_id in enumerate(state.ids)]
    names = pl.DataFrame(fitted, schema={"topic": pl.Int32, "name": pl.String}, orient="row")
    for batch in state.batches:
        table = documents_table(store, batch_stages(batch), config.load, names)
        n_documents = int(store.manifest("documents", batch.documents)["rows"])
        came = pl.Series("update", numbers[start : start + n_documents])
        tables.append(lasting_topics_of(table, ids).with_columns(came))
        start += n_documents
    return pl.concat(tables, how="diagonal_relaxed")


def _write_tables(
    folder: Path,
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    outcome: Outcome,
    labels: NDArray[np.int32],
) -> None:
    state = outcome.state
    all_documents(store, config, state).sink_parquet(folder / "documents.parquet")
    topics = lasting_topics(store, state, outcome.topics, labels)
    topics.write_parquet(folder / "topics.parquet")
    write_csv(flat_topics(topics), folder / "topics.csv")
    if state.tree is not None:
        tree = ArtifactRef("trees", state.tree.key, "tree")
        write_tree(folder, store, tree, topics, state.tree.ids, group_names(state.tree))
    lineages = [
        store.table(ArtifactRef("lineages", key, "match"), "lineage").select(
            pl.lit(number, pl.Int32).alias("update"), pl.all()
        )
        for number, key in state.lineages
    ]
    pl.concat(lineages).collect().write_parquet(folder / "lineage.parquet")
    if outcome.drift is not None:
        write_json(folder / "drift.json", outcome.drift)


def lasting_topics(
    store: ArtifactStore, state: TopicState, topics: ArtifactRef, labels: NDArray[np.int32]
) -> pl.DataFrame:
    """Return one row a topic, largest first, by lasting id and name; `model_topic` is its number in the model."""
    names = [state.names[number] for number in state.ids]
    return (
        sized_topics(store, topics, labels)
        .with_columns(
            pl.col("topic").alias("model_topic"),
            pl.Series("topic", state.ids, pl.Int32),
            pl.Series("name", [name.name for name in names]),
            pl.Series("named_by", ["person" if name.by in {"edit", "given"} else name.by for name in names]),
        )
        .drop("representative_rows", "centroid")
        .sort("size", "topic", descending=[True, False])
    )


def _write_model(
    folder: Path,
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    outcome: Outcome,
    labels: NDArray[np.int32],
) -> None:
    """Write the fit's BERTopic model with all documents; its topics have the fit's numbers and our names."""
    state = outcome.state
    shutil.copytree(store.whole(outcome.topics, "model"), folder)
    path = folder / "topics.json"
    model = json.loads(path.read_bytes())
    numbers, sizes = np.unique(labels, return_counts=True)
    model["topics"] = labels.tolist()
    model["topic_sizes"] = dict(zip(map(str, numbers.tolist()), sizes.tolist(), strict=True))
    noise = model["custom_labels"][: model["_outliers"]]
    model["custom_labels"] = noise + [state.names[number].name for number in state.ids]
    path.write_text(json.dumps(model, separators=(",", ":")), encoding="utf-8")
    name_encoder(folder, config.embed, config.runtime.device)


def _record(
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    stages: Mapping[str, ArtifactRef],
    outcome: Outcome,
    run: RunId,
    labels: NDArray[np.int32],
) -> RunRecord:
    last, metrics = outcome.state.updates[-1], store.json(stages["overview"], "metrics")
    metrics |= tree_metrics(store, stages)
    described = describe_run(store, without_path(config), stages, run)
    graph = store.meta(stages["neighbors"]) if "neighbors" in stages else {}
    chosen = size_record(store, ArtifactRef("labels", outcome.state.fit.labels, "cluster"))
    if chosen:
        metrics["min_cluster_size"] = chosen["size_choice"]["min_cluster_size"]
    choice = chosen.get("size_choice") if last.refit else None  # an update keeps it: nothing new to say
    edits = edit_record_of_series(store, outcome.state)
    given = given_record_of_series(store, outcome.state, labels)
    of_given = given_figures_of_series(store, stages, given, len(labels))
    return {
        **described,
        **chosen,
        **edits,
        **given,
        "metrics": described["metrics"] | metrics | edit_figures(edits) | of_given,
        "remarks": described["remarks"]
        + given_remarks(given, of_given)
        + edit_remarks(edits)
        + remarks(without_advice(metrics, edits), config.cluster, graph.get("copies"), choice)
        + (naming_remarks(store.meta(stages["name"])) if "name" in stages else []),
        "update": {
            "number": last.number,
            "state": stages["state"].key,
            "previous": outcome.previous,
            "n_new": last.n_new,
            "n_late": last.n_late,
            "watermark": outcome.state.watermark,
            "until": config.new_documents.until,
            "refit": last.refit,
            "reason": outcome.reason,
        },
        "drift": outcome.drift,
        "lineage": store.meta(stages["match"]) if "match" in stages else None,
    }


def edit_record_of_series(store: ArtifactStore, state: TopicState) -> dict[str, Any]:
    """Return what became of each edit of the state's fit; empty without edits."""
    return edit_record(store, {EDIT: edits_artifact(state.fit)} if state.fit.edits else {})


def history(state: TopicState, topics: NDArray[np.int32]) -> dict[str, Any]:
    """Return what the report shows of all updates: how many documents of each update every topic has today.

    Parameters
    ----------
    state : TopicState
        All updates, with the names of topics.
    topics : ndarray of shape (n_docs,), int32
        Lasting topic id of each document, -1 for none, in the order of the updates.
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
"""Number of topics in the chart of the updates, as in the chart over time."""
