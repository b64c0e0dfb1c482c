"""Plan of a sweep: its config and its store -> every different stage of all settings: a hit, or to be computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.flows.planning.plan import document_steps, why_after
from topicflow.flows.planning.steps import Step, embed_recipe, last_stages, step_of, with_cost
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe, open_store
from topicflow.tasks.sweeps import recipes
from topicflow.tasks.sweeps.settings import Grid, grid_of, without_misfits
from topicflow.tasks.topics import recipes as topics
from topicflow.tasks.topics.recipes import CorpusKeys

FITTED = ("neighbors", "reduce", "cluster", "label", "evaluate")
"""The stages of a setting; settings that have one in common compute it once."""

AFTER = ("sweep", "confirm", "map", "page")
"""Stages that depend on the figures of all settings."""


def plan_sweep(config: SweepConfig) -> list[Step]:
    """Return one step for each different artifact of a sweep, stage by stage.

    Parameters
    ----------
    config : SweepConfig
        The resolved config; `runtime.store` and `runtime.runs` are the folders to read.

    Raises
    ------
    PipelineError
        If nothing is varied, or an input file or the encoder cannot be found.
    """
    grid, store, last = grid_of(config), open_store(config.runtime), last_stages(config)
    steps, documents, _ = document_steps(config, store)
    if documents is None:  # keys are not known, but how many different stages there are is
        corpus = CorpusKeys("documents", "embeddings", "counts", "encoder")
        names = ["embed", "count", *(name for name, _ in _fitted(config, grid, corpus)), *AFTER]
        why = why_after(steps, is_first=not last)
        return [*steps, *(Step(name, None, why) for name in names)]
    embed, encoder = embed_recipe(store, documents, config.embed, config.runtime)
    count = topics.count(config.count, store.meta(documents)["texts"])
    before = {stage: record["recipe"] for stage, record in last.items()}
    shared = [
        step_of(store, name, recipe, before.get(name))
        for name, recipe in (("embed", embed), ("count", count))
    ]
    steps += with_cost(shared, "embed", store, documents, config.embed, config.runtime)
    corpus = CorpusKeys(documents.key, embed.key, count.key, encoder)
    grid = without_misfits(grid, documents.rows)
    steps += [step_of(store, name, recipe, None) for name, recipe in _fitted(config, grid, corpus)]
    return steps + _steps_after(store, config, grid, corpus, last)


def _fitted(config: SweepConfig, grid: Grid, corpus: CorpusKeys) -> Iterator[tuple[str, Recipe]]:
    """Yield each different recipe of the settings with its stage, stage by stage, further seeds included."""
    seeds = config.sweep.seeds
    fits = [fit for each in grid.settings for fit in recipes.fits_of(each.config, corpus, config.seed, seeds)]
    for name in FITTED:
        different = {fit[name].key: fit[name] for fit in fits if name in fit}
        yield from ((name, recipe) for recipe in different.values())


def _steps_after(
    store: ArtifactStore,
    config: SweepConfig,
    grid: Grid,
    corpus: CorpusKeys,
    last: Mapping[str, Mapping[str, object]],
) -> list[Step]:
    """Return the steps after the settings; they are hits if the last run had the same settings and still has them."""
    results = {
        each.number: recipes.setting(each.config, corpus, config.seed, config.sweep.seeds)
        for each in grid.settings
    }
    there = {
        number: recipe.key
        for number, recipe in results.items()
        if store.state(recipe.kind, recipe.key) == "hit"
    }
    done = [each for each in grid.settings if each.number in there]
    refused = [each.reason for each in grid.skipped]
    swept = recipes.sweep(config.sweep, there, [dict(each.values) for each in done], refused)
    if len(there) < len(results) or store.state(swept.kind, swept.key) != "hit":
        return [Step(name, None, "depends on the settings") for name in AFTER]
    found = []
    for name in AFTER:
        ref = last.get(name, {})
        same = last.get("sweep", {}).get("key") == swept.key
        hit = same and store.state(str(ref.get("kind")), str(ref.get("key"))) == "hit"
        found.append(Step(name, store.find(swept, claim=False) if hit else None, "hit" if hit else "missing"))
    return found
