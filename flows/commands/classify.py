"""Commands of classifiers: classify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import FlowOptions
from topicflow.flows.commands.run_and_show import run_and_show

app = typer.Typer()


@app.command()
@grouped
def classify(
    options: FlowOptions,
    suggest: Annotated[
        int | None,
        typer.Option("--suggest", metavar="N", min=1, help="Show the N documents most worth a label next."),
    ] = None,
    export_setfit: Annotated[
        Path | None,
        typer.Option("--export-setfit", metavar="DIR", help="Write what SetFitModel.from_pretrained reads."),
    ] = None,
) -> None:
    """Learn classes from few labels, SetFit beside a linear probe, and predict the class of every document."""
    from topicflow.configs.flows.train_classifier import TrainClassifierConfig

    config = options.read(
        TrainClassifierConfig, [f"predict.n_suggestions={suggest}"] if suggest is not None else []
    )

    def show_more(_record: dict[str, Any], folder: Path) -> None:
        from topicflow.flows.screen.classes import print_suggestions

        if suggest is not None:
            print_suggestions(folder / "suggestions.csv")

    record = run_and_show(options, config, show_more)
    if export_setfit is None:
        return
    from topicflow.tasks.classify.classifiers import export_setfit as export

    folder = Path(config.runtime.runs) / record["name"] / record["run_id"]
    export(folder / "classifier", config.embed, export_setfit)
    if not options.as_json:
        print(f"SetFit model: {export_setfit}; its head is a pickle, as SetFit writes it: load only your own")
