"""CSV files with texts: a spreadsheet runs no cell, and every text is read back exactly."""

import csv
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topicflow.configs.sections.classify import LabelsConfig
from topicflow.tasks.classify.label_sources import read_table, topic_labels
from topicflow.tasks.documents.spreadsheet_csv import read_csv, write_csv
from topicflow.tasks.tuning.example_files import read_labels

TASKS = Path(__file__).parents[2] / "tasks"
FORMULAS = [
    "=1+1",
    "+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    '=HYPERLINK("http://x","y")',
    "-",
    "=",
]
NEAR = ["'=1", "''=1", "'text", "'", "a=1", " =1", "", "text", "5-3", None]


def written(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def test_formulas_are_shown_as_text_and_come_back(tmp_path: Path) -> None:
    table = pl.DataFrame({"n": range(21), "text": [*FORMULAS, *NEAR]})
    write_csv(table, tmp_path / "a.csv")
    cells = [row[1] for row in written(tmp_path / "a.csv")]
    assert cells[: len(FORMULAS)] == [f"'{text}" for text in FORMULAS]
    assert cells[len(FORMULAS) :] == ["''=1", "'''=1", "'text", "'", "a=1", " =1", "", "text", "5-3", ""]
    back = read_csv(tmp_path / "a.csv")
    assert back["text"].to_list() == [*FORMULAS, *NEAR]
    assert back["n"].to_list() == [str(n) for n in range(21)]


@given(st.lists(st.text(alphabet="'=+-@\t\r\n＝a \",;é"), min_size=1))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(pl.DataFrame({"doc_id": texts, "text": texts[::-1]}), path)
    assert read_csv(path).to_dict(as_series=False) == {"doc_id": texts, "text": texts[::-1]}
    assert not any(cell and cell[0] in "=+-@\t\r\n＝" for row in written(path) for cell in row)


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    write_csv(pl.DataFrame({"score": [-0.5, 1.5], "n": [-1, 2]}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "score,n\n-0.5,-1\n1.5,2\n"


def test_what_is_filled_in_names_the_documents_it_was_written_for(tmp_path: Path) -> None:
    ids = ["=1", "-7", "'@x", "plain"]
    path = tmp_path / "suggestions.csv"
    write_csv(pl.DataFrame({"doc_id": ids, "label": ["+a", "b", "+a", "b"]}), path)
    labels = read_table(str(path), ("doc_id", "label"))
    assert labels.rows() == [("=1", "+a"), ("-7", "b"), ("'@x", "+a"), ("plain", "b")]
    assert read_labels(str(path), pl.Series(ids)).rows() == labels.rows()


def test_topics_named_in_a_spreadsheet(tmp_path: Path) -> None:
    named = pl.DataFrame({"topic": [0, 1], "name": ["=x", "y"], "class": ["-good", "bad"]})
    write_csv(named, tmp_path / "topics.csv")
    placed = {"doc_id": ["a", "b"], "topic": [0, 1], "probability": [1.0, 1.0], "reassigned": [False, False]}
    pl.DataFrame(placed).write_parquet(tmp_path / "documents.parquet")
    config = LabelsConfig(run="r", topics=str(tmp_path / "topics.csv"))
    assert topic_labels(str(tmp_path), config).rows() == [("a", "-good"), ("b", "bad")]


def test_there_is_one_writer_and_one_reader() -> None:
    for path in TASKS.rglob("*.py"):
        if path.name != "spreadsheet_csv.py":
            text = path.read_text(encoding="utf-8")
            assert ".write_csv(" not in text, path
            assert "pl.read_csv(" not in text, path
