"""Options: what the commands share: arguments, reading a config, running its flow, opening a store, printing JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.paths import in_work_folder
from topicflow.configs.read import load_config, parse_config
from topicflow.configs.sections.base import Section
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=FlowConfig)
SectionT = TypeVar("SectionT", bound=Section)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML config file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value, e.g. cluster.min_cluster_size=50."),
]
StoreDir = Annotated[
    str | None, typer.Option("--store", metavar="DIR", help="Folder or URL (s3://…) of the artifacts.")
]
RunsDir = Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="Folder of the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]

RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]", help="A run's name, id, beginning of an id, or folder; the newest if none."
    ),
]


def read_config(
    path: Path, model: type[ConfigT], overrides: list[str] | None, store: str | None, runs: Path | None
) -> ConfigT:
    """Return the config of a file with the options of a command applied; raise ConfigError where it is wrong."""
    changes = list(overrides or [])
    changes += [
        f"runtime.{name}={json.dumps(_from_here(str(value)))}"
        for name, value in (("store", store), ("runs", runs))
        if value
    ]
    try:
        return in_work_folder(load_config(path, changes, model))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _from_here(path: str) -> str:
    """Return a path of an option, which is relative to where the command is started; a URL stays."""
    return path if "://" in path else str(Path(path).absolute())


def run_flow(config: FlowConfig, start: Callable[..., dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the record of a run of the flow that `config` is of, with its lines on the screen and its log kept.

    Parameters
    ----------
    config : FlowConfig
        The resolved config.
    start : callable, optional
        What starts it, given config and log; `flows.running.start.start_flow` if None.

    Raises
    ------
    PipelineError
        When the run fails; the message is one line.
    """
    from topicflow.flows.running.interrupt import ends_on_interrupt
    from topicflow.flows.running.log import quiet_run_log
    from topicflow.flows.running.start import start_flow
    from topicflow.tasks.execution.memory import aborts_in_one_line
    from topicflow.tasks.store.artifact_store import local_folder

    folder = Path(config.runtime.runs)
    with (
        aborts_in_one_line(),
        ends_on_interrupt(local_folder(config.runtime)),
        quiet_run_log(config) as log,
    ):
        record = (start or start_flow)(config, log)
        log.keep(folder / record["name"] / record["run_id"])
    return record


def open_store(place: str | None) -> Any:  # noqa: ANN401
    """Return the store at a place, `store` if None; raise ConfigError where there is none."""
    from topicflow.tasks.store import artifact_store as stores

    store = stores.open_store(checked({"store": place or "store"}, RuntimeConfig, "--store"))
    if not store.exists():
        msg = f"{store.name}: no store here; --store names one"
        raise ConfigError(msg)
    return store


def checked(values: dict[str, Any], model: type[SectionT], option: str) -> SectionT:
    """Return the section that the values of an option make; raise ConfigError, which names it, where they are wrong."""
    try:
        return parse_config(values, model, option)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
