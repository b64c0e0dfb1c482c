"""Config of the flow `sweep`: one topic model with many settings."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator

from topicflow.configs.flows.base import RunName
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.sweep import SweepSection

SUFFIX = "-sweep"
"""End of the name of a series of sweeps; a topic model of the same config has the name without it."""


class SweepConfig(TopicModelConfig):
    """A sweep: the config of a topic model, and the section `sweep` with the keys to vary.

    The sections `names`, `tree`, `report` and `gates` are not used: a sweep names no topics and publishes no model.
    Given topics and edits come after the clusters that a sweep compares, so it leaves them out and says so.
    """

    model_config = ConfigDict(title="sweep")

    name: RunName = Field(default="topics", validate_default=True)
    sweep: SweepSection = Field(default_factory=SweepSection)

    @field_validator("name")
    @classmethod
    def _name_of_the_series(cls, value: str) -> str:
        """Return the name with `-sweep` at its end, so that one file serves `run` and `sweep`."""
        return sweep_name(value)


def sweep_name(name: str) -> str:
    """Return the name of the series of sweeps that belongs to a topic model's name."""
    return name if name.endswith(SUFFIX) else f"{name[: 100 - len(SUFFIX)]}{SUFFIX}"


def model_name(name: str) -> str:
    """Return the name of the topic model to which a series of sweeps belongs."""
    return name.removesuffix(SUFFIX)
