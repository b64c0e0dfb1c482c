"""Parts that the configs of all flows share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from topicflow.configs.fields.base import Section
from topicflow.configs.sections.runtime import RuntimeConfig


def _not_latest(value: str) -> str:
    if value == "latest":
        msg = "latest is the name of the newest published run in each series; choose another name"
        raise ValueError(msg)
    return value


RunName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of the series of runs: letters, digits, dot, dash, underscore; not latest.",
    ),
    AfterValidator(_not_latest),
]


class FlowConfig(Section):
    """Base of every flow's config: a name for its runs, a seed, and the section `runtime`."""

    name: RunName
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="Seed of all random numbers.")

    if TYPE_CHECKING:  # each flow declares the field itself, so that forms and files show it last

        @property
        def runtime(self) -> RuntimeConfig:
            """Where and how the work is done."""

    @property
    def flow(self) -> str:
        """The name of the flow that this configures."""
        return str(self.model_config["title"])
