"""Sliced: a state -> what its topics over time, by group and by share are made from, batch by batch."""

from __future__ import annotations

from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.slices import SharesConfig
from topicflow.tasks.periods.counted import Counted, CountedBatches
from topicflow.tasks.shares import recipes as shares_recipes
from topicflow.tasks.shares.shares import Divisible, FittedWords
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics import recipes as topics_recipes
from topicflow.tasks.topics.count import counted_with
from topicflow.tasks.updates.topic_state import Batch, Fit, TopicState, batch_stages, documents_of, sized


def batch_counting(store: ArtifactStore, fit: Fit, config: CountConfig) -> CountConfig:
    """Return how the words of a batch are counted: all of them, without the stop words of the fit's languages.

    Which words are too rare or too many is decided for all batches together.
    """
    spoken = counted_with(store, ArtifactRef("counts", fit.counts, "count"), config)
    return spoken.model_copy(update={"min_df": 1, "max_features": None})


def counts_key(store: ArtifactStore, batch: Batch, counting: CountConfig) -> str:
    """Return the key of the counts of all words of a batch."""
    return topics_recipes.count(counting, store.meta(documents_of(batch))["texts"]).key


def counted_batches(store: ArtifactStore, state: TopicState, config: CountConfig) -> CountedBatches:
    """Return the documents of all batches with the topics of the fit and the counts of their words."""
    parts = tuple(
        Counted(documents_of(batch), batch_stages(batch)["cluster"], _counts(store, batch.counts))
        for batch in state.batches
    )
    return CountedBatches(parts, config.min_df, config.max_features)


def divisible(store: ArtifactStore, state: TopicState, number: int) -> Divisible:
    """Return what the shares of a batch are made from; those of a later one than the first by the words of the fit."""
    fit, batch = state.fit, state.batches[number]
    stages, of_fit = batch_stages(batch), _counts(store, fit.counts)
    topics = ArtifactRef("topics", fit.topics, "label", rows=len(state.ids))
    counts = _counts(store, batch.counts) if number else of_fit
    fitted = FittedWords(ArtifactRef("labels", fit.labels, "cluster"), of_fit) if number else None
    return Divisible(stages["load"], stages["embed"], stages["cluster"], counts, topics, fitted)


def shares_key(config: SharesConfig, wanted: Divisible) -> str:
    """Return the key of the shares of a batch."""
    return shares_recipes.shares(config, wanted.keys).key


def _counts(store: ArtifactStore, key: str) -> ArtifactRef:
    return sized(store, ArtifactRef("counts", key, "count"))
