"""Side plans: configs of other flows -> plans, for flows whose recipes are known before anything is computed."""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.flows.planning.plan import duplicate_recipes
from topicflow.flows.planning.steps import (
    Step,
    embed_recipe,
    last_stages,
    load_step,
    step_of,
    steps_after,
    with_cost,
)
from topicflow.tasks.duplicates.recipes import searches
from topicflow.tasks.runs.resolve import latest_run
from topicflow.tasks.store.artifact_store import open_store


def plan_deduplicate(config: DeduplicateConfig) -> list[Step]:
    """Return the steps of a search for near-duplicates in order; raises PipelineError as in `plan_topic_model`."""
    store, last = open_store(config.runtime), last_stages(config)
    steps = [load_step(store, config.load, last)]
    if config.against is not None:
        steps.append(load_step(store, config.against, last, "load_against"))
    documents, against = steps[0].found, steps[-1].found if config.against is not None else None
    if documents is None or steps[-1].found is None:
        return steps_after(steps, _duplicate_stages(config), "input changed" if last else "first run")
    chain = duplicate_recipes(store, config, config.deduplicate, documents, against, "embed")
    before = {stage: record["recipe"] for stage, record in last.items()}
    found = [step_of(store, stage, recipe, before.get(stage)) for stage, recipe in chain.items()]
    found = with_cost(found, "embed", store, documents, config.embed, config.runtime)
    if against is not None:
        found = with_cost(found, "embed_against", store, against, config.embed, config.runtime)
    return steps + found


def _duplicate_stages(config: DeduplicateConfig) -> list[str]:
    """Return the steps in order: with `against` both corpora are loaded and embedded."""
    searched = ["embed" if stage == "embed_all" else stage for stage in searches(config.deduplicate)]
    twice = {"load", "embed"} if config.against is not None else set()
    stages = ("load", *searched, "deduplicate")
    return [
        name for stage in stages for name in (stage, f"{stage}_against") if name == stage or stage in twice
    ]


def plan_index(config: BuildIndexConfig) -> list[Step]:
    """Return the steps of an index in order; raises PipelineError as in `plan_topic_model`.

    If documents changed, this reads them and those of the last index: the number of changes decides whether the last
    index is updated.
    """
    from topicflow.tasks.search.index_generation import next_generation
    from topicflow.tasks.search.index_topics import find_topics
    from topicflow.tasks.search.locate import index_key

    store, last = open_store(config.runtime), last_stages(config)
    steps, stages = [load_step(store, config.load, last)], ("load", "embed", "index")
    after = "input changed" if last else "first run"
    if (documents := steps[0].found) is None:
        return steps_after(steps, stages, after)
    before = {stage: record["recipe"] for stage, record in last.items()}
    embedding = embed_recipe(store, documents, config.embed, config.runtime)[0]
    found = [step_of(store, "embed", embedding, before.get("embed"))]
    steps += with_cost(found, "embed", store, documents, config.embed, config.runtime)
    if (embeddings := steps[1].found) is None:
        return steps_after(steps, stages, after)
    runs, named = Path(config.runtime.runs), config.index.topics
    topics = None if named is None else find_topics(runs, named)
    built = latest_run(runs / config.name)
    key = None if built is None else index_key(built)
    made = next_generation(store, documents, embeddings, config, topics, key)
    if made.current is not None:
        return [*steps, Step("index", made.current, "hit")]
    return [*steps, step_of(store, "index", made.recipe, before.get("index"))]
