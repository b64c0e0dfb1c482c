"""Commands of a run's tables: documents, export, graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import AsJson, Force, RunName, RunsDir, print_json
from topicflow.flows.commands.search import Where

if TYPE_CHECKING:
    import polars as pl

    from topicflow.tasks.results.export import Choice

app = typer.Typer()

SHOWN = 20
"""Documents on the screen if there is no --limit."""

SHOWN_COLUMNS = ("doc_id", "topic", "topic_name", "probability", "kept", "similarity", "text")
"""Columns on the screen, if the run has them."""

SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class Wanted:
    """Which documents are wanted; see `grouped`."""

    topic: Annotated[
        list[int] | None,
        typer.Option("--topic", metavar="N", help="Documents of this topic, -1 for none; repeatable."),
    ] = None
    where: Where = None
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="COLUMN", help="The largest values of this column first.")
    ] = None
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Maximum number of documents.")
    ] = None

    def choice(self) -> Choice:
        """Return the documents that are wanted."""
        from topicflow.tasks.results.export import Choice

        return Choice(tuple(self.topic or ()), self.where, self.sort, self.limit)


@app.command()
@grouped
def documents(
    wanted: Wanted,
    run: RunName = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A file that ends in .csv, .xlsx or .parquet."),
    ] = None,
    force: Force = False,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Show or write the documents of a run, all or those of a topic, with the names of the topics."""
    from topicflow.tasks.results.export import chosen_documents, write_table
    from topicflow.tasks.runs.resolve import TOPIC_FLOWS, resolve

    record = resolve(runs or Path("runs"), run, flow=None if run else TOPIC_FLOWS)
    choice, is_shown = wanted.choice(), output is None and not as_json
    found = chosen_documents(record, replace(choice, limit=None) if is_shown else choice)
    if output is not None:
        n_documents, lost = write_table(found, output, force=force)
        print(f"wrote {output}: {n_documents:,} documents of {record['name']}/{record['run_id']}")
        for line in lost:
            print(f"note: {line}")
        return
    table = found.collect()
    if as_json:
        print_json(table.to_dicts())
        return
    _print_documents(table, wanted.limit or SHOWN)


def _print_documents(table: pl.DataFrame, n_shown: int) -> None:
    """Print the first documents in a table: id, topic, probability, and the beginning of the text."""
    from rich.table import Table
    from rich.text import Text

    from topicflow.flows.screen.terminal import terminal

    columns = [name for name in SHOWN_COLUMNS if name in table.columns]
    shown = Table(*columns)
    for row in table.select(columns).head(n_shown).iter_rows():
        shown.add_row(*(Text(_short(value)) for value in row))
    terminal().print(shown)
    more = table.height - n_shown
    print(f"{table.height:,} documents" + (f", {n_shown:,} shown; --limit shows more" if more > 0 else ""))


def _short(value: object) -> str:
    """Return a value on one line."""
    if isinstance(value, float):
        return f"{value:.3f}"
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the files.")],
    run: RunName = None,
    force: Force = False,
    runs: RunsDir = None,
) -> None:
    """Write all tables of a run as CSV files, and as one Excel workbook with a sheet each."""
    from topicflow.tasks.results.export import export_run
    from topicflow.tasks.runs.resolve import resolve

    record = resolve(runs or Path("runs"), run)
    files, lost = export_run(record, output, force=force)
    for path in files:
        print(f"wrote {path}")
    for line in lost:
        print(f"note: {line}")


@app.command()
def graph(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the files.")],
    run: RunName = None,
    neighbors: Annotated[
        int, typer.Option("--neighbors", min=1, help="Nearest neighbours of each document that become edges.")
    ] = 5,
    force: Force = False,
    runs: RunsDir = None,
) -> None:
    """Write the documents, topics and near neighbours of a run as a graph: Parquet, and GraphML for Gephi."""
    from topicflow.tasks.results.graph import graph_of
    from topicflow.tasks.runs.resolve import resolve

    record = resolve(runs or Path("runs"), run, flow="topic_model")
    found = graph_of(record, neighbors)
    for path in found.write(output, force=force):
        print(f"wrote {path}")
    print(
        f"{found.documents.height:,} documents, {found.topics.height:,} topics, {found.edges.height:,} edges"
    )
