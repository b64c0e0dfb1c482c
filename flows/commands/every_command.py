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
app.add_typer(topics.app)
app.add_typer(init.app)
app.add_typer(documents.app)
app.add_typer(classify.app)
app.add_typer(duplicates.app)
app.add_typer(edit.app)
app.add_typer(sweep.app)
app.add_typer(serve.app)
app.add_typer(doctor.app)
app.add_typer(update.app)
app.add_typer(search.app)
app.add_typer(recommend.app)
app.add_typer(tuning.app)
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
