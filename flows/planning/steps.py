"""Steps of a plan: a stage, whether its artifact exists, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.sections.embed import ApiEmbed, EmbedConfig, ImagesEmbed, PrecomputedEmbed
from topicflow.configs.sections.load import LoadConfig
from topicflow.configs.sections.names import NamesConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.planning.request_cost import RequestCost, request_cost
from topicflow.tasks.documents import recipes as documents_recipes
from topicflow.tasks.documents.sources import find_documents, fingerprint
from topicflow.tasks.encoding import recipes as encoding_recipes
from topicflow.tasks.encoding.adapters import find_adapter
from topicflow.tasks.encoding.encoder_files import find_encoder, precomputed_digest
from topicflow.tasks.naming.cost import NamingCost, naming_cost
from topicflow.tasks.runs.history import last_record
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe


@dataclass(frozen=True)
class Step:
    """One stage of a plan: its artifact if it is a hit, and the reason if it is not."""

    stage: str
    found: ArtifactRef | None
    reason: str
    cost: RequestCost | NamingCost | None = None
    """What a server would be asked; None if none is asked, or not yet known."""

    @property
    def is_hit(self) -> bool:
        """Whether the stage needs no computation."""
        return self.found is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the step as JSON values."""
        cost = {} if self.cost is None else {"cost": self.cost.as_dict()}
        return {
            "stage": self.stage,
            "state": "cached" if self.is_hit else "compute",
            "reason": self.reason,
            **cost,
        }


def last_stages(config: FlowConfig) -> dict[str, Mapping[str, Any]]:
    """Return the record of each stage in the last completed run of the config's name; empty before the first run."""
    last = last_record(Path(config.runtime.runs), config.name)
    return {} if last is None else {stage["stage"]: stage for stage in last["stages"]}


def load_step(
    store: ArtifactStore, config: LoadConfig, last: Mapping[str, Mapping[str, Any]], stage: str = "load"
) -> Step:
    """Return the step that reads documents; `last` has the stages of the last run."""
    source = fingerprint(config)
    documents = find_documents(store, config, source)
    if documents is not None:
        return Step(stage, documents, "hit")
    before = last.get(stage)
    return Step(
        stage, None, "first run" if before is None else _explain_documents(store, config, source, before)
    )


def steps_after(steps: Sequence[Step], stages: Sequence[str], reason: str) -> list[Step]:
    """Return the steps, followed by steps to compute for all further `stages`."""
    return [*steps, *(Step(stage, None, reason) for stage in stages[len(steps) :])]


def embed_recipe(
    store: ArtifactStore, documents: ArtifactRef, config: EmbedConfig, runtime: RuntimeConfig
) -> tuple[Recipe, str]:
    """Return the recipe of the embeddings of documents, and the key of the encoder for words."""
    if isinstance(config, ImagesEmbed):
        from topicflow.tasks.encoding.images import image_recipe

        return image_recipe(store, documents, config, runtime.device), "precomputed"
    if isinstance(config, PrecomputedEmbed):
        encoder, of, vectors = "precomputed", documents.key, precomputed_digest(config)
    else:
        encoder = vectors = find_encoder(config, runtime.device, store, keep=False).key
        of = store.meta(documents)["texts"]
    adapter = find_adapter(store, config, encoder, runtime)
    return encoding_recipes.embed(config, of, vectors, adapter.key if adapter else None), encoder


def with_cost(
    steps: Sequence[Step],
    stage: str,
    store: ArtifactStore,
    documents: ArtifactRef,
    config: EmbedConfig,
    runtime: RuntimeConfig,
) -> list[Step]:
    """Return the steps with what the `stage` that embeds the documents would ask a server; a hit asks nothing."""
    return [
        replace(step, cost=request_cost(store, documents, config, runtime))
        if isinstance(config, ApiEmbed) and step.stage == stage and not step.is_hit
        else step
        for step in steps
    ]


def with_naming_cost(steps: Sequence[Step], store: ArtifactStore, config: NamesConfig | None) -> list[Step]:
    """Return the steps with what the stage `name` would ask a server; a hit asks nothing."""
    found = {step.stage: step.found for step in steps}
    return [
        replace(step, cost=naming_cost(store, config, found))
        if config is not None and step.stage == "name" and not step.is_hit
        else step
        for step in steps
    ]


def _explain_documents(
    store: ArtifactStore, config: LoadConfig, source: str | None, before: Mapping[str, Any]
) -> str:
    """Return why there are no documents, from the source's record and the record of the last run."""
    if source is None:
        return "every run reads remote input again"
    record = documents_recipes.load(config, source)
    state = store.state(record.kind, record.key)
    if state == "hit":  # this input was loaded before, but its documents are deleted or damaged
        named = store.json(ArtifactRef(record.kind, record.key, record.stage), "documents")
        return store.state("documents", named["documents"])
    if state != "missing":
        return state
    changed = explain_miss(documents_recipes.documents(config), before["recipe"])
    if changed != "missing":
        return changed
    return "input changed" if store.state("documents", before["key"]) == "hit" else "missing"


def step_of(store: ArtifactStore, stage: str, recipe: Recipe, before: Mapping[str, Any] | None) -> Step:
    """Return the step of a stage with this recipe; `before` is its recipe in the last run."""
    state = store.state(recipe.kind, recipe.key)
    if state == "hit":
        return Step(stage, store.find(recipe, claim=False), "hit")
    return Step(stage, None, state if state != "missing" else explain_miss(recipe, before))


def explain_miss(recipe: Recipe, before: Mapping[str, Any] | None) -> str:
    """Return why an artifact does not exist, from the recipe of the same stage in the last run."""
    if before is None:
        return "first run"
    now = recipe.as_dict()
    if now == before:
        return "missing"
    changes = [
        f"{name} {old if old is not None else 'unset'} -> {new if new is not None else 'unset'}"
        for name, old, new in _differences(before["config"], now["config"])
    ]
    if before["seed"] != now["seed"]:
        changes.append(f"seed {before['seed']} -> {now['seed']}")
    reasons = [f"config changed: {', '.join(changes)}"] if changes else []
    if before["version"] != now["version"]:
        reasons.append(f"version changed: {before['version']} -> {now['version']}")
    moved = [f"{name} {old} -> {new}" for name, old, new in _differences(before["identity"], now["identity"])]
    if moved:
        reasons.append(f"version changed: {', '.join(moved)}")
    inputs = [name for name, _, _ in _differences(before["inputs"], now["inputs"])]
    if inputs and not reasons:
        reasons.append(f"input changed: {', '.join(inputs)}")
    return "; ".join(reasons) or f"stage changed: {before['stage']} -> {now['stage']}"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = [*now, *(name for name in before if name not in now)]
    return [(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]
