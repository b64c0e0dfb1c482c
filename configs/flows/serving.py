"""Config of `topicflow serve`: what a machine runs, when, and which runs it keeps."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import ConfigDict, Field, field_validator, model_validator

from topicflow.configs.fields.base import IsPath, Section
from topicflow.configs.flows.base import RunName


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        msg = "expected a name of the time zone database, such as Europe/Berlin"
        raise ValueError(msg)
    return value


class When(Section):
    """When something runs: by cron expression or at an interval, in a time zone."""

    cron: str | None = Field(
        default=None,
        description="Five fields: minute, hour, day, month, weekday; 0 3 * * * is every night at 3:00.",
    )
    every_s: float | None = Field(
        default=None, ge=1.0, le=31_536_000.0, description="Seconds between two runs, instead of cron."
    )
    timezone: str = Field(
        default="UTC", description="Time zone of the cron expression, such as Europe/Berlin."
    )
    overlap: Literal["skip", "queue"] = Field(
        default="skip",
        description="A run that is due while the previous one still works: skip drops it, queue makes it wait.",
    )

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        return _known_zone(value)

    @field_validator("cron")
    @classmethod
    def _cron_is_read(cls, value: str | None) -> str | None:
        from datetime import UTC, datetime

        from cronsim import CronSim, CronSimError

        if value is not None:
            try:
                CronSim(value, datetime.now(UTC))
            except CronSimError as error:
                msg = f"not a cron expression ({str(error).lower()}); expected five fields, such as 0 3 * * *"
                raise ValueError(msg) from None
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> When:
        if (self.cron is None) == (self.every_s is None):
            msg = "give either cron or every_s"
            raise ValueError(msg)
        return self


class ScheduleConfig(When):
    """A config that runs on a schedule."""

    name: RunName = Field(description="Name of the schedule; Prefect shows it as a deployment of the flow.")
    flow: str = Field(default="topic_model", description="Flow that reads the config.")
    config: str = Field(description="The TOML file of the config, relative to this file's folder.")
    set: tuple[str, ...] = Field(default=(), description="Values to change, as with --set: key=value.")


class RetentionConfig(Section):
    """Which runs are kept: the newest of each name, recent ones, and `latest`; the store is cleaned afterwards."""

    model_config = ConfigDict(title="clean_store")

    store: Annotated[str, IsPath()] = Field(default="store", description="Folder or URL of the artifacts.")
    runs: Annotated[tuple[str, ...], IsPath()] = Field(
        default=("runs",),
        min_length=1,
        description="Folders of the runs of every machine that shares the store.",
    )
    no_runs: bool = Field(
        default=False,
        description="Delete artifacts although a folder of runs is missing or contains no run; refused otherwise.",
    )
    keep_runs: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Keep the newest N published runs of each name and delete the others. If neither this nor "
        "keep_days is set, no run is deleted.",
    )
    keep_days: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None, description="Keep runs younger than this many days."
    )
    min_age_hours: float = Field(
        default=24.0,
        ge=0.0,
        description="Keep artifacts younger than this many hours. Artifacts that a run is using now are always kept.",
    )
    dry_run: bool = Field(default=False, description="Only list what would be deleted.")


class RetentionSchedule(When):
    """When runs and artifacts are deleted, and by which policy."""

    policy: RetentionConfig = Field(default_factory=RetentionConfig, description="Which runs are kept.")


class ServeConfig(Section):
    """What `topicflow serve` runs on a schedule. Every flow can also be started from the Prefect UI."""

    at_once: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Maximum number of runs at a time on this machine; further runs wait, for any overlap of "
        "their schedule. If not set: no limit.",
    )
    port: int = Field(
        default=4200, ge=1, le=65_535, description="Port of the Prefect server, if serve starts one."
    )
    schedules: tuple[ScheduleConfig, ...] = Field(default=(), description="Configs that run on a schedule.")
    retention: RetentionSchedule | None = Field(
        default=None, description="Scheduled deletion of old runs and artifacts (off without this section)."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> ServeConfig:
        names = [schedule.name for schedule in self.schedules]
        for name in names:
            if names.count(name) > 1:
                msg = f"two schedules have the name {name}; rename one of them"
                raise ValueError(msg)
        return self
