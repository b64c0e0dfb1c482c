"""Console of classifiers: the record of a run -> what a person reads in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from topicflow.flows.screen.terminal import near, terminal
from topicflow.tasks.documents.spreadsheet_csv import read_csv
from topicflow.tasks.runs.records import RunRecord

SHOWN = 50


def print_classifier(record: RunRecord, folder: Path) -> None:
    """Print the scores of both methods side by side, which is recommended and why, and where the rest is."""
    from topicflow.tasks.publish.model_card import verdict

    comparison, metrics = record["comparison"], record["metrics"]
    seconds = {(row["shots"], row["method"]): row["seconds"] for row in record["seconds_of_training"]}
    title = (
        f"{metrics['n_classes']:,} classes from {metrics['n_examples']:,} labelled texts; "
        f"mean and interval over repeated splits"
    )
    table = Table("trained on", "method", "accuracy", "macro F1", "calibration error", "seconds", title=title,
                  title_justify="left")  # fmt: skip
    for row in comparison["rows"]:
        trained = f"{row['shots']} a class" if row["shots"] else f"{row['n_train']:,}"
        cells = [
            f"{row[name]['mean']:.3f} ({row[name]['low']:.3f} to {row[name]['high']:.3f})"
            for name in ("accuracy", "macro_f1", "calibration_error")
        ]
        table.add_row(trained, row["method"], *cells, f"{seconds[row['shots'], row['method']]:.2f}")
    terminal().print(table)
    print(verdict(comparison))
    print(
        f"{metrics['n_documents']:,} documents predicted by {metrics['method']}, {metrics['unsure_share']:.1%} unsure: "
        f"{near(folder / 'predictions.parquet')}"
    )
    for column, n in record.get("unseen_categories", {}).items():
        total = metrics["n_documents"]
        print(f"unknown categories in {column}: {n:,} of {total:,} documents; no labelled document has them")
    if metrics["n_contradictory"]:
        print(f"{metrics['n_contradictory']:,} texts with different labels were left out")
    print(
        f"what to label next: {near(folder / 'suggestions.csv')}; "
        f"the classifier and its card: {near(folder / 'classifier')}"
    )


def print_suggestions(path: Path) -> None:
    """Print the documents that are most worth a label."""
    found = read_csv(path)
    table = Table(
        "doc_id", "guess", "or", "probability", "text", title="most worth a label", title_justify="left"
    )
    for row in found.head(SHOWN).iter_rows(named=True):
        words = " ".join((row["text"] or "").split())
        table.add_row(
            Text(row["doc_id"]),
            Text(row["guess"]),
            Text(row["second_guess"]),
            row["probability"],
            Text(words[:80]),
        )
    terminal().print(table)
    print(f"fill in the column label of {path} and add the file to labels.path")
