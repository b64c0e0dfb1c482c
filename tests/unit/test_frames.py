"""Documents in memory: tables of several libraries and lists become one Parquet file, once."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.python.frames import frame_of, inputs_folder, is_texts, write_once
from topicflow.tasks.errors import ArtifactError, DataError

ROWS = {
    "review": ["good", None, "bad"],
    "stars": [5, 3, 1],
    "day": [date(2025, 1, 1), None, date(2025, 3, 1)],
}


def test_tables_of_every_library_are_the_same_documents() -> None:
    table = pl.DataFrame(ROWS)
    for given in (table, table.lazy(), pa.table(ROWS), ROWS):
        assert_frame_equal(frame_of(given), table)
    assert_frame_equal(
        frame_of(pd.DataFrame({"review": ROWS["review"], "stars": ROWS["stars"]})), table.drop("day")
    )


def test_columns_of_pandas_keep_their_kind_and_missing_values_are_null() -> None:
    found = frame_of(
        pd.DataFrame(
            {
                "n": pd.array([1, None, 3], dtype="Int64"),
                "share": [0.5, np.nan, 1.0],
                "is_new": [True, False, True],
                "time": pd.to_datetime(["2025-01-01 12:00", None, "2025-01-02 00:00"]),
                "utc": pd.to_datetime(["2025-01-01 12:00", None, "2025-01-02 00:00"], utc=True),
                "kind": pd.Categorical(["a", None, "b"]),
                "text": pd.array(["x", pd.NA, "z"], dtype="string"),
                7: ["mixed", 1, None],
                "vector": [[1.0, 2.0], None, [3.0, 4.0]],
            },
            index=[9, 9, 9],
        )
    )
    assert found.columns[7] == "7"
    assert found.drop("7").to_dict(as_series=False) == {
        "n": [1, None, 3], "share": [0.5, None, 1.0], "is_new": [True, False, True],
        "time": [datetime.fromisoformat("2025-01-01T12:00"), None, datetime.fromisoformat("2025-01-02")],
        "utc": [datetime(2025, 1, 1, 12, tzinfo=UTC), None, datetime(2025, 1, 2, tzinfo=UTC)],
        "kind": ["a", None, "b"], "text": ["x", None, "z"], "vector": [[1.0, 2.0], None, [3.0, 4.0]],
    }  # fmt: skip
    assert isinstance(found.schema["time"], pl.Datetime)


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b", None],
        ("a", "b", None),
        pl.Series(["a", "b", None]),
        pd.Series(["a", "b", None]),
        np.array(["a", "b", None], object),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_list_of_texts_is_the_column_text(texts: object) -> None:
    assert is_texts(texts)
    assert frame_of(texts).to_dict(as_series=False) == {"text": ["a", "b", None]}


@pytest.mark.parametrize("other", [5, [1, 2], np.eye(2), "a text", b"bytes", None, pl.Series([1])])
def test_anything_else_is_refused_in_one_line(other: object) -> None:
    assert not is_texts(other)
    with pytest.raises(
        DataError, match=r"expected a file, a polars, pandas or arrow table, or a list of texts$"
    ):
        frame_of(other)


@pytest.mark.parametrize(
    "odd",
    [pd.DataFrame([["a", "b"]], columns=["x", "x"]), {"a": ["x", "y"], "b": ["z"]}],
    ids=["twice", "ragged"],
)
def test_a_table_that_is_none_is_refused_in_one_line(odd: object) -> None:
    with pytest.raises(DataError, match="not a table of documents: could not create a new DataFrame"):
        frame_of(odd)


def test_the_same_content_has_one_file(tmp_path: Path) -> None:
    runtime = RuntimeConfig(store=str(tmp_path / "store"))
    table = pl.DataFrame(ROWS)
    first = write_once(table, runtime)
    before = first.stat().st_mtime_ns
    assert write_once(table.clone(), runtime) == first
    assert first.stat().st_mtime_ns == before
    assert first.parent == tmp_path / "store-inputs"
    assert_frame_equal(pl.read_parquet(first), table)
    other = write_once(table.with_columns(stars=pl.col("stars") + 1), runtime)
    assert sorted(first.parent.iterdir()) == sorted([first, other])


def test_a_store_with_a_url_has_the_files_beside_the_runs(tmp_path: Path) -> None:
    runtime = RuntimeConfig(store="s3://bucket/store", runs=str(tmp_path / "runs"))
    assert inputs_folder(runtime) == tmp_path / "runs-inputs"


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    runtime = RuntimeConfig(store=str(tmp_path / "store"))
    objects = pl.DataFrame({"text": ["a"], "odd": pl.Series([object()], dtype=pl.Object)})
    with pytest.raises(DataError, match=r"cannot be written to Parquet \(odd Object\)"):
        write_once(objects, runtime)
    assert list((tmp_path / "store-inputs").iterdir()) == []
    (tmp_path / "file-inputs").write_text("")
    with pytest.raises(ArtifactError, match="file-inputs cannot be written"):
        write_once(pl.DataFrame(ROWS), RuntimeConfig(store=str(tmp_path / "file")))
