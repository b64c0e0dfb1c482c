"""Update topics: assign new documents to the topics of the last run; refit if they drift; topics keep their ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.flows.planning.update_plan import has_other_slices
from topicflow.flows.running.adopted_run import adopted
from topicflow.flows.running.current import current_id
from topicflow.flows.running.edit_stages import finished_fit, with_other_edits
from topicflow.flows.running.frame import recorded
from topicflow.flows.running.slice_stages import check_groups, sliced
from topicflow.flows.running.stages import Stages, at_work
from topicflow.tasks.edits.edits_file import Edit
from topicflow.tasks.edits.names_file import read_names
from topicflow.tasks.edits.wanted import digest_of, edits_of
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.given.fitted_topics import has_fitted
from topicflow.tasks.given.given import Findable, given
from topicflow.tasks.log import LOG
from topicflow.tasks.naming.name import name
from topicflow.tasks.publish.gate import gate
from topicflow.tasks.publish.update import Outcome, publish_update
from topicflow.tasks.requirements.sizes import check_size
from topicflow.tasks.runs.records import RunRecord, point_latest
from topicflow.tasks.store.artifact_store import ArtifactRef, open_store
from topicflow.tasks.topics.cluster import cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.recipes import map_reduce
from topicflow.tasks.topics.reduce import draw, reduce
from topicflow.tasks.tree.tree import tree
from topicflow.tasks.updates.adoptable import Adoptable, adoptable_run
from topicflow.tasks.updates.assign import assign
from topicflow.tasks.updates.drift import drift
from topicflow.tasks.updates.match_tree import match_tree
from topicflow.tasks.updates.merge_batches import merge_batches
from topicflow.tasks.updates.new_documents import arrived_documents, new_documents
from topicflow.tasks.updates.overview import overview
from topicflow.tasks.updates.recipes import fit_settings
from topicflow.tasks.updates.topic_state import Batch, Fit, TopicState, documents_of, last_published
from topicflow.tasks.updates.update_steps import (
    extended,
    fitted,
    grouped,
    refitted,
    to_be_named,
    unchanged_documents,
    why_refit,
    with_model_names,
    with_tree,
)


@dataclass(frozen=True)
class Before:
    """What an update continues: the last published run, its state of the topics; and a person's names and edits.

    The first update after `topicflow run` continues that run, which has no state before it is adopted.
    """

    record: RunRecord | None
    state: TopicState | None
    names: Mapping[int, str]
    edits: Sequence[Edit] = ()
    run: Adoptable | None = None

    @classmethod
    def of(cls, config: UpdateTopicsConfig) -> Before:
        """Return what the next update of a config continues; only names and edits before the first run."""
        runs, store = Path(config.runtime.runs), open_store(config.runtime)
        names, edits = read_names(runs / config.name), edits_of(config)
        if (last := last_published(store, runs, config.name)) is not None:
            return cls(*last, names, edits)
        run = adoptable_run(store, runs, config.name)
        return cls(None if run is None else run.record, None, names, edits, run)

    def adopted(self, stages: Stages, config: UpdateTopicsConfig) -> Before:
        """Return the same with the state of the run of a topic model, if the update continues one."""
        if self.run is None:
            return self
        return replace(self, state=adopted(stages, config, self.run, self.names))


@recorded
def update_topics(config: UpdateTopicsConfig) -> RunRecord:
    """Return the record of a run that adds the new documents to those of the last published run.

    Parameters
    ----------
    config : UpdateTopicsConfig
        What to read, how to model it, when to refit, what a run must reach to be published.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    before = Before.of(config)
    try:
        return _update(config, before)
    except DamagedError as error:
        raise _after(config, before, error) from None


