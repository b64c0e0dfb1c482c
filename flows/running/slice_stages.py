"""Slice stages of an update: topics over time, by group and by share, of all documents of a series.

Word counts and shares are kept batch by batch; an update computes those of new documents only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.sections.count import CountConfig
from topicflow.flows.running.stages import Stages
from topicflow.tasks.documents.document_rows import own_columns
from topicflow.tasks.periods.groups import check_columns, groups
from topicflow.tasks.periods.periods import periods
from topicflow.tasks.shares.shares import shares
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.topics.count import count
from topicflow.tasks.updates.sliced import batch_counting, counted_batches, counts_key, divisible, shares_key
from topicflow.tasks.updates.topic_state import TopicState, documents_of, sized


def sliced(
    stages: Stages, config: UpdateTopicsConfig, state: TopicState
) -> tuple[TopicState, Mapping[str, ArtifactRef]]:
    """Return the state with the counts and shares of its batches, and the tables of all documents by stage."""
    if config.shares is None:
        state = replace(state, batches=tuple(replace(each, shares="") for each in state.batches))
    if not (config.periods or config.groups or config.shares):
        return state, {}
    state = _with_counts(stages, config.count, state)
    state = _with_shares(stages, config, state)
    counted, found = counted_batches(stages.context.store, state, config.count), {}
    if config.periods is not None:
        found["periods"] = stages.run(periods, counted, config=config.periods, weighting=config.label)
    if config.groups is not None:
        found["groups"] = stages.run(groups, counted, config=config.groups, weighting=config.label)
    return state, found


def check_groups(
    stages: Stages, config: UpdateTopicsConfig, state: TopicState | None, arrived: ArtifactRef
) -> None:
    """Raise DataError if no batch, the new documents included, has a column of the groups, before they are embedded."""
    if config.groups is None:
        return
    batches = state.batches if state else ()
    documents = [*map(documents_of, batches), arrived]
    check_columns(own_columns(stages.context.store, documents), config.groups)


def _with_counts(stages: Stages, config: CountConfig, state: TopicState) -> TopicState:
    """Return the state with the counts of all words of each batch, those of earlier batches as they are."""
    store, batches = stages.context.store, []
    counting = batch_counting(store, state.fit, config)
    for number, batch in enumerate(state.batches):
        if not number and config.min_df == 1 and config.max_features is None:
            key = state.fit.counts
        elif (key := counts_key(store, batch, counting)) != batch.counts:
            key = stages.run_as(
                "count_batch", count, documents=sized(store, documents_of(batch)), config=counting
            ).key
        batches.append(replace(batch, counts=key))
    return replace(state, batches=tuple(batches))


def _with_shares(stages: Stages, config: UpdateTopicsConfig, state: TopicState) -> TopicState:
    """Return the state with the shares of each batch, those of earlier batches as they are."""
    if config.shares is None:
        return state
    batches = []
    for number, batch in enumerate(state.batches):
        wanted = divisible(stages.context.store, state, number)
        if batch.shares != shares_key(config.shares, wanted):
            batch = replace(batch, shares=stages.run(shares, wanted, config=config.shares).key)  # noqa: PLW2901
        batches.append(batch)
    return replace(state, batches=tuple(batches))
