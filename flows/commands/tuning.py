"""Command of tuned embeddings: tune."""

from __future__ import annotations

from pathlib import Path

import typer

from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
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
def tune(
    config: ConfigFile,
    overrides: Overrides = None,
    store: StoreDir = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Tune embeddings on examples of what is similar, and measure raw beside tuned."""
    settings = read_config(config, TuneEmbeddingsConfig, overrides, store, runs)
    record = run_flow(settings)
    if as_json:
        print_json(record)
        return
    from topicflow.flows.commands.console import print_run

    print_run(record, Path(settings.runtime.runs))
    if "adapter" in record:
        print(f'use it: [embed] adapter = "{record["name"]}" (or its key, {record["adapter"]})')
    else:
        print(f'use it: [embed] model = "{record["model"]}"')
