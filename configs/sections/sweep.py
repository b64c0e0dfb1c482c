"""Section `sweep`: which keys a sweep varies, and how its choice is tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, field_validator

from topicflow.configs.fields.base import Section

Value = bool | int | float | str
"""A value of a key in a config."""

VARIED = ("neighbors", "reduce", "cluster", "label")
"""Sections whose keys may be varied; all earlier stages are computed once for all settings."""


class SweepSection(Section):
    """What a sweep varies, and how its recommendation is tested. A topic model does not read this section."""

    vary: dict[str, Value | list[Value]] = Field(
        default_factory=dict,
        description="Keys of neighbors, reduce, cluster and label with their values: a list, or text as after --vary: "
        '"10,20,50", "10..100:5" (5 values at equal ratios), "0..1:5:linear" (at equal steps); unset leaves a key out.',
    )
    seeds: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Seeds of which the agreement is measured, where a method draws random numbers. 1 measures none.",
    )
    draws: int = Field(
        default=5,
        ge=0,
        le=50,
        description="Draws of 90 % of the documents on which the best settings are fitted again. With 0 the "
        "recommendation is not tested.",
    )
    finalists: int = Field(
        default=3, ge=1, le=20, description="Number of the best settings that are fitted again on the draws."
    )
    max_settings: int = Field(
        default=500, ge=1, le=100_000, description="Maximum number of settings; a larger grid is refused."
    )

    @field_validator("vary", mode="before")
    @classmethod
    def _keys_are_dotted(cls, value: Any) -> Any:  # noqa: ANN401  (whatever a file has)
        """Return `{"cluster.min_cluster_size": …}` also for TOML's own form of it, `{"cluster": {…}}`."""
        return dict(_dotted(value)) if isinstance(value, Mapping) else value

    @field_validator("vary")
    @classmethod
    def _keys_can_be_varied(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            section, _, field = key.partition(".")
            if section not in VARIED or not field or "." in field:
                msg = f"{key} cannot be varied; expected a key of {', '.join(VARIED)}, such as cluster.min_cluster_size"
                raise ValueError(msg)
        return value


def _dotted(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
