"""Adoption: the run that the next update continues -> the steps that adopt it, and the state for the rest of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.planning.steps import Step
from topicflow.tasks.edits.names_file import read_names
from topicflow.tasks.runs.history import called
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.updates import recipes

if TYPE_CHECKING:
    from topicflow.tasks.updates.adoptable import Adoptable
    from topicflow.tasks.updates.topic_state import TopicState


def adopting(
    store: ArtifactStore, config: UpdateTopicsConfig, run: Adoptable
) -> tuple[list[Step], TopicState]:
    """Return the steps that adopt a run, and the state after them; it has a key only if all steps are hits.

    Raises
    ------
    ConfigError
        If the config reads documents so that those of the run would not be known again.
    """
    from topicflow.tasks.updates.adoptable import Added, adopted_state, check_adoptable, not_yet_adopted
    from topicflow.tasks.updates.topic_state import key_of

    check_adoptable(run, config)
    reason = f"continues from {called(run.record)}"
    found = {name: store.find(recipe, claim=False) for name, recipe in _recipes(config, run).items()}
    steps = [Step(name, ref, "hit" if ref is not None else reason) for name, ref in found.items()]
    refs = [ref for ref in found.values() if ref is not None]
    if len(refs) < len(found):
        return steps, not_yet_adopted(store, config, run)
    names = read_names(Path(config.runtime.runs) / config.name)
    state = adopted_state(store, config, run, Added(*refs), names)
    return steps, replace(state, key=key_of(state))


def _recipes(config: UpdateTopicsConfig, run: Adoptable) -> Mapping[str, Recipe]:
    """Return the recipe of each step, in the order of `Added`."""
    inputs = {"labels": run.labels.key, "topics": run.topics.key}
    fitted = {"embeddings": run.made["embed"].key, "neighbors": run.made["neighbors"].key, **inputs}
    before = {} if run.unedited is None else {"unedited": run.unedited.key}
    documents = {"documents": run.documents.key, "loaded": run.loaded.key}
    found = {
        "adopt": recipes.adopted(config.load, config.new_documents.watermark, documents),
        "adopt_cells": recipes.cells(fitted, config.seed),
        "adopt_ids": recipes.lineage(config.match, {**inputs, "state": "", **before}),
    }
    if (tree := run.made.get("tree")) is not None:
        grouped = {"labels": run.labels.key, "tree": tree.key, "state": ""}
        found["adopt_groups"] = recipes.group_ids(config.match, grouped)
    return found
