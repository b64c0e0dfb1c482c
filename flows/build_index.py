"""The index: load, embed, index, as one Prefect flow; a run names the index, and `latest` the newest."""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.flows.running.current import current_id
from topicflow.flows.running.frame import at_work, finished, recorded_flow
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.publish.index import publish_index
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.resolve import latest_run
from topicflow.tasks.search.build_stage import index
from topicflow.tasks.search.index_topics import find_topics
from topicflow.tasks.search.locate import index_key
from topicflow.tasks.store.artifact_store import open_store


@recorded_flow
def build_index(config: BuildIndexConfig) -> RunRecord:
    """Return the record of a run that makes an index of a corpus, or brings the last one of its name up to date.

    Parameters
    ----------
    config : BuildIndexConfig
        What to read, how to embed and index it, where to keep it.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    run = current_id()
    store, runs = open_store(config.runtime), Path(config.runtime.runs)
    read = load.with_options(retries=config.runtime.retries)
    topics = None if config.index.topics is None else find_topics(runs, config.index.topics)
    before = latest_run(runs / config.name)
    last = None if before is None else index_key(before)

    with at_work(config) as runtime:
        documents = finished("load", read.submit(store, config.load, runtime))
        embeddings = finished("embed", embed.submit(store, documents, config.embed, runtime))
        made = (documents, embeddings, config.index, config.embed, config.seed, runtime, topics, last)
        indexed = finished("index", index.submit(store, *made))

    stages = {"load": documents, "embed": embeddings, "index": indexed}
    return publish_index.submit(store, config, stages, run).result()
