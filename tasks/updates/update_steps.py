"""Update steps: a state and the result of a run -> the next state; and why topics must be refitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from topicflow.tasks.edits.edits_file import Edit
from topicflow.tasks.edits.wanted import digest_of, without_renames
from topicflow.tasks.naming.evidence import Modelled
from topicflow.tasks.naming.wanted import Wanted
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import EDIT, RENAME
from topicflow.tasks.tree.tree import Grouped
from topicflow.tasks.updates.given_topics import names_of_given
from topicflow.tasks.updates.topic_names import GivenNames, name_topics
from topicflow.tasks.updates.topic_state import (
    Batch,
    Fit,
    Name,
    TopicState,
    TreeState,
    Update,
    documents_of,
)


def why_refit(store: ArtifactStore, state: TopicState, vectors: ArtifactRef, settings: str) -> str:
    """Return why new documents cannot be assigned to the current fit, or an empty text if they can."""
    fitted = ArtifactRef("embeddings", state.fit.embeddings, "embed")
    then, now = (store.meta(ref) for ref in (fitted, vectors))
    width = [store.array(ref, "embeddings").shape[1] for ref in (fitted, vectors)]
    same = all(then.get(name) == now.get(name) for name in ("encoder", "adapter"))
    if not same or width[0] != width[1]:
        return "the encoder is another one (or its arithmetic is)"
    return "the config that fits is another one" if settings != state.fit.settings else ""


def extended(
    store: ArtifactStore,
    state: TopicState,
    batch: Batch,
    arrivals: ArtifactRef,
    drifted: ArtifactRef,
    given: Mapping[int, str],
) -> TopicState:
    """Return the state with one more batch, assigned to the current fit."""
    return replace(
        _with_arrivals(store, state, arrivals, refit=False),
        batches=(*state.batches, batch),
        names=all_names(store, state, given),
        drift=drifted.key,
    )


def all_names(store: ArtifactStore, state: TopicState, given: Mapping[int, str]) -> dict[int, Name]:
    """Return the names of all topics so far: those of edits, those of a person's file, earlier ones, and keywords."""
    return name_topics(
        state.ids, keyword_names(store, state.fit), state.names,
        _given_names(store, state.fit, state.ids, given),
    )  # fmt: skip


def changes_names_only(store: ArtifactStore, fit: Fit, edits: Sequence[Edit]) -> bool:
    """Return whether other edits than those of a fit differ from them only by renames.

    A fit of an earlier version has its renames in the artifact of the stage `edit`, which must then be made again.
    """
    before = edits_of_fit(store, fit)
    shaping = without_renames(before)
    is_split = bool(fit.renamed) or len(shaping) == len(before)
    return is_split and digest_of(shaping) == digest_of(without_renames(edits))


def edits_artifact(fit: Fit) -> ArtifactRef:
    """Return the artifact of a fit with edits that says what became of them."""
    return (
        ArtifactRef("renamed", fit.renamed, RENAME)
        if fit.renamed
        else ArtifactRef("labels", fit.labels, EDIT)
    )


def edits_of_fit(store: ArtifactStore, fit: Fit) -> list[Edit]:
    """Return the edits of a fit, in order."""
    if not fit.edits:
        return []
    return [Edit.model_validate(each["asked"]) for each in store.meta(edits_artifact(fit))["edits"]]


def names_of_edits(store: ArtifactStore, fit: Fit, ids: Sequence[int]) -> dict[int, str]:
    """Return the names that edits give the topics of a fit, by lasting id."""
    if not fit.edits:
        return {}
    made = store.meta(edits_artifact(fit))
    return {ids[topic]: made["names"][topic] for topic in made["named_by_person"]}


def _given_names(
    store: ArtifactStore, fit: Fit, ids: Sequence[int], in_file: Mapping[int, str]
) -> GivenNames:
    """Return the names that a person gave topics: in the names file, by edits, and in the config."""
    return GivenNames(in_file, names_of_edits(store, fit, ids), names_of_given(store, fit, ids))


def unchanged_documents(store: ArtifactStore, state: TopicState, given: Mapping[int, str]) -> TopicState:
    """Return the state after an update that brought no documents, but other edits or names."""
    link = Update(state.number + 1, state.watermark, 0, 0, refit=False)
    return replace(state, updates=(*state.updates, link), names=all_names(store, state, given))


