"""Plan of given topics and of edits: the recipes of a topic model -> those of the model with other topics."""

from __future__ import annotations

from dataclasses import replace

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.shaping import SeededTopics, ZeroShotTopics
from topicflow.tasks.edits import recipes as recipes_of_edits
from topicflow.tasks.edits.wanted import edits_of, without_renames
from topicflow.tasks.given import recipes as given_recipes
from topicflow.tasks.store.artifact_store import Recipe
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.final import (
    EDIT,
    GIVEN,
    LABEL_EDITED,
    PULL,
    RENAME,
    SEEDS,
    final_topics,
    labels_before_edits,
)
from topicflow.tasks.topics.recipes import CorpusKeys


def with_edits(config: TopicModelConfig, corpus: CorpusKeys, fitted: dict[str, Recipe]) -> dict[str, Recipe]:
    """Return the recipes of `topics.recipes.fit` with those of edits before the metrics; as they are without edits.

    Raises
    ------
    ConfigError
        If the file of edits is wrong.
    """
    edits = edits_of(config)
    shaping, found = without_renames(edits), dict(fitted)
    inputs = {
        "documents": corpus.documents,
        "embeddings": corpus.embeddings,
        "labels": labels_before_edits(fitted).key,
        "topics": fitted["label"].key,
    }
    if shaping:
        labels = recipes_of_edits.edit(shaping, inputs, config.seed, has_given=GIVEN in fitted)
        other = _described(config, corpus, fitted, labels)
        found |= {EDIT: labels, LABEL_EDITED: other["label"], "evaluate": other["evaluate"]}
    if len(shaping) < len(edits):
        described = inputs | {"described": final_topics(found).key}
        found[RENAME] = recipes_of_edits.rename(edits, described, config.seed)
    return found


def with_seeds(config: TopicModelConfig, corpus: CorpusKeys) -> tuple[CorpusKeys, dict[str, Recipe]]:
    """Return the keys of a corpus with its seeds, and the recipe of the stage `pull`; as they are without seeds.

    Raises
    ------
    ConfigError
        If the file of topics is wrong.
    """
    if not isinstance(config.topics, SeededTopics):
        return corpus, {}
    pulled = given_recipes.pull(config.topics, corpus.documents, corpus.embeddings, corpus.encoder)
    return replace(corpus, seeds=(pulled.key, config.topics.word_weight)), {PULL: pulled}


def ended_seeds(corpus: CorpusKeys, labels: str) -> dict[str, Recipe]:
    """Return the recipe of the topics in which seeds ended; empty without seeds."""
    if corpus.seeds is None:
        return {}
    inputs = {
        "documents": corpus.documents,
        "pulled": corpus.fitted,
        "labels": labels,
        "counts": corpus.counts,
    }
    return {SEEDS: given_recipes.seeds(inputs)}


def with_given(config: TopicModelConfig, corpus: CorpusKeys, fitted: dict[str, Recipe]) -> dict[str, Recipe]:
    """Return the recipes of `topics.recipes.fit` with given topics; as they are without any.

    Raises
    ------
    ConfigError
        If the file of topics is wrong.
    """
    if not isinstance(config.topics, ZeroShotTopics):
        return fitted
    inputs = {
        "documents": corpus.documents,
        "embeddings": corpus.embeddings,
        "labels": fitted["cluster"].key,
    }
    smallest = given_recipes.smallest_of(config.cluster)
    labels = given_recipes.given(config.topics, inputs, corpus.encoder, smallest)
    return {**fitted, GIVEN: labels, **_described(config, corpus, fitted, labels)}


def _described(
    config: TopicModelConfig, corpus: CorpusKeys, fitted: dict[str, Recipe], labels: Recipe
) -> dict[str, Recipe]:
    """Return the recipes of the keywords and metrics of other topics of the same documents."""
    topics = recipes.label_of(config, corpus, labels.key)
    measured = {**fitted["evaluate"].inputs, "labels": labels.key, "topics": topics.key}
    return {
        "label": topics,
        "evaluate": recipes.evaluate(config.evaluate, measured, config.count, config.seed),
    }