def _after(config: UpdateTopicsConfig, before: Before, error: DamagedError) -> DamagedError:
    """Return the error, and from which run the same command continues: it makes no artifact of an earlier update again.

    Raises
    ------
    PipelineError
        If no earlier run of the chain has a complete state; the message says so.
    """
    following = Before.of(config).record
    if following is None or before.record is None or following["run_id"] == before.record["run_id"]:
        return error
    again = f"run the same command again to continue from {following['run_id']}, or restore the artifact"
    return error.mended_by(again)


def _update(config: UpdateTopicsConfig, before: Before) -> RunRecord:
    """Return the record of a run that continues the last published one."""
    last = before.record
    with at_work(config) as stages:
        before = before.adopted(stages, config)
        arrivals = stages.run(
            new_documents, state=before.state, loading=config.load, config=config.new_documents
        )
        if arrivals.rows or last is None:
            outcome = _assign_or_fit(stages, config, before, arrivals)
        elif (changed := _shaped(stages, config, before)) is not None:
            outcome = Outcome(changed, None, "", str(last["run_id"]))
        else:
            return nothing_new(stages, config, last, arrivals)
        state = _named(stages, config, _grown(stages, config, before.state, outcome.state))
        state, slices = sliced(stages, config, state)
        outcome = replace(outcome, state=state)
        page = stages.run(
            overview, config=config, batches=state.batches, topics=outcome.topics, ids=state.ids,
            names=state.names, tree=state.tree, slices=slices,
        )  # fmt: skip
        measured = last["metrics"] if last else None
        stages.run(gate, measured=page, before=measured, config=config.gates)

    return stages.publish(publish_update, config, outcome)


def nothing_new(
    stages: Stages, config: UpdateTopicsConfig, last: RunRecord, arrivals: ArtifactRef
) -> RunRecord:
    """Return the last run's record with the state `unchanged`: nothing was new, and no folder is written."""
    found = stages.context.store.meta(arrivals)
    # a run that was killed may have left `latest` at an older run
    point_latest(Path(config.runtime.runs) / config.name, last["run_id"])
    reasons = ("known", "late", "early", "later", "empty")
    left = {name: found[f"n_{name}"] for name in reasons if found[f"n_{name}"]}
    counts = ", ".join(f"{n:,} {name}" for name, n in left.items()) or "none at all"
    LOG.info("no new documents (%s); %s stays the latest run", counts, last["run_id"])
    run_id = current_id().run_id
    return {**last, "run_id": run_id, "state": "unchanged", "latest": last["run_id"], "source": found}


def _shaped(stages: Stages, config: UpdateTopicsConfig, before: Before) -> TopicState | None:
    """Return the state of the same documents with the edits, names and slices of today; None if they are as before."""
    assert before.state is not None
    assert before.record is not None
    state = _with_edits(stages, config, before, before.state)
    named = unchanged_documents(stages.context.store, state, before.names)
    same = state is before.state and named.names == before.state.names
    return None if same and not has_other_slices(config, before.record) else named


def _with_edits(stages: Stages, config: UpdateTopicsConfig, before: Before, state: TopicState) -> TopicState:
    """Return the state with the edits of today on the topics of its fit; the state itself if it has them."""
    if digest_of(before.edits) == state.fit.edits or fit_settings(config) != state.fit.settings:
        return state
    return with_other_edits(stages, config, state, before.edits, before.names)


