"""Tables of a run as CSV, Excel and Parquet files: what is chosen, what a file holds, and what it says it cannot."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.runs import complete
from topicflow.tasks.documents.spreadsheet_csv import read_csv
from topicflow.tasks.errors import ArtifactError, ConfigError, DataError
from topicflow.tasks.results import workbook
from topicflow.tasks.results.export import Choice, chosen_documents, export_run, write_table
from topicflow.tasks.results.flat import flat
from topicflow.tasks.results.tables import read_table, table_names
from topicflow.tasks.results.workbook import write_workbook
from topicflow.tasks.runs.resolve import resolve

DOCUMENTS = pl.DataFrame(
    {
        "doc_id": ["a", "b", "c", "d"],
        "topic": pl.Series([1, 0, -1, 1], dtype=pl.Int32),
        "probability": pl.Series([0.5, 0.9, None, 0.7], dtype=pl.Float32),
        "text": ["=1+1", "tea", None, "wine"],
        "stars": [1, 2, 3, 4],
    }
)
TOPICS = pl.DataFrame(
    {
        "topic": pl.Series([0, 1], dtype=pl.Int32), "name": ["drinks", "sums"],
        "keywords": [["tea", "milk"], ["one", "two"]], "weights": [[0.25, 0.125], [1.0, 0.00004]],
        "centroid": ["/store/topics/x/centroids.npy#0", "/store/topics/x/centroids.npy#1"],
    }
)  # fmt: skip


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """A run of an older version: no names of topics in documents, and places of the store in topics."""
    run = complete(tmp_path / "runs", 1, flow="topic_model")
    folder = run.folder(tmp_path / "runs")
    DOCUMENTS.write_parquet(folder / "documents.parquet")
    TOPICS.write_parquet(folder / "topics.parquet")
    TOPICS.select("topic").write_parquet(folder / "lineage.parquet")
    return resolve(tmp_path / "runs", "topics")


def chosen(record: dict[str, Any], **wanted: Any) -> list[str]:
    return chosen_documents(record, Choice(**wanted)).collect()["doc_id"].to_list()


# --- tables and choices ---


def test_documents_have_names_and_topics_no_places(record: dict[str, Any]) -> None:
    documents = read_table(record, "documents").collect()
    assert documents.columns == ["doc_id", "topic", "topic_name", "probability", "text", "stars"]
    assert documents["topic_name"].to_list() == ["sums", "drinks", "no topic", "sums"]
    assert_frame_equal(read_table(record, "topics").collect(), TOPICS.drop("centroid"))
    assert table_names(record) == ["documents", "topics", "lineage"]


def test_documents_are_chosen_by_topic_condition_order_and_number(record: dict[str, Any]) -> None:
    assert chosen(record) == ["a", "b", "c", "d"]
    assert chosen(record, topics=(1,)) == ["a", "d"]
    assert chosen(record, topics=(1, -1)) == ["a", "c", "d"]
    assert chosen(record, where="stars >= 2 and topic_name != 'drinks'") == ["c", "d"]
    assert chosen(record, topics=(1,), where="stars > 1") == ["d"]
    assert chosen(record, sort="probability") == ["b", "d", "a", "c"]
    assert chosen(record, sort="stars", limit=2) == ["d", "c"]
    assert chosen(record, topics=(0,), where="stars = 9") == []


def test_a_wrong_choice_is_one_line(record: dict[str, Any]) -> None:
    with pytest.raises(
        DataError, match=r"no topic 7; there are 0 to 1, and -1 for documents without a topic$"
    ):
        chosen(record, topics=(7,))
    with pytest.raises(ConfigError, match=r"filter: column 1: no column 'star'; did you mean 'stars'\?"):
        chosen(record, where="star > 1")
    with pytest.raises(ConfigError, match=r"--sort strs: no such column; did you mean 'stars'\?"):
        chosen(record, sort="strs")
    with pytest.raises(ConfigError, match=r"no table kept .*; it has documents, topics, lineage$"):
        read_table(record, "kept")


# --- files ---


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet"])
def test_a_file_holds_the_chosen_documents(record: dict[str, Any], tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    found = chosen_documents(record, Choice(topics=(1,)))
    assert write_table(found, path) == (2, [])
    table = {"csv": read_csv, "xlsx": _read_sheet, "parquet": pl.read_parquet}[ending](path)
    assert table["doc_id"].to_list() == ["a", "d"]
    assert table["topic_name"].to_list() == ["sums", "sums"]
    assert table["text"].to_list() == ["=1+1", "wine"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(ConfigError, match="exists already; --force writes over it"):
        write_table(found, path)
    assert write_table(found, path, force=True) == (2, [])


def test_a_file_that_cannot_be_written_is_one_line(record: dict[str, Any], tmp_path: Path) -> None:
    found = chosen_documents(record, Choice())
    with pytest.raises(
        ConfigError, match=r"out\.pdf: expected a file that ends in \.csv, \.xlsx, \.parquet$"
    ):
        write_table(found, tmp_path / "out.pdf")
    for ending in ("csv", "xlsx", "parquet"):
        with pytest.raises(
            ArtifactError, match=r"nowhere/out\.\w+ cannot be written \(no such file or directory\)"
        ):
            write_table(found, tmp_path / "nowhere" / f"out.{ending}")


def test_an_export_has_a_file_and_a_sheet_for_each_table(record: dict[str, Any], tmp_path: Path) -> None:
    files, lost = export_run(record, tmp_path / "out")
    assert [path.name for path in files] == ["documents.csv", "topics.csv", "lineage.csv", "topics.xlsx"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in files)
    assert lost == []
    assert (tmp_path / "out/topics.csv").read_text() == (
        'topic,name,keywords,weights\n0,drinks,"tea, milk",0.25 0.125\n1,sums,"one, two",1.0 0.0\n'
    )
    assert (tmp_path / "out/documents.csv").read_text().splitlines()[1] == "a,1,sums,0.5,'=1+1,1"
    sheets = openpyxl.load_workbook(tmp_path / "out/topics.xlsx")
    assert sheets.sheetnames == ["documents", "topics", "lineage"]
    assert [cell.value for cell in sheets["topics"][3]] == [1, "sums", "one, two", "1.0 0.0"]
    with pytest.raises(ConfigError, match=r"documents\.csv exists already; --force writes over it"):
        export_run(record, tmp_path / "out")
    assert export_run(record, tmp_path / "out", force=True) == (files, [])


def test_a_run_without_tables_has_nothing_to_export(tmp_path: Path) -> None:
    complete(tmp_path / "runs", 1, flow="build_index")
    with pytest.raises(ConfigError, match=r"a completed run of build_index has no tables to export$"):
        export_run(resolve(tmp_path / "runs", "topics"), tmp_path / "out")


def test_a_name_of_a_column_is_no_formula_either(tmp_path: Path) -> None:
    write_table(pl.LazyFrame({"=cmd": [1], "fine": [2]}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "'=cmd,fine\n1,2\n"


# --- workbooks ---


def _read_sheet(path: Path, sheet: int = 0) -> pl.DataFrame:
    book = openpyxl.load_workbook(path)
    rows = list(book[book.sheetnames[sheet]].iter_rows(values_only=True))
    return pl.DataFrame([list(row) for row in rows[1:]], schema=list(rows[0]), orient="row", strict=False)


def test_texts_stay_texts_and_are_unchanged(tmp_path: Path) -> None:
    texts = [
        "=1+1",
        "+1",
        "-2",
        "@SUM(A1)",
        "＝1",
        "'=1",
        "007",
        " padded ",
        "two\nlines",
        "https://x.org/a",
        "é🙂",
    ]
    write_workbook(tmp_path / "a.xlsx", {"documents": pl.LazyFrame({"text": texts})})
    cells = [row[0] for row in openpyxl.load_workbook(tmp_path / "a.xlsx")["documents"].iter_rows(min_row=2)]
    assert [cell.value for cell in cells] == texts
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.quotePrefix for cell in cells[:7]] == [True] * 6 + [False]


def test_numbers_times_and_flags_have_their_types(tmp_path: Path) -> None:
    moment = datetime.fromisoformat("2025-01-31T12:30")
    table = pl.DataFrame(
        {
            "n": [1, None, 2**53],
            "share": pl.Series([0.1, float("nan"), float("inf")], dtype=pl.Float32),
            "is_new": [True, False, None],
            "day": [date(2025, 1, 31), date(1850, 5, 1), None],
            "moment": [moment, None, datetime.fromisoformat("1850-05-01T06:00")],
            "utc": [datetime(2025, 1, 31, 12, 30, tzinfo=UTC), None, None],
        }
    )
    assert write_workbook(tmp_path / "a.xlsx", {"all": table.lazy()}) == []
    rows = list(openpyxl.load_workbook(tmp_path / "a.xlsx")["all"].iter_rows(values_only=True, min_row=2))
    assert rows == [
        (1, 0.1, True, datetime.fromisoformat("2025-01-31"), moment, "2025-01-31T12:30:00.000000+00:00"),
        (None, "nan", False, "1850-05-01", None, None),
        ("9007199254740992", "inf", None, None, "1850-05-01T06:00:00", None),
    ]


def test_a_sheet_says_what_it_could_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_ROWS", 4)
    monkeypatch.setattr(workbook, "MAX_COLUMNS", 2)
    monkeypatch.setattr(workbook, "MAX_CHARACTERS", 10)
    monkeypatch.setattr(workbook, "BATCH_ROWS", 2)
    table = pl.LazyFrame(
        {"text": ["x" * 11, "a\x00b\x1fc", "fits", "4th", "5th"], "n": range(5), "m": range(5)}
    )
    assert write_workbook(tmp_path / "a.xlsx", {"documents": table, "topics": table.head(1).select("n")}) == [
        "sheet documents: 2 rows after the first 3 are left out; CSV and Parquet have all",
        "sheet documents: 1 columns after the first 2 are left out; CSV and Parquet have all",
        "sheet documents: 1 texts are cut to 10 characters, the most that a cell holds",
        "sheet documents: 1 texts are without their control characters, which a cell cannot hold",
    ]
    assert _read_sheet(tmp_path / "a.xlsx").rows() == [("x" * 10, 0), ("abc", 1), ("fits", 2)]


def test_limits_are_those_of_excel() -> None:
    assert (workbook.MAX_ROWS, workbook.MAX_COLUMNS, workbook.MAX_CHARACTERS) == (2**20, 2**14, 2**15 - 1)


def test_nested_columns_become_texts() -> None:
    table = pl.DataFrame(
        {
            "words": [["a", "b"], None],
            "weights": pl.Series([[0.123456, 2.0], []], dtype=pl.List(pl.Float32)),
            "rows": [[1, 2], [3]],
            "pair": pl.Series([[1.0, 0.5], [2.0, 0.25]], dtype=pl.Array(pl.Float64, 2)),
            "meta": [{"a": 1, "b": "x"}, {"a": None, "b": "y"}],
            "deep": [[{"a": 1}], None],
            "at": [time(12, 30), None],
            "took": [timedelta(hours=2), None],
            "kind": pl.Series(["x", None], dtype=pl.Categorical),
            "raw": [b"\x00\xff", None],
            "nothing": [None, None],
        }
    )
    found = flat(table.lazy()).collect().to_dict(as_series=False)
    assert found == {
        "words": ["a, b", None], "weights": ["0.1235 2.0", ""], "rows": ["1 2", "3"], "pair": ["1.0 0.5", "2.0 0.25"],
        "meta": ['{"a":1,"b":"x"}', '{"a":null,"b":"y"}'], "deep": ['[{"a": 1}]', None],
        "at": ["12:30:00", None], "took": ["PT2H", None], "kind": ["x", None], "raw": ["00ff", None],
        "nothing": [None, None],
    }  # fmt: skip
