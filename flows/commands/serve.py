"""Command of schedules: serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topicflow.tasks.errors import ConfigError

app = typer.Typer()


@app.command()
def serve(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="A TOML file of schedules; without one, runs start from the UI."
        ),
    ] = None,
) -> None:
    """Run configs on a schedule, and any flow from the Prefect UI, on this machine until Ctrl-C or SIGTERM."""
    from topicflow.configs.flows.serving import ServeConfig
    from topicflow.configs.read import load_config

    try:
        config = ServeConfig() if file is None else load_config(file, (), ServeConfig)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    from topicflow.flows.running.serving import serve as serve_all

    serve_all(config, Path() if file is None else file.parent)
