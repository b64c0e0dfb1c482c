"""Commands of updates: update."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import FlowOptions, print_json
from topicflow.flows.commands.run_and_show import run_and_show, run_flow

app = typer.Typer()


@app.command()
@grouped
def update(
    options: FlowOptions,
    backfill: Annotated[
        int | None,
        typer.Option(
            "--backfill", min=1, metavar="N", help="One run for each of the last N periods, in order."
        ),
    ] = None,
) -> None:
    """Assign new documents to the topics of the last run, which keep their ids; refit if the topics drift."""
    from topicflow.configs.flows.update_topics import UpdateTopicsConfig

    config = options.read(UpdateTopicsConfig)
    if backfill is None:
        run_and_show(options, config)
        return
    from topicflow.flows.planning.backfill import due_periods
    from topicflow.flows.running.log import quiet_run_log
    from topicflow.flows.screen.runs import print_run

    with quiet_run_log(config):  # an input without dates is a failed run
        periods = list(due_periods(config, backfill))
    records = []
    for period in periods:
        records.append(run_flow(period))
        if not options.as_json:
            print_run(records[-1], Path(config.runtime.runs))
    if options.as_json:
        print_json(records)
    elif not records:
        print(f"the last {backfill} periods have their runs already")
