"""Every command: the command line with all of its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from topicflow.flows.commands import (
    classify,
    config,
    doctor,
    documents,
    duplicates,
    edit,
    init,
    recommend,
    search,
    serve,
    store,
    sweep,
    topics,
    tuning,
    update,
)
from topicflow.flows.commands.options import new_app

app = new_app()
for module in (
    topics, init, documents, classify, duplicates, edit, sweep, serve, doctor, update, search, recommend, tuning,
):  # fmt: skip
    app.add_typer(module.app)
app.add_typer(store.app, name="store")
app.add_typer(config.app, name="config")


@app.command("help")
def show_help(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help="The command; all commands if none.")
    ] = None,
) -> None:
    """Show this help, or that of a command."""
    app([*(command or ()), "--help"], prog_name="topicflow")