def refitted(
    store: ArtifactStore,
    state: TopicState | None,
    fit: Fit,
    batch: Batch,
    arrivals: ArtifactRef,
    lineage: ArtifactRef,
    given: Mapping[int, str],
) -> TopicState:
    """Return the state of a new fit, with one batch of all documents."""
    traced = store.json(lineage, "matching")
    ids = tuple(traced["ids"])
    names = name_topics(
        ids, keyword_names(store, fit), state.names if state else {},
        _given_names(store, fit, ids, given),
    )  # fmt: skip
    before = state or TopicState(fit, (batch,), (), ids, names, traced["next_id"], None, {}, ())
    told = _with_arrivals(store, before, arrivals, refit=True)
    return replace(
        told,
        fit=fit,
        batches=(batch,),
        ids=ids,
        names=names,
        next_id=traced["next_id"],
        lineages=(*before.lineages, (told.number, lineage.key)),
        drift=None,
    )


def to_be_named(state: TopicState) -> Wanted:
    """Return the topics and groups that a language model is asked about: those whose name is made of keywords.

    A topic or group that goes on keeps its name, and so does a topic that a person named.
    """
    names = [state.names[number] for number in state.ids]
    topics = tuple(i for i, name in enumerate(names) if name.by == "keywords")
    taken = {i: name.name for i, name in enumerate(names) if name.by != "keywords"}
    if state.tree is None:
        return Wanted(topics, taken, ())
    named = {
        i: state.tree.names[number] for i, number in enumerate(state.tree.ids) if number in state.tree.names
    }
    groups = tuple(i for i in range(len(state.tree.ids)) if i not in named)
    return Wanted(topics, taken, groups, named)


def fitted(state: TopicState) -> Modelled:
    """Return references to what the state's fit made; its documents are the first batch."""
    fit = state.fit
    return Modelled(
        documents_of(state.batches[0]),
        ArtifactRef("embeddings", fit.embeddings, "embed"),
        ArtifactRef("labels", fit.labels, "cluster"),
        ArtifactRef("topics", fit.topics, "label", rows=len(state.ids)),
        None if state.tree is None else ArtifactRef("trees", state.tree.key, "tree"),
    )


def with_model_names(store: ArtifactStore, state: TopicState, names: ArtifactRef) -> TopicState:
    """Return the state with the names that a language model gave topics and groups."""
    table = store.table(names, "topics").select("topic", "name", "named_by").collect()
    given = {state.ids[topic]: Name(name, "model") for topic, name, by in table.iter_rows() if by == "model"}
    named = replace(state, names=dict(sorted({**state.names, **given}.items())))
    if state.tree is None:
        return named
    groups = store.table(names, "groups").select("group", "name", "named_by").collect()
    ids = state.tree.ids
    called = {ids[group]: name for group, name, by in groups.iter_rows() if by == "model"}
    return replace(named, tree=replace(state.tree, names={**state.tree.names, **called}))


def grouped(state: TopicState) -> Grouped:
    """Return references to the artifacts from which the tree of the state's fit is made."""
    fit = state.fit
    return Grouped(
        ArtifactRef("embeddings", fit.embeddings, "embed"),
        ArtifactRef("neighbors", fit.neighbors, "neighbors"),
        ArtifactRef("labels", fit.labels, "cluster"),
        ArtifactRef("counts", fit.counts, "count"),
        ArtifactRef("topics", fit.topics, "label", rows=len(state.ids)),
    )


def with_tree(store: ArtifactStore, state: TopicState, tree: ArtifactRef, ids: ArtifactRef) -> TopicState:
    """Return the state with a tree whose groups have lasting ids; a group that goes on keeps a model's name."""
    found = store.json(ids, "matching")
    before = {} if state.tree is None else state.tree.names
    names = {number: before[number] for number in found["ids"] if number in before}
    return replace(state, tree=TreeState(tree.key, tuple(found["ids"]), found["next_id"], names))


def keyword_names(store: ArtifactStore, fit: Fit) -> list[str]:
    """Return the names that a fit made from its topics' keywords, in the order of its numbers."""
    topics = store.table(ArtifactRef("topics", fit.topics, "label"), "topics").sort("topic")
    names: list[str] = topics.select("name").collect()["name"].to_list()
    return names


def _with_arrivals(
    store: ArtifactStore, state: TopicState, arrivals: ArtifactRef, *, refit: bool
) -> TopicState:
    told = store.meta(arrivals)
    number = state.number + 1 if state.updates else 1
    link = Update(number, told["watermark"], told["n_new"], told["n_late"], refit)
    return replace(
        state,
        arrivals=(*state.arrivals, arrivals.key),
        watermark=told["watermark"],
        schema=told["schema"],
        updates=(*state.updates, link),
    )
