"""Plan of an update: its config, its store and the last run -> what the next update would compute, and for what.

Which documents are new is known only after the input was read, and whether topics drift only after that. The plan says
whether a stage computes something for new documents or for all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.read import dump_config
from topicflow.configs.sections.shaping import ZeroShotTopics
from topicflow.flows.planning.adoption import adopting
from topicflow.flows.planning.stages import stages_of_edits
from topicflow.flows.planning.steps import Step, embed_recipe, step_of, with_cost
from topicflow.tasks.documents.sources import fingerprint
from topicflow.tasks.edits.wanted import digest_of, edits_of, without_renames
from topicflow.tasks.runs.history import RunRecord
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, open_store
from topicflow.tasks.store.recipe_parts import fields_of
from topicflow.tasks.topics.final import EDIT, GIVEN, LABEL_EDITED, RENAME
from topicflow.tasks.updates import recipes

if TYPE_CHECKING:
    from topicflow.tasks.edits.edits_file import Edit
    from topicflow.tasks.updates.topic_state import TopicState

SLICES = ("periods", "groups", "shares")
"""Sections whose tables an update writes over all documents."""

NEW = "new documents only"
DRIFT = "all documents since the fit; if they drift, the topics are fitted again"
KEPT_VECTORS = "all documents; the vectors of earlier ones are kept"
AGAIN = "all documents since the fit: the edits are others"


def has_other_slices(config: UpdateTopicsConfig, last: RunRecord) -> bool:
    """Return whether the config of the last run had other sections `periods`, `groups` or `shares`."""
    before, now = (tomllib.loads(text) for text in (last["config"], dump_config(config)))
    return any(before.get(section) != now.get(section) for section in SLICES)


def plan_update(config: UpdateTopicsConfig) -> list[Step]:
    """Return the steps of the next update in order; only the first one if it would find nothing to do.

    Parameters
    ----------
    config : UpdateTopicsConfig
        The resolved config; `runtime.store` and `runtime.runs` are the folders to read.

    Raises
    ------
    PipelineError
        If an input file, the encoder or the state of the last run cannot be found.
    """
    from topicflow.tasks.updates.adoptable import adoptable_run
    from topicflow.tasks.updates.topic_state import last_published

    store, runs = open_store(config.runtime), Path(config.runtime.runs)
    if (last := last_published(store, runs, config.name)) is not None:
        return _after(config, store, *last)
    if (run := adoptable_run(store, runs, config.name)) is None:
        return [_load(config, store, None), *_fitting(config, "first run")]
    steps, state = adopting(store, config, run)
    return [*steps, *_after(config, store, run.record, state)]


def _after(
    config: UpdateTopicsConfig, store: ArtifactStore, last: RunRecord, state: TopicState
) -> list[Step]:
    """Return the steps of an update after the last run, whose record and state are given."""
    load, edits = _load(config, store, state), edits_of(config)
    changed, renamed = _other_edits(store, state, edits)
    if load.found is not None and not load.found.rows:
        if not changed and not renamed and not has_other_slices(config, last):
            return [load]
        return [
            load,
            *renamed,
            *_edited(state, changed=changed),
            *_shown(config, store, state, changed=changed),
        ]
    embed = _embed(config, store, load.found)
    rest = [Step("assign", None, NEW), Step("count", None, NEW), Step("drift", None, DRIFT)]
    if recipes.fit_settings(config) != state.fit.settings:
        merged = [Step("merge_batches", None, "all documents"), Step("embed_all", None, KEPT_VECTORS)]
        fitted = _fitting(config, "all documents: the config that fits is another one")[1:]
        return [load, *embed, *rest, *merged, *fitted]
    shown = _shown(config, store, state, changed=changed)
    return [load, *embed, *renamed, *_edited(state, changed=changed), *rest, *shown]


def _other_edits(store: ArtifactStore, state: TopicState, edits: Sequence[Edit]) -> tuple[bool, list[Step]]:
    """Return whether edits change topics of documents since the last run, and the step of names that they change."""
    from topicflow.tasks.updates.update_steps import changes_names_only

    if digest_of(edits) == state.fit.edits:
        return False, []
    rename = [Step(RENAME, None, "other names")] if len(without_renames(edits)) < len(edits) else []
    return not changes_names_only(store, state.fit, edits), rename


def _load(config: UpdateTopicsConfig, store: ArtifactStore, state: TopicState | None) -> Step:
    """Return the step that finds the new documents; a hit if the same input was compared with the same state."""
    source = fingerprint(config.load)
    if source is None:
        return Step("load", None, "every run reads remote input again")
    key = "" if state is None else state.key
    found = store.find(recipes.new_documents(config.load, config.new_documents, source, key), claim=False)
    is_known = state is None or state.key != ""  # a run that is not adopted yet has no state
    if found is not None and is_known:
        return Step("load", found, "hit")
    return Step("load", None, "first run" if state is None else "looks for documents that no run has seen")


def _embed(config: UpdateTopicsConfig, store: ArtifactStore, arrivals: ArtifactRef | None) -> list[Step]:
    """Return the step that embeds the new documents, with its cost if these are known."""
    if arrivals is None:
        return [Step("embed", None, NEW)]
    key = store.json(arrivals, "documents")["documents"]
    documents = ArtifactRef("documents", key, "load", rows=arrivals.rows)
    step = step_of(store, "embed", embed_recipe(store, documents, config.embed, config.runtime)[0], None)
    step = step if step.is_hit else Step("embed", None, f"{arrivals.rows:,} new documents")
    return with_cost([step], "embed", store, documents, config.embed, config.runtime)


def _fitting(config: UpdateTopicsConfig, reason: str) -> list[Step]:
    """Return the steps of a run that fits topics on all documents."""
    given = [GIVEN] if isinstance(config.topics, ZeroShotTopics) else []
    stages = [
        "embed",
        "neighbors",
        "reduce",
        "map",
        "cluster",
        *given,
        "count",
        "label",
        *stages_of_edits(config),
        "cells",
        "match",
    ]
    stages += ["tree", "match_tree"] if config.tree is not None else []
    stages += ["name"] if config.names is not None else []
    stages += [section for section in ("shares", "periods", "groups") if getattr(config, section) is not None]
    return [Step(stage, None, reason) for stage in [*stages, "overview", "gate"]]


def _edited(state: TopicState, *, changed: bool) -> Iterator[Step]:
    """Yield the steps of edits that are others than those of the last run."""
    if changed:
        stages = (
            EDIT,
            LABEL_EDITED,
            "cells",
            "match",
            *(("assign_again",) if len(state.batches) > 1 else ()),
        )
        yield from (
            Step(stage, None, AGAIN if stage == "assign_again" else "other edits") for stage in stages
        )


def _shown(
    config: UpdateTopicsConfig, store: ArtifactStore, state: TopicState, *, changed: bool
) -> Iterator[Step]:
    """Yield the steps after the topics of documents are known."""
    n = sum(int(store.manifest("documents", batch.documents)["rows"]) for batch in state.batches)
    if config.tree is not None and (state.tree is None or changed):
        yield from (Step(stage, None, "the topics are others") for stage in ("tree", "match_tree"))
    if config.shares is not None:
        kept = not changed and _has_shares(config, store, state)
        new = f"{NEW}; the shares of {n:,} documents are kept"
        yield Step(
            "shares", None, new if kept else "all documents: other topics, or another section `shares`"
        )
    counted = sum(bool(batch.counts) for batch in state.batches) == len(state.batches)
    words = f"all documents; the words of {n:,} documents are counted already" if counted else "all documents"
    for section in ("periods", "groups"):
        if getattr(config, section) is not None:
            yield Step(section, None, words)
    yield Step("overview", None, "all documents")
    yield Step("gate", None, "the metrics of all documents")


def _has_shares(config: UpdateTopicsConfig, store: ArtifactStore, state: TopicState) -> bool:
    """Return whether every batch has the shares of this config."""
    keys = [batch.shares for batch in state.batches]
    assert config.shares is not None
    wanted = fields_of(config.shares)
    return all(key and store.manifest("shares", key)["recipe"]["config"] == wanted for key in keys)
