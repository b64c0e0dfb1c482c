"""Update topics: tell new documents to the topics there are, fit anew where they drift, and keep the topics' ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.running.current import current_id
from topicflow.flows.running.frame import at_work, finished, recorded_flow
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.log import LOG
from topicflow.tasks.naming.name import name
from topicflow.tasks.publish.gate import gate
from topicflow.tasks.publish.update import Made, publish_update
from topicflow.tasks.runs.records import RunId, RunRecord, point_latest
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, open_store
from topicflow.tasks.topics.cluster import check_size, cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.label import label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.recipes import map_reduce
from topicflow.tasks.topics.reduce import reduce
from topicflow.tasks.updates.assign import assign, cells
from topicflow.tasks.updates.drift import drift
from topicflow.tasks.updates.match_topics import match
from topicflow.tasks.updates.merge_batches import gather
from topicflow.tasks.updates.new_documents import arrive, new_documents
from topicflow.tasks.updates.overview import overview
from topicflow.tasks.updates.topic_names import read_names
from topicflow.tasks.updates.topic_state import Batch, Fit, TopicState, documents_of, last_published
from topicflow.tasks.updates.update_steps import (
    extended,
    fit_settings,
    fitted,
    refitted,
    to_be_named,
    why_refit,
    with_model_names,
)

Stages = dict[str, ArtifactRef]


@recorded_flow
def update_topics(config: UpdateTopicsConfig) -> RunRecord:
    """Return the record of a run that extends the last published one by the documents that are new.

    Parameters
    ----------
    config : UpdateTopicsConfig
        What to read, how to model it, when to fit anew, what a run must reach to be published.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    run, runs = current_id(), Path(config.runtime.runs)
    store, given = open_store(config.runtime), read_names(runs / config.name)
    last = last_published(store, runs, config.name)
    before = last[1] if last else None
    read = arrive.with_options(retries=config.runtime.retries)

    with at_work(config) as runtime:
        arrivals = finished("load", read.submit(store, before, config.load, config.arrive, runtime))
        if not arrivals.rows and last:
            return nothing_new(store, config, last[0], arrivals, run)
        documents = new_documents(store, arrivals)
        made: Stages = {"load": arrivals}
        state, drifted, reason = _tell(store, config, before, documents, made, given, runtime)
        state = _named(store, config, state, made, runtime)
        topics = ArtifactRef("topics", state.fit.topics, "label", rows=len(state.ids))
        page = overview.submit(store, config, state.batches, topics, state.ids, state.names)
        made["overview"] = finished("overview", page)
        measured = last[0]["metrics"] if last else None
        made["gate"] = finished("gate", gate.submit(store, made["overview"], measured, config.gates))

    previous = str(last[0]["run_id"]) if last else None
    return publish_update.submit(
        store, config, state, Made(made, topics, drifted, reason, previous), run
    ).result()


def nothing_new(
    store: ArtifactStore, config: UpdateTopicsConfig, last: RunRecord, arrivals: ArtifactRef, run: RunId
) -> RunRecord:
    """Return the last run's record, marked: there was nothing to do, and no folder is written."""
    told = store.meta(arrivals)
    point_latest(
        Path(config.runtime.runs) / config.name, last["run_id"]
    )  # a killed run may have left it behind
    left = {
        name: told[f"n_{name}"] for name in ("known", "late", "early", "later", "empty") if told[f"n_{name}"]
    }
    counts = ", ".join(f"{n:,} {name}" for name, n in left.items()) or "none at all"
    LOG.info("no new documents (%s); %s stays the latest run", counts, last["run_id"])
    return {**last, "run_id": run.run_id, "state": "unchanged", "latest": last["run_id"], "source": told}


