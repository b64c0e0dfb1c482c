"""Deduplicate: load, embed, find near-duplicates, keep one of each."""

from __future__ import annotations

from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.flows.running.duplicate_stages import duplicate_stages
from topicflow.flows.running.frame import recorded
from topicflow.flows.running.stages import at_work
from topicflow.tasks.documents.load import load
from topicflow.tasks.publish.duplicates import publish_duplicates
from topicflow.tasks.runs.records import RunRecord


@recorded
def deduplicate(config: DeduplicateConfig) -> RunRecord:
    """Return the record of a run that finds the near-duplicates of a corpus, computing only what the store lacks.

    Parameters
    ----------
    config : DeduplicateConfig
        What to read, what counts as a duplicate, where to keep it.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    with at_work(config) as stages:
        documents = stages.run(load, config=config.load)
        against = (
            None if config.against is None else stages.run_as("load_against", load, config=config.against)
        )
        duplicate_stages(stages, documents, against, config.embed, config.deduplicate)

    return stages.publish(publish_duplicates, config)
