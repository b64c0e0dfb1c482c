"""Runs without Prefect: the flows' own lines in this process, behind the commands that start them."""

from typing import Any
from unittest import mock

import topicflow.flows.topic_model as line
from tests.updates import SHAPING_TASKS, Direct, tell
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.running import duplicate_stages, edit_stages

TASKS = (
    "cluster", "count", "draw", "embed", "evaluate", "gate", "label", "name", "neighbors", "publish", "reduce",
    "report",
)  # fmt: skip
"""Tasks of a topic model, besides those of `duplicate_stages` and `edit_stages`."""


def run_directly(
    config: TopicModelConfig | UpdateTopicsConfig, _log: object = None, _server: object = None
) -> dict[str, Any]:
    """Return the record of a run of a topic model or of an update, whose stages are plain calls."""
    if isinstance(config, UpdateTopicsConfig):
        return tell(config)
    direct = {name: Direct(getattr(line, name)) for name in TASKS}
    shaping = {name: Direct(getattr(edit_stages, name)) for name in SHAPING_TASKS}
    with (
        mock.patch.multiple(line, **direct),
        mock.patch.multiple(edit_stages, **shaping),
        mock.patch.object(duplicate_stages, "load", Direct(duplicate_stages.load)),
    ):
        return line.topic_model.fn(config)
