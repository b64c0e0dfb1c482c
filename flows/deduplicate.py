"""Deduplicate: load, embed, find near-duplicates, keep one of each, as one Prefect flow."""

from __future__ import annotations

from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.flows.running.current import current_id
from topicflow.flows.running.duplicate_stages import duplicate_stages
from topicflow.flows.running.frame import at_work, finished, recorded_flow
from topicflow.tasks.documents.load import load
from topicflow.tasks.publish.duplicates import publish_duplicates
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.store.artifact_store import open_store


@recorded_flow
def deduplicate(config: DeduplicateConfig) -> RunRecord:
    """Return the record of a run that finds a corpus's near-duplicates, computing only what the store lacks.

    Parameters
    ----------
    config : DeduplicateConfig
        What to read, what counts as a duplicate, where to keep it.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    run = current_id()
    store, read = open_store(config.runtime), load.with_options(retries=config.runtime.retries)
    against = None
    with at_work(config) as runtime:
        stages = {"load": finished("load", read.submit(store, config.load, runtime))}
        if config.against is not None:
            against = stages["load_against"] = finished(
                "load_against", read.submit(store, config.against, runtime)
            )
        stages |= duplicate_stages(
            store, stages["load"], against, config.embed, config.deduplicate, config.seed, runtime
        )
    return publish_duplicates.submit(store, config, stages, against, run).result()
