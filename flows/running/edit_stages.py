"""Edit stages: apply a person's edits to topics and describe the edited ones; no stage runs without edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from topicflow.configs.flows.topic_sections import TopicSections
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.running.stages import Stages
from topicflow.tasks.documents.document_rows import rows_of
from topicflow.tasks.edits.edit import Editable, edit
from topicflow.tasks.edits.edits_file import Edit
from topicflow.tasks.edits.move import move, moves_of
from topicflow.tasks.edits.rename import rename
from topicflow.tasks.edits.wanted import digest_of, foreign_edits, without_renames
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.final import LABEL_EDITED
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.updates.assign import assign, cells
from topicflow.tasks.updates.drift import drift
from topicflow.tasks.updates.match_topics import match
from topicflow.tasks.updates.topic_state import Batch, Fit, TopicState, documents_of, sized
from topicflow.tasks.updates.update_steps import all_names, changes_names_only


@dataclass(frozen=True)
class Edited:
    """The labels and the topics after a person's edits, and the topics' table with the names of renames, if any."""

    labels: ArtifactRef
    topics: ArtifactRef
    renamed: ArtifactRef | None = None


def edited(
    stages: Stages,
    config: TopicSections,
    clustered: Clustered,
    topics: ArtifactRef,
    edits: Sequence[Edit],
    later: Sequence[str] = (),
) -> Edited:
    """Return the labels and the topics that all later stages take: those of `cluster` and `label`, or the edited ones.

    Only other edits than renames change them.

    Parameters
    ----------
    stages : Stages
        The run's stages.
    config : TopicSections
        The config.
    clustered : Clustered
        What the topics were made from.
    topics : ArtifactRef
        The topics before any edit.
    edits : sequence of Edit
        The edits of the run.
    later : sequence of str
        Moved documents that came after the fit of an update.
    """
    if foreign := foreign_edits(config):
        series = ", ".join(sorted({str(each.series) for each in foreign}))
        LOG.info("edits: %s in the file for another series (%s), not applied", f"{len(foreign):,}", series)
    editable = Editable(clustered.documents, clustered.embeddings, clustered.labels, topics)
    labels, shaping = clustered.labels, without_renames(edits)
    if shaping:
        labels = stages.run(edit, editable, edits=shaping, later=later)
        again = replace(clustered, labels=labels)
        topics = stages.run_as(
            LABEL_EDITED, label, again, config=config.label, counting=config.count, encoding=config.embed
        )
    if len(shaping) == len(edits):
        return Edited(labels, topics)
    return Edited(labels, topics, stages.run(rename, editable, topics, edits=edits, later=later))


def finished_fit(
    stages: Stages,
    config: UpdateTopicsConfig,
    state: TopicState | None,
    fit: Fit,
    documents: ArtifactRef,
    edits: Sequence[Edit],
    later: Sequence[str] = (),
) -> tuple[Fit, ArtifactRef]:
    """Return a fit with the edits on its topics and the cells for new documents, and the lineage of its topics.

    Parameters
    ----------
    stages, config
        The run's stages and its config.
    state : TopicState or None
        The last state, to whose topics the fit's are matched.
    fit : Fit
        A fit whose labels and topics have no edits yet; its cells are not read.
    documents : ArtifactRef
        The documents of the fit.
    edits : sequence of Edit
        The edits of the run.
    later : sequence of str
        Moved documents that came after the fit.
    """
    store = stages.context.store
    vectors, graph = _ref(store, "embeddings", fit.embeddings), _ref(store, "neighbors", fit.neighbors)
    clustered = Clustered(
        documents, vectors, _ref(store, "labels", fit.labels), _ref(store, "counts", fit.counts)
    )
    found = edited(stages, config, clustered, _ref(store, "topics", fit.topics), edits, later)
    labels, topics, is_shaped = found.labels, found.topics, bool(without_renames(edits))
    index = stages.run(cells, embeddings=vectors, neighbors=graph, labels=labels, topics=topics)
    had_edits = state is not None and state.fit.unedited and state.fit.without_edits()[0] == clustered.labels
    unedited = clustered.labels if is_shaped or had_edits else None
    lineage = stages.run(
        match, state=state, labels=labels, topics=topics, config=config.match, unedited=unedited
    )
    ids = store.json(lineage, "matching").get("unedited_ids", ())
    made = replace(
        fit, labels=labels.key, topics=topics.key, cells=index.key, edits=digest_of(edits),
        unedited=(fit.labels, fit.topics) if is_shaped else (), unedited_ids=tuple(ids) if is_shaped else (),
        renamed=found.renamed.key if found.renamed else "",
    )  # fmt: skip
    return made, lineage


def with_other_edits(
    stages: Stages,
    config: UpdateTopicsConfig,
    state: TopicState,
    edits: Sequence[Edit],
    names: Mapping[int, str],
) -> TopicState:
    """Return the state with other edits on the topics of its fit; documents since the fit are assigned again.

    Nothing is fitted: the edits are applied to the fit's topics without edits. Other names change no document.
    """
    if changes_names_only(stages.context.store, state.fit, edits):
        return _with_other_names(stages, state, edits, names)
    store, (labels, topics) = stages.context.store, state.fit.without_edits()
    base = replace(state.fit, labels=labels.key, topics=topics.key)
    first, *rest = state.batches
    later = moved_later(store, rest, edits)
    fit, lineage = finished_fit(stages, config, state, base, documents_of(first), edits, later)
    moves = moves_of(store, _ref(store, "labels", fit.labels)) if later else {}
    batches, drifted = [replace(first, labels=fit.labels)], None
    place = len(state.updates) - state.n_since_fit - 1
    for batch in rest:
        vectors, documents = (
            _ref(store, "embeddings", batch.embeddings),
            _ref(store, "documents", batch.documents),
        )
        assigned = stages.run_as("assign_again", assign, embeddings=vectors, fit=fit)
        if rows_of(store, documents, list(moves)):
            assigned = stages.run(move, labels=assigned, documents=documents, moves=moves)
        counts = stages.run_as("count_again", count, documents=documents, config=config.count)
        then = replace(state, fit=fit, updates=state.updates[: place + len(batches)], drift=drifted)
        drifted = stages.run_as(
            "drift_again", drift, state=then, labels=assigned, counts=counts, config=config.drift
        ).key
        batches.append(Batch(batch.documents, batch.embeddings, assigned.key, assigned.key))
    traced = store.json(lineage, "matching")
    changed = replace(
        state, fit=fit, batches=tuple(batches), ids=tuple(traced["ids"]), next_id=traced["next_id"], drift=drifted,
        lineages=(*state.lineages, (state.number + 1, lineage.key)),
    )  # fmt: skip
    return replace(changed, names=all_names(store, changed, names))


def _with_other_names(
    stages: Stages, state: TopicState, edits: Sequence[Edit], names: Mapping[int, str]
) -> TopicState:
    """Return the state with other renames; every other edit is the same."""
    store, fit, (first, *rest) = stages.context.store, state.fit, state.batches
    renamed = ""
    if len(without_renames(edits)) < len(edits):
        vectors = _ref(store, "embeddings", fit.embeddings)
        editable = Editable(documents_of(first), vectors, *fit.without_edits())
        topics, later = _ref(store, "topics", fit.topics), moved_later(store, rest, edits)
        renamed = stages.run(rename, editable, topics, edits=edits, later=later).key
    changed = replace(state, fit=replace(fit, edits=digest_of(edits), renamed=renamed))
    return replace(changed, names=all_names(store, changed, names))


def moved_later(store: ArtifactStore, batches: Sequence[Batch], edits: Sequence[Edit]) -> list[str]:
    """Return the documents that edits move and that are in batches after the fit."""
    wanted = [document for each in edits if each.action == "move" for document in each.documents]
    if not wanted:
        return []
    return [document for batch in batches for document in rows_of(store, documents_of(batch), wanted)]


def _ref(store: ArtifactStore, kind: str, key: str) -> ArtifactRef:
    """Return the reference of an artifact with its number of rows."""
    return sized(store, ArtifactRef(kind, key, kind))
