"""Options: what the commands share: arguments, reading a config, opening a store, printing JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.configs.fields.base import Section
    from topicflow.configs.flows.base import FlowConfig

ConfigT = TypeVar("ConfigT", bound="FlowConfig")
SectionT = TypeVar("SectionT", bound="Section")

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

Force = Annotated[bool, typer.Option("--force", help="Write over files that exist.")]

RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]", help="A run's name, id, beginning of an id, or folder; the newest if none."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"topicflow {version('topicflow')}")
        raise typer.Exit


def _topicflow(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a corpus of text to topics: every stage is kept, nothing is computed twice, quality is measured."""


def new_app() -> typer.Typer:
    """Return the command line without commands."""
    app = typer.Typer(
        name="topicflow",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )
    app.callback()(_topicflow)
    return app


@dataclass(frozen=True)
class FlowOptions:
    """The options of every command that runs or plans a flow; see `grouped`."""

    config: ConfigFile
    overrides: Overrides = None
    store: StoreDir = None
    runs: RunsDir = None
    as_json: AsJson = False

    def read(self, model: type[ConfigT], changes: Sequence[str] = ()) -> ConfigT:
        """Return the config of the file with the options and the `changes` applied.

        Raises
        ------
        ConfigError
            When the file or an option is wrong.
        """
        from topicflow.configs.paths import in_work_folder
        from topicflow.configs.read import load_config

        paths = {"store": self.store, "runs": self.runs}
        given = [
            f"runtime.{name}={json.dumps(_from_here(str(path)))}" for name, path in paths.items() if path
        ]
        try:
            return in_work_folder(
                load_config(self.config, [*(self.overrides or []), *changes, *given], model)
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None


def _from_here(path: str) -> str:
    """Return a path of an option, which is relative to where the command is started; a URL stays."""
    return path if "://" in path else str(Path(path).absolute())


def open_store(place: str | None) -> Any:  # noqa: ANN401
    """Return the store at a place, `store` if None; raise ConfigError if there is none."""
    from topicflow.configs.sections.runtime import RuntimeConfig
    from topicflow.tasks.store import artifact_store as stores

    store = stores.open_store(checked({"store": place or "store"}, RuntimeConfig, "--store"))
    if not store.exists():
        store.check_empty()
        msg = f"{store.name}: no store here; --store names one"
        raise ConfigError(msg)
    return store


def checked(values: dict[str, Any], model: type[SectionT], option: str) -> SectionT:
    """Return the section that the values of an option make; raise ConfigError, which names it, if they are wrong."""
    from topicflow.configs.read import parse_config

    try:
        return parse_config(values, model, option)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