def _tell(
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    before: TopicState | None,
    documents: ArtifactRef,
    made: Stages,
    given: Mapping[int, str],
    runtime: RuntimeConfig,
) -> tuple[TopicState, dict[str, Any] | None, str]:
    """Return the state with the new documents in it, the drift, and why topics were fitted anew, or an empty text."""
    vectors = made["embed"] = finished("embed", embed.submit(store, documents, config.embed, runtime))
    arrivals = made["load"]
    if before is None:
        return _fit(store, config, None, documents, vectors, made, given, runtime), None, "first run"
    reason, told, assigned = why_refit(store, before, vectors, fit_settings(config)), None, None
    if not reason.startswith("the encoder"):
        assigned = made["assign"] = finished("assign", assign.submit(store, vectors, before.fit, runtime))
        counts = made["count"] = finished("count", count.submit(store, documents, config.count, runtime))
        seen = drift.submit(store, before, assigned, counts, config.drift)
        made["drift"] = finished("drift", seen)
        told = store.meta(made["drift"])
        reason = reason or ("; ".join(told["over"]) or "refit_after" if told["refit"] else "")
    if assigned is not None and not reason:
        batch = Batch(documents.key, vectors.key, assigned.key, assigned.key)
        return extended(store, before, batch, arrivals, made["drift"], given), told, ""
    LOG.info("topics are fitted anew: %s", reason)
    parts = [*map(documents_of, before.batches), documents]
    everything = made["gather"] = finished("gather", gather.submit(store, parts))
    vectors = made["embed_all"] = finished(
        "embed_all", embed.submit(store, everything, config.embed, runtime)
    )
    return _fit(store, config, before, everything, vectors, made, given, runtime), told, reason


def _named(
    store: ArtifactStore, config: UpdateTopicsConfig, state: TopicState, made: Stages, runtime: RuntimeConfig
) -> TopicState:
    """Return the state with names by a language model for topics that have none, if the config has [names]."""
    wanted = to_be_named(state)
    if config.names is None or not wanted.topics:
        return state
    asked = name.submit(store, fitted(state), config.names, config.embed, runtime, wanted)
    made["name"] = finished("name", asked)
    return with_model_names(store, state, made["name"])


def _fit(
    store: ArtifactStore,
    config: UpdateTopicsConfig,
    before: TopicState | None,
    documents: ArtifactRef,
    vectors: ArtifactRef,
    made: Stages,
    given: Mapping[int, str],
    runtime: RuntimeConfig,
) -> TopicState:
    """Return the state of topics fitted on all documents, matched to those before."""
    seed, draw = config.seed, reduce.with_options(name="map")
    check_size(config.cluster, documents.rows)
    graph = finished("neighbors", neighbors.submit(store, vectors, config.neighbors, seed, runtime))
    reduced = finished("reduce", reduce.submit(store, vectors, graph, config.reduce, seed, runtime))
    layout = finished("map", draw.submit(store, vectors, graph, map_reduce(config.map), seed, runtime))
    labels = finished(
        "cluster", cluster.submit(store, vectors, graph, reduced, config.cluster, seed, runtime)
    )
    counts = finished("count", count.submit(store, documents, config.count, runtime))
    modelled = (documents, vectors, labels, counts)
    topics = finished(
        "label", label.submit(store, *modelled, config.label, config.count, config.embed, runtime)
    )
    index = finished("cells", cells.submit(store, vectors, graph, labels, topics, seed, runtime))
    lineage = finished("match", match.submit(store, before, labels, topics, config.match))
    fit = Fit(
        embeddings=vectors.key, neighbors=graph.key, labels=labels.key, layout=layout.key, counts=counts.key,
        topics=topics.key, cells=index.key, settings=fit_settings(config),
    )  # fmt: skip
    made |= {
        "neighbors": graph, "reduce": reduced, "map": layout, "cluster": labels, "count": counts, "label": topics,
        "cells": index, "match": lineage,
    }  # fmt: skip
    batch = Batch(documents.key, vectors.key, labels.key, layout.key)
    return refitted(store, before, fit, batch, made["load"], lineage, given)
