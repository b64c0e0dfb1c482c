"""Plan of edits: the recipes of a topic model and its edits -> the recipes of the model with edited topics."""

from __future__ import annotations

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.tasks.edits.recipes import edit
from topicflow.tasks.edits.wanted import edits_of
from topicflow.tasks.store.artifact_store import Recipe
from topicflow.tasks.topics import recipes
from topicflow.tasks.topics.final import EDIT, LABEL_EDITED
from topicflow.tasks.topics.recipes import CorpusKeys


def with_edits(config: TopicModelConfig, corpus: CorpusKeys, fitted: dict[str, Recipe]) -> dict[str, Recipe]:
    """Return the recipes of `topics.recipes.fit` with those of edits before the metrics; as they are without edits.

    Raises
    ------
    ConfigError
        If the file of edits is wrong.
    """
    if not (edits := edits_of(config)):
        return fitted
    inputs = {
        "documents": corpus.documents,
        "embeddings": corpus.embeddings,
        "labels": fitted["cluster"].key,
        "topics": fitted["label"].key,
    }
    labels = edit(edits, inputs, config.seed)
    topics = recipes.label(
        config.label, corpus.documents, corpus.embeddings, labels.key, corpus.counts, corpus.encoder
    )
    measured = {**fitted["evaluate"].inputs, "labels": labels.key, "topics": topics.key}
    metrics = recipes.evaluate(config.evaluate, measured, config.count, config.seed)
    return {**fitted, EDIT: labels, LABEL_EDITED: topics, "evaluate": metrics}
