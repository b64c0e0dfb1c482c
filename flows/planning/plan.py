"""Plan: a topic model's config and its store -> for each stage, whether it is a hit or would be computed, and why.

It uses the same recipes as the flow and imports neither Prefect nor a numeric library, so that it answers quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.deduplicate import (
    AnyDeduplicate,
    BothDeduplicate,
    EmbeddingDeduplicate,
    MinhashDeduplicate,
)
from topicflow.flows.planning.other_topics import ended_seeds, with_edits, with_given, with_seeds
from topicflow.flows.planning.stages import stages_of
from topicflow.flows.planning.steps import (
    Step,
    embed_recipe,
    last_stages,
    load_step,
    step_of,
    steps_after,
    with_cost,
    with_naming_cost,
)
from topicflow.tasks.duplicates import recipes as duplicates_recipes
from topicflow.tasks.naming import recipes as naming_recipes
from topicflow.tasks.periods import recipes as periods_recipes
from topicflow.tasks.publish import recipes as publish_recipes
from topicflow.tasks.report import recipes as report_recipes
from topicflow.tasks.runs.resolve import published_metrics
from topicflow.tasks.shares import recipes as shares_recipes
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe, open_store
from topicflow.tasks.topics import recipes as topics_recipes
from topicflow.tasks.topics.final import (
    EDIT,
    GIVEN,
    LABEL_EDITED,
    RENAME,
    final_labels,
    final_topics,
    named_topics,
)
from topicflow.tasks.topics.recipes import UNSEEDED, CorpusKeys, map_reduce
from topicflow.tasks.tree import recipes as tree_recipes


def plan_topic_model(config: TopicModelConfig) -> list[Step]:
    """Return the steps of a topic model in order, with what they would ask servers.

    Parameters
    ----------
    config : TopicModelConfig
        The resolved config; `runtime.store` and `runtime.runs` are the folders to read.

    Raises
    ------
    PipelineError
        If an input file or the encoder cannot be found.
    """
    store = open_store(config.runtime)
    return with_naming_cost(_steps(config, store), store, config.names)


def _steps(config: TopicModelConfig, store: ArtifactStore) -> list[Step]:
    """Return the steps of a topic model in order."""
    last, stages = last_stages(config), stages_of(config)
    steps, documents, duplicates = document_steps(config, store)
    if documents is None:  # all later stages depend on the documents
        return steps_after(steps, stages, why_after(steps, is_first=not last))
    before = {stage: record["recipe"] for stage, record in last.items()}
    chain = chain_recipes(store, config, documents, duplicates)
    found = [step_of(store, stage, recipe, before.get(stage)) for stage, recipe in chain.items()]
    return steps + with_cost(found, "embed", store, documents, config.embed, config.runtime)


def why_after(steps: Sequence[Step], *, is_first: bool) -> str:
    """Return why the stages after these steps are computed: there are no documents yet, or no kept ones."""
    return "first run" if is_first else "input changed: documents" if len(steps) > 1 else "input changed"


def document_steps(
    config: TopicModelConfig, store: ArtifactStore
) -> tuple[list[Step], ArtifactRef | None, str | None]:
    """Return the steps to the documents of a topic model, the documents if they exist, and the key of duplicates."""
    last = last_stages(config)
    loading = load_step(store, config.load, last)
    if (documents := loading.found) is None or (section := config.deduplicate) is None:
        return [loading], documents, None
    before = {stage: record["recipe"] for stage, record in last.items()}
    searching = duplicate_recipes(store, config, section, documents, None, "embed_all")
    searching["keep"] = duplicates_recipes.keep(documents.key, searching["deduplicate"].key)
    found = [step_of(store, stage, recipe, before.get(stage)) for stage, recipe in searching.items()]
    steps = [loading, *with_cost(found, "embed_all", store, documents, config.embed, config.runtime)]
    return steps, steps[-1].found, searching["deduplicate"].key


def duplicate_recipes(
    store: ArtifactStore,
    config: TopicModelConfig | DeduplicateConfig,
    section: AnyDeduplicate,
    documents: ArtifactRef,
    against: ArtifactRef | None,
    embed_name: str,
) -> dict[str, Recipe]:
    """Return the recipe of every stage from the documents to their groups of duplicates.

    Parameters
    ----------
    section : the section `deduplicate`
    documents, against : ArtifactRef
        The corpus, and the other corpus if there is one.
    embed_name : str
        The name of the documents' embedding in records.
    """
    found: dict[str, Recipe] = {}
    pairs: dict[str, Recipe] = {}
    if isinstance(section, EmbeddingDeduplicate | BothDeduplicate):
        found[embed_name] = embed_recipe(store, documents, config.embed, config.runtime)[0]
        base = None
        if against is not None:
            found["embed_against"] = embed_recipe(store, against, config.embed, config.runtime)[0]
            base = found["embed_against"].key
        pairs["similar_vectors"] = duplicates_recipes.similar_vectors(
            section, found[embed_name].key, base, config.seed
        )
    if isinstance(section, MinhashDeduplicate | BothDeduplicate):
        texts = [store.meta(each)["texts"] for each in (documents, against) if each is not None]
        pairs["similar_texts"] = duplicates_recipes.similar_texts(
            section, texts[0], texts[1] if against else None, config.seed
        )
    keys = {name: recipe.key for name, recipe in pairs.items()}
    group = duplicates_recipes.deduplicate(section, documents.key, keys, against.key if against else None)
    return {**found, **pairs, "deduplicate": group}


def chain_recipes(
    store: ArtifactStore, config: TopicModelConfig, documents: ArtifactRef, duplicates: str | None = None
) -> dict[str, Recipe]:
    """Return the recipe of every stage after the documents, without computing anything.

    `duplicates` is the key of the duplicates that were left out of the documents.
    """
    embed, encoder = embed_recipe(store, documents, config.embed, config.runtime)
    count = topics_recipes.count(config.count, store.meta(documents)["texts"])
    corpus, pulled = with_seeds(config, CorpusKeys(documents.key, embed.key, count.key, encoder))
    fitted = topics_recipes.fit(config, corpus, config.seed)
    fitted = with_edits(config, corpus, with_given(config, corpus, fitted))
    layout = topics_recipes.reduce(
        map_reduce(config.map), corpus.fitted, fitted["neighbors"].key, config.seed
    )
    shown = {
        "documents": documents.key,
        "layout": layout.key,
        "labels": final_labels(fitted).key,
        "topics": final_topics(fitted).key,
        "metrics": fitted["evaluate"].key,
        "embeddings": embed.key,
    }
    shown |= {"duplicates": duplicates} if duplicates else {}
    grown = None
    if config.tree is not None:
        grouped = {
            "embeddings": embed.key,
            "neighbors": fitted["neighbors"].key,
            "labels": final_labels(fitted).key,
            "counts": count.key,
            "topics": final_topics(fitted).key,
        }
        grown = tree_recipes.tree(config.tree, config.label, grouped)
        shown |= {"tree": grown.key}
    named = None
    if config.names is not None:
        tree = None if grown is None else grown.key
        named = naming_recipes.name(config.names, named_topics(fitted).key, tree)
    if (names := named or fitted.get(RENAME)) is not None:
        shown |= {"names": names.key}
    counted = {"documents": documents.key, "labels": final_labels(fitted).key, "counts": count.key}
    sliced = periods_recipes.chosen(config.periods, config.groups, config.label, counted)
    if config.shares is not None:
        divided = counted | {"embeddings": embed.key, "topics": final_topics(fitted).key}
        sliced["shares"] = shares_recipes.shares(config.shares, divided)
    ended = ended_seeds(corpus, final_labels(fitted).key)
    shown |= {stage: recipe.key for stage, recipe in (sliced | ended).items()}
    report = report_recipes.report(config.report, config.name, shown)
    chain = {
        "embed": embed,
        **pulled,
        **{stage: fitted[stage] for stage in UNSEEDED.values() if stage in fitted},
        "neighbors": fitted["neighbors"],
        "reduce": fitted["reduce"],
        "map": layout,
        "cluster": fitted["cluster"],
        **({GIVEN: fitted[GIVEN]} if GIVEN in fitted else {}),
        "count": count,
        "label": fitted["label"],
        **{stage: fitted[stage] for stage in (EDIT, LABEL_EDITED, RENAME) if stage in fitted},
        **({"tree": grown} if grown else {}),
        **({"name": named} if named else {}),
        "evaluate": fitted["evaluate"],
        **sliced,
        **ended,
        "report": report,
    }
    if config.gates is not None:
        before = published_metrics(Path(config.runtime.runs), config.name)
        chain["gate"] = publish_recipes.gate(config.gates, {"evaluate": fitted["evaluate"].key}, before)
    return chain
