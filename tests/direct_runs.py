"""Runs without Prefect: the flows' own lines in this process, behind the commands that start them."""

from typing import Any

from tests.updates import tell
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.running.direct import directly
from topicflow.flows.topic_model import topic_model


def run_directly(
    config: TopicModelConfig | UpdateTopicsConfig, _log: object = None, _server: object = None
) -> dict[str, Any]:
    """Return the record of a run of a topic model or of an update, whose stages are plain calls."""
    if isinstance(config, UpdateTopicsConfig):
        return tell(config)
    with directly():
        return topic_model.fn(config)
