"""Command of servers: serve runs schedules, or answers searches of other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import RunsDir
from topicflow.tasks.errors import ConfigError

app = typer.Typer()

HOST, PORT = "127.0.0.1", 8765


@dataclass(frozen=True)
class SearchOptions:
    """What `serve --search` serves, and where; see `grouped`."""

    search: Annotated[
        bool, typer.Option("--search", help="Answer searches of other programs, over HTTP and MCP.")
    ] = False
    indexes: Annotated[
        list[str] | None,
        typer.Option(
            "--index",
            metavar="RUN",
            help="With --search: the run of an index: name, id or folder; repeatable; the newest if none.",
        ),
    ] = None
    runs: RunsDir = None
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help=f"With --search: the address to listen at; {HOST} if none, which is only this machine.",
        ),
    ] = None
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65_535,
            help=f"With --search: the port; {PORT} if none, and 0 is any free one.",
        ),
    ] = None
    token_env: Annotated[
        str | None,
        typer.Option(
            "--token-env",
            metavar="NAME",
            help="With --search: the environment variable with the token that clients must send.",
        ),
    ] = None

    def given(self) -> list[str]:
        """Return the options that only --search has and that are set."""
        values = {"--index": self.indexes, "--runs": self.runs, "--host": self.host, "--port": self.port}
        return [
            name for name, value in {**values, "--token-env": self.token_env}.items() if value is not None
        ]


@app.command()
@grouped
def serve(
    options: SearchOptions,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="A TOML file of schedules; without one, runs start from the UI."
        ),
    ] = None,
) -> None:
    """Run configs on a schedule and any flow from the Prefect UI, or serve searches, until Ctrl-C or SIGTERM."""
    from topicflow.configs.flows.serving import ServeConfig
    from topicflow.configs.read import load_config

    if options.search:
        _serve_search(options, file)
        return
    if given := options.given():
        msg = f"serve: only --search has {', '.join(given)}; add --search or leave them out"
        raise ConfigError(msg)
    try:
        config = ServeConfig() if file is None else load_config(file, (), ServeConfig)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    from topicflow.flows.running.serving import serve as serve_all

    serve_all(config, Path() if file is None else file.parent)


def _serve_search(options: SearchOptions, file: Path | None) -> None:
    from topicflow.flows.search_server.serve import Options, serve_search

    if file is not None:
        msg = f"serve: --search takes no file of schedules, found {file}; start a second `topicflow serve` for it"
        raise ConfigError(msg)
    serve_search(
        Options(
            indexes=tuple(options.indexes or ()),
            runs=options.runs or Path("runs"),
            host=HOST if options.host is None else options.host,
            port=PORT if options.port is None else options.port,
            token_env=options.token_env,
        )
    )
