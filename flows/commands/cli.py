"""The command line: arguments -> a plan, a run, or a look at past ones; `flows.commands` holds the commands.

Nothing heavy is imported before it is needed: `--help` and `plan` answer in under a second.
"""

from __future__ import annotations

import os
import sys
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
from topicflow.flows.running.modules import trust_no_folder
from topicflow.tasks.errors import ConfigError, PipelineError
from topicflow.tasks.execution.reporting import is_away

app = typer.Typer(
    name="topicflow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
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


def main() -> None:
    """Run the command line; exit 0 on success, 1 on a failed run, 2 on a bad config or argument."""
    trust_no_folder()
    try:
        _main()
    except SystemExit as end:
        if is_away():  # Prefect would try for minutes to reach its server
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(end.code or 0))
        raise


def _main() -> None:
    try:
        app()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:  # `topicflow runs | head`
        sys.stderr.close()
    except (MemoryError, ImportError, OSError, RuntimeError) as error:
        _end_without_memory(error)


def _end_without_memory(error: Exception) -> None:
    """Print one line if memory ran out, and exit with 1; raise any other error."""
    from topicflow.tasks.execution.memory import memory_failure, out_of_memory

    if (refused := memory_failure(error)) is None:
        raise error
    print(f"error: {out_of_memory(' '.join(sys.argv[1:2]) or 'topicflow', refused)}", file=sys.stderr)
    sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"topicflow {version('topicflow')}")
        raise typer.Exit


@app.callback()
def topicflow(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a corpus of text to topics: every stage is kept, nothing is computed twice, quality is measured."""


if __name__ == "__main__":
    main()
