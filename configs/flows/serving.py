"""Config of `topicflow serve`: what one machine runs and when, and which runs it keeps."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import ConfigDict, Field, field_validator, model_validator

from topicflow.configs.flows.base import RunName
from topicflow.configs.sections.base import Section


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        msg = "expected a name of the time zone database, as in Europe/Berlin"
        raise ValueError(msg)
    return value


class When(Section):
    """When something runs: by cron or at an interval, in a time zone."""

    cron: str | None = Field(
        default=None,
        description="Five fields: minute, hour, day, month, weekday; 0 3 * * * is every night at 3.",
    )
    every_s: float | None = Field(
        default=None, ge=1.0, le=31_536_000.0, description="Seconds between two runs, instead of cron."
    )
    timezone: str = Field(default="UTC", description="Time zone of cron, as in Europe/Berlin.")
    overlap: Literal["skip", "queue"] = Field(
        default="skip",
        description="A run that is due while the one before is at work: skip lets it go, queue lets it wait.",
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
                msg = f"not a cron expression ({str(error).lower()}); expected five fields, as in 0 3 * * *"
                raise ValueError(msg) from None
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> When:
        if (self.cron is None) == (self.every_s is None):
            msg = "give either cron or every_s"
            raise ValueError(msg)
        return self


class ScheduleConfig(When):
    """One config that is run by itself."""

    name: RunName = Field(description="Name of the schedule; Prefect shows it as a deployment of the flow.")
    flow: str = Field(default="topic_model", description="Which flow the config is of.")
    config: str = Field(description="The TOML file of the config, relative to this file's folder.")
    set: tuple[str, ...] = Field(default=(), description="Values changed, as with --set: key=value.")


class RetentionConfig(Section):
    """Which runs are kept: the last of each name, young ones, and what `latest` is; then the store is cleaned."""

    model_config = ConfigDict(title="clean_store")

    store: str = Field(default="store", description="Folder or URL of the artifacts.")
    runs: tuple[str, ...] = Field(
        default=("runs",),
        min_length=1,
        description="Folders of the runs, of every machine that shares the store.",
    )
    no_runs: bool = Field(
        default=False,
        description="Delete artifacts although a folder of runs is missing or holds no run; refused otherwise.",
    )
    keep_runs: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Keep the newest N published runs of each name, delete the others. No run is deleted if neither "
        "this nor keep_days is given.",
    )
    keep_days: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None, description="Keep runs younger than N days."
    )
    min_age_hours: float = Field(
        default=24.0,
        ge=0.0,
        description="Keep artifacts younger than N hours. Those of a run at work are kept whatever their age.",
    )
    dry_run: bool = Field(default=False, description="Only say what would be deleted.")


class RetentionSchedule(When):
    """When runs and artifacts are cleaned, and by which policy."""

    policy: RetentionConfig = Field(default_factory=RetentionConfig, description="Which runs are kept.")


class ServeConfig(Section):
    """What `topicflow serve` runs by itself; every flow can be started from the UI besides."""

    at_once: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Runs at a time on this machine, however many if none; one that waits for a place is queued, "
        "whatever its schedule's overlap says.",
    )
    port: int = Field(
        default=4200, ge=1, le=65_535, description="Port of the Prefect server, where one is started here."
    )
    schedules: tuple[ScheduleConfig, ...] = Field(
        default=(), description="Configs that are run by themselves."
    )
    retention: RetentionSchedule | None = Field(
        default=None, description="Cleaning of runs and store by schedule (off unless the section is given)."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> ServeConfig:
        names = [schedule.name for schedule in self.schedules]
        for name in names:
            if names.count(name) > 1:
                msg = f"two schedules are called {name}; give one another name"
                raise ValueError(msg)
        return self
