"""Command of first configs: init."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topicflow.flows.commands.options import checked
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.tasks.documents.guess import Guess

app = typer.Typer()

KNOWN = ("run", "update", "index", "dedup", "classify", "tune", "serve")
"""Commands for which a config is written."""


@app.command()
def init(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A file, a SQLite or DuckDB database, a folder of texts, mails or tables, or a glob in quotes.",
        ),
    ],
    flow: Annotated[
        str, typer.Option("--flow", metavar="COMMAND", help=f"For which command: {', '.join(KNOWN)}.")
    ] = "run",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write the config.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing config.")] = False,
) -> None:
    """Read a file and write a config for it that runs without changes; print what was guessed and why."""
    from topicflow.tasks.runs.resolve import COMMANDS

    command = COMMANDS.get(flow, flow)  # a flow's own name is taken too
    if command not in KNOWN:
        msg = f"--flow {flow}: expected one of {', '.join(KNOWN)}"
        raise ConfigError(msg)
    from topicflow.configs.sections.load import LoadConfig
    from topicflow.tasks.documents.guess import config_stem, guess_config

    checked({"path": str(file)}, LoadConfig, "FILE")
    guess = guess_config(file)
    stem = config_stem(file.name) if file.is_file() else guess.name
    if command == "serve":
        _write_schedule(guess, output or Path("serve.toml"), stem, force=force)
        return
    target = output or Path(f"{stem}.toml" if command == "run" else f"{stem}-{command}.toml")
    _write(guess, command, target, force=force)
    print(f"\nwrote {target}; now: topicflow {command} {target}")


def _write_schedule(guess: Guess, target: Path, stem: str, *, force: bool) -> None:
    """Write a file for `serve`, and the config that it names if that does not exist."""
    from topicflow.tasks.documents.first_config import render_schedule

    _check_free(target, force=force)
    config = target.parent / f"{stem}-update.toml"
    if config.exists():
        print(f"{config} exists and is used as it is")
    else:
        _write(guess, "update", config, force=force)
        print(f"\nwrote {config}")
    target.write_text(render_schedule(str(target), config.name), encoding="utf-8")
    print(f"wrote {target}; now: topicflow serve {target}")


def _write(guess: Guess, command: str, target: Path, *, force: bool) -> None:
    """Write the config of a command, and print the reasons; a path in it is relative to the config's file."""
    from topicflow.tasks.documents.first_config import reasons_of, render_config

    _check_free(target, force=force)
    if "://" not in guess.path:
        guess = replace(guess, path=os.path.relpath(Path(guess.path).expanduser(), target.absolute().parent))
    target.write_text(render_config(guess, command), encoding="utf-8")
    for reason in reasons_of(guess, command):
        print(reason)


def _check_free(target: Path, *, force: bool) -> None:
    if target.exists() and not force:
        msg = f"{target} exists already; --force writes over it, --output names another"
        raise ConfigError(msg)
