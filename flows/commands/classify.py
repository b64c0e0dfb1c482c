"""Commands of classifiers: classify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
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
def classify(
    config: ConfigFile,
    overrides: Overrides = None,
    suggest: Annotated[
        int | None,
        typer.Option("--suggest", metavar="N", min=1, help="Show the N documents most worth a label next."),
    ] = None,
    export_setfit: Annotated[
        Path | None,
        typer.Option("--export-setfit", metavar="DIR", help="Write what SetFitModel.from_pretrained reads."),
    ] = None,
    store: StoreDir = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Learn classes from few labels, SetFit beside a linear probe, and predict them of the whole corpus."""
    changes = [*(overrides or []), *([f"predict.n_suggestions={suggest}"] if suggest else [])]
    settings = read_config(config, TrainClassifierConfig, changes, store, runs)
    record = run_flow(settings)
    folder = Path(settings.runtime.runs) / record["name"] / record["run_id"]
    if export_setfit is not None:
        from topicflow.tasks.classify.classifiers import export_setfit as export

        export(folder / "classifier", settings.embed, export_setfit)
    if as_json:
        print_json(record)
        return
    from topicflow.flows.commands.console import print_run
    from topicflow.flows.commands.console_classes import print_suggestions

    print_run(record, Path(settings.runtime.runs))
    if suggest:
        print_suggestions(folder / "suggestions.csv")
    if export_setfit is not None:
        print(f"SetFit model: {export_setfit}; its head is a pickle, as SetFit writes it: load only your own")
