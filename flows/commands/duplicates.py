"""Commands of near-duplicates: dedup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import FlowOptions
from topicflow.flows.commands.run_and_show import run_and_show

app = typer.Typer()


@app.command()
@grouped
def dedup(
    options: FlowOptions,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="Another corpus, read in the same way; documents that are in it are not kept.",
        ),
    ] = None,
) -> None:
    """Find near-duplicates and keep one of each, computing only what the store lacks."""
    from topicflow.configs.flows.deduplicate import DeduplicateConfig, with_against

    config = options.read(DeduplicateConfig)
    if against is not None:
        config = with_against(config, str(against.absolute()))
    run_and_show(options, config)
