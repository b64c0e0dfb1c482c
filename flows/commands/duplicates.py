"""Commands of near-duplicates: dedup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topicflow.flows.commands.options import (
    AsJson,
    ConfigFile,
    Overrides,
    RunsDir,
    StoreDir,
    print_json,
    read_config,
    run_flow,
)

app = typer.Typer()


@app.command()
def dedup(
    config: ConfigFile,
    overrides: Overrides = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", metavar="FILE", help="Another corpus, read as the first: what is in it is not kept."
        ),
    ] = None,
    store: StoreDir = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Find near-duplicates and keep one of each, computing only what the store lacks."""
    from topicflow.configs.flows.deduplicate import DeduplicateConfig

    settings = read_config(config, DeduplicateConfig, overrides, store, runs)
    if against is not None:
        other = settings.load.model_copy(
            update={"path": str(against.absolute()), "query": None, "connection_env": None}
        )
        settings = settings.model_copy(update={"against": other})
    record = run_flow(settings)
    if as_json:
        print_json(record)
        return
    from topicflow.flows.commands.console import print_run

    print_run(record, Path(settings.runtime.runs))
