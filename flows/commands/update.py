"""Commands of updates: update."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topicflow.configs.flows.update_topics import UpdateTopicsConfig
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
def update(
    config: ConfigFile,
    overrides: Overrides = None,
    store: StoreDir = None,
    runs: RunsDir = None,
    backfill: Annotated[
        int | None,
        typer.Option(
            "--backfill", min=1, metavar="N", help="One run for each of the last N periods, in order."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell new documents to the topics of the last run, which keep their ids; fit anew where they drift."""
    settings = read_config(config, UpdateTopicsConfig, overrides, store, runs)
    from topicflow.flows.commands.console import print_update

    folder = Path(settings.runtime.runs)
    if backfill is None:
        record = run_flow(settings)
        print_json(record) if as_json else print_update(record, folder)
        return
    from topicflow.flows.planning.backfill import due_periods

    records = []
    for period in due_periods(settings, backfill):
        records.append(run_flow(period))
        if not as_json:
            print_update(records[-1], folder)
    if as_json:
        print_json(records)
    elif not records:
        print(f"all of the last {backfill} periods are there")
