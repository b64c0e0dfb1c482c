"""Command of tuned embeddings: tune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import FlowOptions
from topicflow.flows.commands.run_and_show import run_and_show

app = typer.Typer()


@app.command()
@grouped
def tune(options: FlowOptions) -> None:
    """Tune embeddings on examples of what is similar, and measure raw beside tuned."""
    from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig

    run_and_show(options, options.read(TuneEmbeddingsConfig), _show_use)


def _show_use(record: dict[str, Any], _folder: Path) -> None:
    """Print how another config uses the tuned embeddings."""
    if "adapter" in record:
        print(f'use it: [embed] adapter = "{record["name"]}" (or its key, {record["adapter"]})')
    else:
        print(f'use it: [embed] model = "{record["model"]}"')
