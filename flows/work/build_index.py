"""Build an index: load, embed, index; `latest` is the newest run of the index's name."""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.flows.running.frame import recorded
from topicflow.flows.running.stages import at_work
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.publish.index import publish_index
from topicflow.tasks.runs.records import RunRecord
from topicflow.tasks.runs.resolve import latest_run
from topicflow.tasks.search.build_stage import index
from topicflow.tasks.search.index_topics import find_topics
from topicflow.tasks.search.locate import index_key


@recorded
def build_index(config: BuildIndexConfig) -> RunRecord:
    """Return the record of a run that makes an index of a corpus, or updates the last index of its name.

    Parameters
    ----------
    config : BuildIndexConfig
        What to read, how to embed and index it, where to keep it.

    Raises
    ------
    PipelineError
        When the input, the config or the store does not allow a result; the message says what to do.
    """
    runs = Path(config.runtime.runs)
    topics = None if config.index.topics is None else find_topics(runs, config.index.topics)
    before = latest_run(runs / config.name)
    last = None if before is None else index_key(before)

    with at_work(config) as stages:
        documents = stages.run(load, config=config.load)
        embeddings = stages.run(embed, documents=documents, config=config.embed)
        stages.run(index, documents=documents, embeddings=embeddings, config=config, topics=topics, last=last)

    return stages.publish(publish_index, config)
