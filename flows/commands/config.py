"""Commands of configs: explain."""

from __future__ import annotations

from typing import Annotated

import typer

from topicflow.configs.flows.names import FLOWS
from topicflow.tasks.errors import ConfigError

app = typer.Typer(help="Explain the config.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Explain the config."""


@app.command("explain")
def explain_config(
    key: Annotated[str, typer.Argument(help="Only keys that begin with this, e.g. cluster.")] = "",
    flow: Annotated[
        str, typer.Option("--flow", help=f"Which flow's config: {', '.join(FLOWS)}.")
    ] = "topic_model",
) -> None:
    """Print the meaning, the bounds and the default of every key of the config."""
    from topicflow.configs.read import explain

    if flow not in FLOWS:
        msg = f"--flow {flow}: no such flow; there are: {', '.join(FLOWS)}"
        raise ConfigError(msg)
    for name, kind, default, description in explain(FLOWS[flow]):
        if name.startswith(key):
            shown = f" (default: {default})" if default not in {"", "None"} else ""
            print(f"{name}: {kind}{shown}\n    {description}")
