"""Plan: config and store -> for each stage, whether it is a hit or would be computed, and why.

It walks the same recipes as the flow and imports neither Prefect nor a numeric library, so that it answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.duplicates import BothDeduplicate, EmbeddingDeduplicate, MinhashDeduplicate
from configs.models import ImagesEmbed, LoadConfig, PrecomputedEmbed, TopicModelConfig
from tasks import recipes
from tasks.adapters import find_adapter
from tasks.encoders import find_encoder, precomputed_digest
from tasks.images import image_recipe
from tasks.recipes import map_reduce
from tasks.runs import last_record
from tasks.sources import find_documents, fingerprint
from tasks.store import ArtifactRef, ArtifactStore, Recipe, open_store


@dataclass(frozen=True)
class Step:
    """One stage of a plan: its artifact where it is a hit, and why it is not."""

    stage: str
    found: ArtifactRef | None
    reason: str

    @property
    def is_hit(self) -> bool:
        """True when nothing is to be computed."""
        return self.found is not None


def plan_topic_model(config: TopicModelConfig) -> list[Step]:
    """Return the steps of a topic model in order.

    Parameters
    ----------
    config : TopicModelConfig
        The resolved config; `runtime.store` and `runtime.runs` say where to look.

    Raises
    ------
    PipelineError
        When an input file or the encoder cannot be found.
    """
    store = open_store(config.runtime)
    last = last_record(Path(config.runtime.runs), config.name)
    source = fingerprint(config.load)
    documents = find_documents(store, config.load, source)
    if documents is None:
        follows = "first run" if last is None else "input changed"
        why = "first run" if last is None else _explain_documents(store, config.load, source, last)
        return [Step(stage, None, why if stage == "load" else follows) for stage in recipes.stages_of(config)]
    before = {stage["stage"]: stage["recipe"] for stage in last["stages"]} if last else {}
    steps, duplicates = [Step("load", documents, "hit")], None
    if config.deduplicate is not None:
        searching = duplicate_recipes(store, config, documents)
        steps += [_step(store, stage, recipe, before.get(stage)) for stage, recipe in searching.items()]
        if (kept := steps[-1].found) is None:  # what is kept decides what all that follows is made of
            after = "first run" if last is None else "input changed: documents"
            return [*steps, *(Step(stage, None, after) for stage in recipes.STAGES[1:])]
        documents, duplicates = kept, searching["deduplicate"].key
    chain = chain_recipes(store, config, documents, duplicates)
    steps += [_step(store, stage, recipe, before.get(stage)) for stage, recipe in chain.items()]
    return steps


def duplicate_recipes(
    store: ArtifactStore, config: TopicModelConfig, documents: ArtifactRef
) -> dict[str, Recipe]:
    """Return the recipe of every stage from `load` to the documents that are kept, itself left out."""
    section = config.deduplicate
    assert section is not None
    texts, found, pairs = store.meta(documents)["texts"], {}, {}
    if isinstance(section, EmbeddingDeduplicate | BothDeduplicate):
        found["embed_all"] = _embed_recipe(store, config, documents, texts)[0]
        pairs["pair"] = recipes.pair(section, found["embed_all"].key, None, config.seed)
    if isinstance(section, MinhashDeduplicate | BothDeduplicate):
        pairs["shingle"] = recipes.shingle(section, texts, None, config.seed)
    keys = {name: recipe.key for name, recipe in pairs.items()}
    group = recipes.deduplicate(section, documents.key, keys)
    return {**found, **pairs, "deduplicate": group, "keep": recipes.keep(documents.key, group.key)}


def _embed_recipe(
    store: ArtifactStore, config: TopicModelConfig, documents: ArtifactRef, texts: str
) -> tuple[Recipe, str]:
    """Return the recipe of the embeddings, and the key of the encoder that embeds words too."""
    if isinstance(config.embed, ImagesEmbed):
        return image_recipe(store, documents, config.embed, config.runtime.device), "precomputed"
    if isinstance(config.embed, PrecomputedEmbed):
        encoder, of, vectors = "precomputed", documents.key, precomputed_digest(config.embed)
    else:
        encoder = vectors = find_encoder(config.embed, config.runtime.device).key
        of = texts
    adapter = find_adapter(store, config.embed, encoder, config.runtime)
    return recipes.embed(config.embed, of, vectors, adapter.key if adapter else None), encoder


def chain_recipes(
    store: ArtifactStore, config: TopicModelConfig, documents: ArtifactRef, duplicates: str | None = None
) -> dict[str, Recipe]:
    """Return the recipe of every stage that takes the documents, which follow without computing anything.

    `duplicates` is the key of those that were left out of them.
    """
    texts = store.meta(documents)["texts"]
    embed, encoder = _embed_recipe(store, config, documents, texts)
    neighbors = recipes.neighbors(config.neighbors, embed.key, config.seed)
    reduce = recipes.reduce(config.reduce, embed.key, neighbors.key, config.seed)
    layout = recipes.reduce(map_reduce(config.map), embed.key, neighbors.key, config.seed)
    cluster = recipes.cluster(config.cluster, embed.key, neighbors.key, reduce.key, config.seed)
    count = recipes.count(config.count, texts)
    label = recipes.label(config.label, documents.key, embed.key, cluster.key, count.key, encoder)
    measured = {
        "documents": documents.key,
        "embeddings": embed.key,
        "reduced": reduce.key,
        "labels": cluster.key,
        "topics": label.key,
    }
    evaluate = recipes.evaluate(config.evaluate, measured, config.count, config.seed)
    shown = {
        "documents": documents.key,
        "layout": layout.key,
        "labels": cluster.key,
        "topics": label.key,
        "metrics": evaluate.key,
    }
    shown |= {"duplicates": duplicates} if duplicates else {}
    report = recipes.report(config.report, config.name, shown)
    return {
        "embed": embed,
        "neighbors": neighbors,
        "reduce": reduce,
        "map": layout,
        "cluster": cluster,
        "count": count,
        "label": label,
        "evaluate": evaluate,
        "report": report,
    }


def _explain_documents(
    store: ArtifactStore, config: LoadConfig, source: str | None, last: Mapping[str, Any]
) -> str:
    """Return why there are no documents, from the source's record and from the documents of the last run."""
    if source is None:
        return "remote input is read anew in each run"
    record = recipes.load(config, source)
    state = store.state(record.kind, record.key)
    if state == "hit":  # this very input was loaded before; its documents are gone or damaged
        named = store.json(ArtifactRef(record.kind, record.key, record.stage), "documents")
        return store.state("documents", named["documents"])
    if state != "missing":
        return state
    before = next(stage for stage in last["stages"] if stage["stage"] == "load")
    changed = explain_miss(recipes.documents(config), before["recipe"])
    if changed != "missing":
        return changed
    return "input changed" if store.state("documents", before["key"]) == "hit" else "missing"


def _step(store: ArtifactStore, stage: str, recipe: Recipe, before: Mapping[str, Any] | None) -> Step:
    state = store.state(recipe.kind, recipe.key)
    if state == "hit":
        return Step(stage, store.find(recipe, claim=False), "hit")
    return Step(stage, None, state if state != "missing" else explain_miss(recipe, before))


def explain_miss(recipe: Recipe, before: Mapping[str, Any] | None) -> str:
    """Return why an artifact is not there, from the recipe of the same stage in the last run."""
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
    return "; ".join(reasons)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = [*now, *(name for name in before if name not in now)]
    return [(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]