def _assign_or_fit(
    stages: Stages, config: UpdateTopicsConfig, before: Before, arrivals: ArtifactRef
) -> Outcome:
    """Return the state with the new documents, assigned to the topics of the last fit or part of a new fit."""
    store = stages.context.store
    previous = None if before.record is None else str(before.record["run_id"])
    documents = arrived_documents(store, arrivals)
    check_groups(stages, config, before.state, documents)
    if before.state is None:
        check_size(config.cluster, documents.rows)
    vectors = stages.run(embed, documents=documents, config=config.embed)
    if before.state is None:
        state = _fit(stages, config, before, arrivals, documents, vectors)
        return Outcome(state, None, "first run", previous)
    reason, found, assigned = why_refit(store, before.state, vectors, fit_settings(config)), None, None
    if not reason.startswith("the encoder"):
        last = _with_edits(stages, config, before, before.state)
        assigned = stages.run(assign, embeddings=vectors, fit=last.fit)
        counts = stages.run(count, documents=documents, config=config.count)
        drifted = stages.run(drift, state=last, labels=assigned, counts=counts, config=config.drift)
        found = store.meta(drifted)
        reason = reason or ("; ".join(found["over"]) or "refit_after" if found["refit"] else "")
    if assigned is not None and not reason:
        batch = Batch(documents.key, vectors.key, assigned.key, assigned.key)
        state = extended(store, last, batch, arrivals, drifted, before.names)
        return Outcome(state, found, "", previous)
    LOG.info("topics are refitted: %s", reason)
    everything = stages.run(merge_batches, batches=[*map(documents_of, before.state.batches), documents])
    vectors = stages.run_as("embed_all", embed, documents=everything, config=config.embed)
    return Outcome(_fit(stages, config, before, arrivals, everything, vectors), found, reason, previous)


def _named(stages: Stages, config: UpdateTopicsConfig, state: TopicState) -> TopicState:
    """Return the state with names by a language model for topics and groups without one, if there is [names]."""
    wanted = to_be_named(state)
    if config.names is None or wanted.is_nothing:
        return state
    named = stages.run(name, fitted(state), config=config.names, encoding=config.embed, wanted=wanted)
    return with_model_names(stages.context.store, state, named)


def _grown(
    stages: Stages, config: UpdateTopicsConfig, before: TopicState | None, state: TopicState
) -> TopicState:
    """Return the state with the tree of its fit, whose groups keep their ids, if the config has [tree]."""
    if config.tree is None:
        return replace(state, tree=None)
    grown = stages.run(tree, grouped(state), config=config.tree, labelling=config.label)
    if state.tree is not None and state.tree.key == grown.key:
        return state
    labels = grouped(state).labels
    ids = stages.run(match_tree, state=before, labels=labels, tree=grown, config=config.match)
    return with_tree(stages.context.store, state, grown, ids)


def _fit(
    stages: Stages,
    config: UpdateTopicsConfig,
    before: Before,
    arrivals: ArtifactRef,
    documents: ArtifactRef,
    vectors: ArtifactRef,
) -> TopicState:
    """Return the state of topics fitted on all documents, matched to the topics before."""
    check_size(config.cluster, documents.rows)
    graph = stages.run(neighbors, embeddings=vectors, config=config.neighbors)
    reduced = stages.run(reduce, embeddings=vectors, neighbors=graph, config=config.reduce)
    layout = stages.run(draw, embeddings=vectors, neighbors=graph, config=map_reduce(config.map))
    labels = stages.run(cluster, embeddings=vectors, neighbors=graph, reduced=reduced, config=config.cluster)
    clusters = ""
    if isinstance(config.topics, ZeroShotTopics):
        findable, found = Findable(documents, vectors, labels), labels
        labels = stages.run(
            given, findable, config=config.topics, clustering=config.cluster, encoding=config.embed
        )
        clusters = found.key if has_fitted(stages.context.store, labels) else ""
    counts = stages.run(count, documents=documents, config=config.count)
    clustered = Clustered(documents, vectors, labels, counts)
    topics = stages.run(label, clustered, config=config.label, counting=config.count, encoding=config.embed)
    plain = Fit(
        embeddings=vectors.key, neighbors=graph.key, labels=labels.key, layout=layout.key, counts=counts.key,
        topics=topics.key, cells="", settings=fit_settings(config), clusters=clusters,
    )  # fmt: skip
    fit, lineage = finished_fit(stages, config, before.state, plain, documents, before.edits)
    batch = Batch(documents.key, vectors.key, fit.labels, layout.key)
    store = stages.context.store
    return refitted(store, before.state, fit, batch, arrivals, lineage, before.names)
