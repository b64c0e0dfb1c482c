"""Command that looks at an installation: doctor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topicflow.configs.flows.names import FLOWS
from topicflow.flows.commands.options import AsJson, FlowOptions, RunsDir, StoreDir, checked, print_json
from topicflow.tasks.doctor.finding import Finding
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.configs.sections.runtime import RuntimeConfig

app = typer.Typer()


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="A config that is checked, too.")
    ] = None,
    flow: Annotated[str, typer.Option("--flow", help="Which flow's config it is.")] = "topic_model",
    store: StoreDir = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Look at versions, extras, machine, device, store, runs and server; exit 1 if runs would fail."""
    findings = list(_findings(config, flow, store, runs))
    if as_json:
        print_json([vars(each) for each in findings])
    else:
        from topicflow.flows.screen.doctor import print_findings

        print_findings(findings)
    if any(each.grade == "problem" for each in findings):
        raise typer.Exit(1)


def _findings(config: Path | None, flow: str, store: str | None, runs: Path | None) -> Iterator[Finding]:
    from importlib.metadata import version

    from topicflow.tasks.doctor.installed import installed
    from topicflow.tasks.doctor.machine import machine
    from topicflow.tasks.doctor.places import places, server

    runtime, wrong = _runtime(config, flow, store, runs)
    yield from installed()
    yield from machine(runtime.device)
    yield from places(runtime)
    from prefect.settings import PREFECT_API_URL

    yield server(PREFECT_API_URL.value(), version("prefect"))
    if config is not None:
        yield from wrong or [Finding("config", f"{config}: nothing would fail before its documents are read")]


def _runtime(
    config: Path | None, flow: str, store: str | None, runs: Path | None
) -> tuple[RuntimeConfig, list[Finding]]:
    """Return the section `runtime` to look at, and what is wrong with a config."""
    from topicflow.configs.paths import in_work_folder
    from topicflow.configs.sections.runtime import RuntimeConfig

    if flow not in FLOWS:
        raise ConfigError(f"--flow {flow}: there are {', '.join(FLOWS)}")
    places = {"store": store, "runs": None if runs is None else str(runs)}
    given = {name: place for name, place in places.items() if place is not None}
    runtime = in_work_folder(checked(given, RuntimeConfig, "--store, --runs"))
    if config is None:
        return runtime, []
    from topicflow.flows.planning.ahead import problems

    try:
        read = FlowOptions(config, None, store, runs).read(FLOWS[flow])
    except ConfigError as error:
        return runtime, [_wrong(line) for line in str(error).splitlines()]
    return read.runtime, [_wrong(each.message) for each in problems(read)]


def _wrong(message: str) -> Finding:
    return Finding("config", message, "problem")
