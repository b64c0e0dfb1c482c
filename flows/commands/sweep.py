"""Command of sweeps: sweep."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import FlowOptions
from topicflow.flows.commands.run_and_show import run_and_show
from topicflow.tasks.errors import ConfigError

app = typer.Typer()

Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=VALUES",
        help="Values of a key: 10,20,50 or 10..100:5 (equal ratios) or 0..1:5:linear; repeat for a grid.",
    ),
]


@app.command()
@grouped
def sweep(options: FlowOptions, vary: Vary = None) -> None:
    """Fit a topic model with many settings, compare them, and recommend one."""
    from topicflow.tasks.sweeps.settings import grid_of

    config = options.read(SweepConfig, varied(vary))
    grid_of(config)
    run_and_show(options, config)


def varied(vary: list[str] | None) -> list[str]:
    """Return the changes of a config that --vary means; raise ConfigError if one has no `=`."""
    changes = []
    for each in vary or ():
        key, equals, values = each.partition("=")
        if not equals or not key.strip():
            msg = f"--vary {each}: expected KEY=VALUES, such as cluster.min_cluster_size=10,20,50"
            raise ConfigError(msg)
        changes.append(f"sweep.vary.{key.strip()}={json.dumps(values)}")
    return changes
