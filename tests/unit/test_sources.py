"""Sources: formats, globs, folders, queries, fingerprints, times, and every way in which they can be missing."""

from __future__ import annotations

import datetime as dt
import gzip
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents import database as databases
from topicflow.tasks.documents.formats import csv_survey, encodings
from topicflow.tasks.documents.formats import text_files as textfiles
from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.documents.sources import find_documents, fingerprint, open_source
from topicflow.tasks.documents.timestamps import Order, Timestamps, _order_of
from topicflow.tasks.errors import DataError
from topicflow.tasks.store.artifact_store import ArtifactStore


def read(path: Path | str | None = None, chunk_rows: int = 100, **fields: Any) -> pl.DataFrame:
    config = LoadConfig(path=None if path is None else str(path), **fields)
    with open_source(config, chunk_rows) as source:
        chunks = list(source.chunks)
        table = pl.concat(chunks) if chunks else pl.DataFrame(schema=source.schema)
        assert source.n_rows in {None, table.height}
        assert table.schema == source.schema
        return table


def refused(path: Path | str | None = None, **fields: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path, **fields)
    assert "\n" not in str(caught.value)
    return caught.value


def written(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data if isinstance(data, bytes) else data.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


# --- formats ---


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", "id,text\n1,x y\n2,z\n"),
        ("a.CSV", "id,text\r\n1,x y\r\n2,z\r\n"),
        ("bom.csv", b"\xef\xbb\xbfid,text\n1,x y\n2,z\n"),
        ("semicolon.csv", "id;text\n1;x y\n2;z\n"),
        ("a.tsv", "id\ttext\n1\tx y\n2\tz\n"),
        ("a.csv.gz", "id,text\n1,x y\n2,z\n"),
        ("bom.csv.gz", b"\xef\xbb\xbfid,text\n1,x y\n2,z\n"),
        ("a.ndjson", '{"id":1,"text":"x y"}\n{"id":2,"text":"z"}\n'),
        ("a.jsonl", '{"id":1,"text":"x y"}\n\n{"id":2,"text":"z"}'),
        ("bom.jsonl", b'\xef\xbb\xbf{"id":1,"text":"x y"}\n{"id":2,"text":"z"}\n'),
        ("a.jsonl.gz", '{"id":1,"text":"x y"}\n{"id":2,"text":"z"}\n'),
        ("odd[1] name*.csv", "id,text\n1,x y\n2,z\n"),
        ("odd[1] name*.jsonl", '{"id":1,"text":"x y"}\n{"id":2,"text":"z"}\n'),
    ],
)
def test_formats_by_ending(tmp_path: Path, name: str, data: str | bytes) -> None:
    found = read(written(tmp_path / name, data))
    assert found.to_dict(as_series=False) == {"id": [1, 2], "text": ["x y", "z"]}


def test_the_config_names_the_format_where_the_ending_does_not(tmp_path: Path) -> None:
    path = written(tmp_path / "dump.data", "id,text\n1,x\n")
    assert "unknown ending '.data'" in str(refused(path))
    assert read(path, format="csv").height == 1


def test_csv_quotes_newlines_nul_and_semicolons_in_quotes(tmp_path: Path) -> None:
    data = 'text,"a;b;c"\n"line 1\nline ""2"", and\x00",1\n'
    assert read(written(tmp_path / "a.csv", data)).rows() == [('line 1\nline "2", and\x00', 1)]


def test_types_come_from_all_rows(tmp_path: Path) -> None:
    lines = [f"{i},t" for i in range(3000)] + ["late,t"]
    assert read(written(tmp_path / "a.csv", "k,text\n" + "\n".join(lines)))["k"][-1] == "late"
    rows = ['{"text":"t"}'] * 3000 + ['{"text":"t","late":1}']
    assert read(written(tmp_path / "a.jsonl", "\n".join(rows)))["late"].to_list()[-2:] == [None, 1]


def test_types_come_from_all_files(tmp_path: Path) -> None:
    for i in range(12):
        written(tmp_path / f"{i:02d}.csv", f"k,text\n{'late' if i == 11 else i},t\n")
    assert read(tmp_path / "*.csv")["k"].to_list()[-2:] == ["10", "late"]


def test_globs_and_folders_in_order_of_name(tmp_path: Path) -> None:
    for name, text in [("b/2.csv", "two"), ("a/1.csv", "one"), ("c/3.txt", "three")]:
        written(tmp_path / name, f"text\n{text}\n")
    assert read(tmp_path / "*" / "*.csv")["text"].to_list() == ["one", "two"]
    assert read(tmp_path / "**" / "*.csv")["text"].to_list() == ["one", "two"]
    assert read(tmp_path, format="csv")["text"].to_list() == ["one", "two"]
    assert "different formats (csv, text)" in str(refused(tmp_path / "*" / "*"))
    assert "no file matches" in str(refused(tmp_path / "*.parquet"))


def test_a_folder_of_texts_is_a_document_a_file(tmp_path: Path) -> None:
    written(tmp_path / "b.txt", b"\xef\xbb\xbfbee\r\n")
    written(tmp_path / "a" / "deep.md", "# deep")
    written(tmp_path / "a" / "skip.log", "log")
    found = read(tmp_path, chunk_rows=1)
    assert found.rows() == [("# deep", "a/deep.md"), ("bee\r\n", "b.txt")]
    with open_source(LoadConfig(path=str(tmp_path)), 10) as source:
        assert source.id_column == "file"
    assert read(tmp_path, limit=1).height == 1
    assert read(tmp_path / "b.txt").rows() == [("bee\r\n", "b.txt")]
    bad = written(tmp_path / "c.txt", b"ab\xff")
    assert f"{bad}: not UTF-8 (byte 0xff at offset 2)" in str(refused(tmp_path))
    bad.write_bytes(b"\xef\xbb\xbf" + bad.read_bytes())
    assert f"{bad}: not UTF-8 (byte 0xff at offset 5)" in str(refused(tmp_path))  # of the file, with its mark
    assert read(tmp_path, encoding_errors="replace")["text"].to_list()[-1] == "ab\ufffd"


def test_large_texts_make_small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfiles, "_CHUNK_BYTES", 10)
    for i in range(4):
        written(tmp_path / f"{i}.txt", "123456")
    with open_source(LoadConfig(path=str(tmp_path)), 1000) as source:
        assert [chunk.height for chunk in source.chunks] == [2, 2]


# --- bad input ---


def test_missing_files_name_the_nearest(tmp_path: Path) -> None:
    written(tmp_path / "reviews.csv", "text\nx\n")
    error = refused(tmp_path / "review.csv")
    assert f"({tmp_path / 'review.csv'}); did you mean 'reviews.csv'?" in str(error)
    assert error.__cause__ is None
    assert f"the folder {tmp_path / 'nope'} does not exist either" in str(
        refused(tmp_path / "nope" / "x.csv")
    )


def test_a_folder_without_texts_says_what_it_contains(tmp_path: Path) -> None:
    assert "it is empty" in str(refused(tmp_path))
    written(tmp_path / "x.parquet", b"")
    assert "no text file in this folder; its 1 files end in .parquet" in str(refused(tmp_path))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.parquet", b"PAR1 and no more PAR1"),
        ("a.parquet", b""),
        ("a.csv", "a,b\n1,2\n1,2,3\n"),
        ("a.csv", ""),
        ("a.jsonl", '{"a":1}\n{"a":\n{"a":2}\n'),
        ("a.jsonl", '{"a":\n'),
        ("a.jsonl", "[1, 2]\n"),
    ],
)
def test_what_is_not_of_its_format_is_one_line(tmp_path: Path, name: str, data: str | bytes) -> None:
    path = written(tmp_path / name, data)
    error = refused(path)
    assert str(error).startswith(f"load: {path}: ")
    assert error.__cause__ is None


def test_half_a_gzip_file_is_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv.gz", "text\n" + "some words\n" * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a complete gzip file" in str(refused(path))
    path.write_bytes(b"text\nx\n")
    assert "not a complete gzip file" in str(refused(path))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz"])
def test_invalid_utf8_is_located_or_replaced(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textfiles, "_BLOCK_BYTES", 7)
    for module in (encodings, csv_survey):
        monkeypatch.setattr(module, "BLOCK_BYTES", 7)  # a character and the bad byte fall on block borders
    data = '{"text":"ééé '.encode() + b'\xe9"}\n' if "jsonl" in name else "text\nééé ".encode() + b"\xe9x\n"
    path = written(tmp_path / name, data)
    error = str(refused(path))
    assert f"byte 0xe9 at offset {data.index(0xE9)}" in error
    assert "load.encoding_errors='replace'" in error
    assert read(path, encoding_errors="replace")["text"][0].startswith("ééé \ufffd")


def test_a_file_that_ends_within_a_character_is_not_utf8(tmp_path: Path) -> None:
    assert "byte 0xc3 at offset 6" in str(refused(written(tmp_path / "a.csv", b"text\nx\xc3")))


def test_an_unreadable_disk_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    written(tmp_path / "a.txt", "x")
    monkeypatch.setattr(Path, "read_bytes", broken)
    assert isinstance(refused(tmp_path).__cause__, OSError)


# --- fingerprints ---


def test_fingerprints_depend_on_bytes_and_not_on_paths(tmp_path: Path) -> None:
    def of(path: Path, **fields: Any) -> str | None:
        return fingerprint(LoadConfig(path=str(path), **fields))

    one = written(tmp_path / "one.csv", "text\nx\n")
    assert of(one) == of(written(tmp_path / "far" / "two.csv", "text\nx\n"))
    assert of(one) != of(written(tmp_path / "far" / "three.csv", "text\ny\n"))
    assert of(one) != of(written(tmp_path / "same.tsv", "text\nx\n"))
    written(tmp_path / "p" / "1.csv", "text\na\n")
    written(tmp_path / "p" / "2.csv", "text\nb\n")
    both = of(tmp_path / "p" / "*.csv")
    (tmp_path / "p" / "1.csv").rename(tmp_path / "p" / "3.csv")
    assert of(tmp_path / "p" / "*.csv") != both  # the rows have changed places
    written(tmp_path / "t" / "1.txt", "a")
    texts = of(tmp_path / "t")
    (tmp_path / "t" / "1.txt").rename(tmp_path / "t" / "2.txt")
    assert of(tmp_path / "t") != texts  # names of text files are ids


@pytest.mark.parametrize(
    "path", ["s3://bucket/x.parquet", "hf://datasets/a/b/x.csv", "https://example.org/x.csv"]
)
def test_remote_paths_have_no_fingerprint_and_no_hit(store: ArtifactStore, path: str) -> None:
    assert fingerprint(LoadConfig(path=path)) is None
    assert find_documents(store, LoadConfig(path=path)) is None


def test_finding_documents_imports_neither_prefect_nor_torch() -> None:
    code = (
        "import sys, topicflow.tasks.documents.sources, topicflow.tasks.documents.guess\n"
        "print({'prefect', 'torch', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow  # polars tries ten times; the next test has its error
def test_an_unreachable_address_is_one_line_and_may_be_tried_again() -> None:
    error = refused("http://127.0.0.1:9/x.parquet")
    assert str(error).startswith("load: http://127.0.0.1:9/x.parquet: cannot be read (")
    assert isinstance(error.__cause__, OSError)


def test_a_network_failure_within_a_polars_error_may_be_tried_again() -> None:
    def fail(said: str) -> DataError:
        with pytest.raises(DataError) as caught, readable("hf://datasets/a/b/x.csv"):
            raise pl.exceptions.ComputeError(said)
        return caught.value

    gone = fail("error sending request for url (https://example.org/x.csv)\nsecond line")
    assert isinstance(gone.__cause__, ConnectionError)
    assert "cannot be reached (error sending request for url (https://example.org/x.csv))" in str(gone)
    assert fail("HTTP status client error (404 Not Found)").__cause__ is None


def test_remote_text_files_are_refused() -> None:
    assert "only from local folders" in str(refused("s3://bucket/x.txt"))


# --- queries ---


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'docs.db'}"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table docs (id integer, body text, score)"))
        rows = [{"id": i, "body": f"text {i}", "score": None if i < 5 else i / 2} for i in range(12)]
        connection.execute(sqlalchemy.text("insert into docs values (:id, :body, :score)"), rows)
    engine.dispose()
    monkeypatch.setenv("DOCS_URL", url)
    return "DOCS_URL"


def test_batches_of_a_query_agree_on_types(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(query="select * from docs order by id", connection_env=database)
    monkeypatch.setattr(databases, "_QUERY_ROWS", 4)  # the first batch of scores is all null
    parts = read(query="select * from docs order by id", connection_env=database)
    assert parts.equals(whole)
    assert parts.schema == {"id": pl.Int64, "body": pl.String, "score": pl.Float64}
    assert read(query="select * from docs order by id", connection_env=database, limit=6).height == 6


def test_values_of_no_column_type_become_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = uuid.UUID(int=7)
    monkeypatch.setenv("X", "sqlite://")
    monkeypatch.setattr(
        databases,
        "_query_batches",
        lambda *_: iter([pl.DataFrame({"id": pl.Series([key, None], dtype=pl.Object)})]),
    )
    assert read(query="select", connection_env="X")["id"].to_list() == [str(key), None]


def test_bad_queries_are_one_line(database: str) -> None:
    assert "load: load.query: no such column: nope" in str(
        refused(query="select nope from docs", connection_env=database)
    )
    assert "no rows" in str(refused(query="select * from docs where id > 99", connection_env=database))


@pytest.mark.parametrize(
    ("url", "expected", "again"),
    [
        (None, "variable X_URL is not set", False),
        ("nonsense", "does not contain a valid SQLAlchemy URL", False),
        ("foo://u:secret@h/x", "does not contain a valid SQLAlchemy URL", False),
        ("postgresql://u:sec@ret:a@h/x", "does not contain a valid SQLAlchemy URL", False),
        (
            "mysql+pymysql://u:secret@127.0.0.1:9/db",
            "needs 'pymysql'; install it: pip install 'pymysql'",
            False,
        ),
        ("postgresql+psycopg2://u:secret@127.0.0.1:9/db", "pip install 'psycopg2-binary'", False),
        ("sqlite:////no/such/folder/x.db", "cannot be reached (unable to open database file)", True),
    ],
)
def test_bad_connections_are_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str | None, expected: str, again: bool
) -> None:
    monkeypatch.delenv("X_URL", raising=False)
    if url is not None:
        monkeypatch.setenv("X_URL", url)
    error = refused(query="select 1", connection_env="X_URL")
    assert expected in str(error)
    assert "secret" not in f"{error} {error.__cause__}"
    assert "ret:a" not in str(error)
    assert isinstance(error.__cause__, OSError) is again


def test_a_password_in_a_message_is_masked() -> None:
    assert databases._without_password("no user at p4ss@h", "postgresql://u:p4ss@h/x") == "no user at ***@h"


# --- times ---

NOON = dt.datetime(2024, 1, 31, 12, 0)  # noqa: DTZ001
DAY = dt.datetime(2024, 1, 31)  # noqa: DTZ001


def times(*values: Any, dtype: Any = None) -> list[Any]:
    series = pl.Series("at", list(values), dtype=dtype)
    return Timestamps("load: f: column 'at'").parse(series, pl.Series(range(len(series)))).to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31", DAY),
        ("2024/1/31", DAY),
        ("20240131", DAY),
        ("31.01.2024", DAY),
        ("31.01.2024 12:00", NOON),
        ("31 Jan 2024", DAY),
        ("January 31, 2024", DAY),
        (" 2024-01-31 12:00 ", NOON),
        ("2024-01-31T12:00:00", NOON),
        ("2024-01-31T12:00:00.000Z", NOON),
        ("2024-01-31 12:00:00 UTC", NOON),
        ("2024-01-31T13:30:00+01:30", NOON),
        ("2024-01-31 10:00:00-02", NOON),
        ("2024-01-31 07:00:00 -0500", NOON),
        ("Wed, 31 Jan 2024 12:00:00 GMT", NOON),
        ("Wed Jan 31 12:00:00 +0000 2024", NOON),
        ("1706702400", NOON),
        ("1706702400000", NOON),
        ("1/31/2024", DAY),
        ("31/1/2024", DAY),
        ("01/31/24 12:00", NOON),
        ("31-01-2024", DAY),
        ("2024-01", dt.datetime(2024, 1, 1)),  # noqa: DTZ001
        ("2024", dt.datetime(2024, 1, 1)),  # noqa: DTZ001
        ("", None),
        (None, None),
    ],
)
def test_times_in_strings(text: str | None, expected: dt.datetime | None) -> None:
    assert times(text, dtype=pl.String) == [expected]


def test_times_in_numbers_and_types() -> None:
    epoch = 1_706_702_400
    assert times(epoch, epoch * 1000, epoch * 10**6, epoch * 10**9, 20240131, None) == [NOON] * 4 + [
        DAY,
        None,
    ]
    assert times(float(epoch), 2024.0, float("nan")) == [NOON, dt.datetime(2024, 1, 1), None]  # noqa: DTZ001
    assert times(dt.date(2024, 1, 31)) == [DAY]
    assert times(NOON, dtype=pl.Datetime("ns")) == [NOON]
    zoned = dt.datetime(2024, 1, 31, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert times(zoned, dtype=pl.Datetime("ms", "Europe/Berlin")) == [NOON]


def test_unambiguous_dates_decide_day_and_month_and_the_order_stays() -> None:
    column = Timestamps("load: f: column 'at'")
    first = column.parse(pl.Series(["03/04/2024", "31/01/2024"]), pl.Series([0, 1]))
    assert first.to_list() == [dt.datetime(2024, 4, 3), DAY]  # noqa: DTZ001
    assert column.parse(pl.Series(["03/04/2024"]), pl.Series([2])).to_list() == first.to_list()[:1]
    said = r"row 7 contains '01/31/2024', expected a date \(day first, as most of the column is, such as '31/01/2024'\)"
    with pytest.raises(DataError, match=said):
        column.parse(pl.Series(["01/31/2024"]), pl.Series([7]))


APRIL_3, MARCH_4 = dt.datetime(2024, 4, 3), dt.datetime(2024, 3, 4)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("column", "order", "is_sure"),
    [
        (["3/4/2024", "3/4/2024", "31/1/2024"], "dmy", True),
        (["3/4/2024", "1/31/2024", "3/4/2024"], "mdy", True),
        (["3/4/2024", "5/6/2024"], "mdy", False),
        (["31/1/2024", "30/1/2024", "1/31/2024"], "dmy", True),
        (["3/4/99", "31-1-99"], "dmy", True),
        (["99-12-31", "05-01-20", "13-02-03"], "ymd", True),
        (["31/01/24", "03/04/24"], "dmy", True),
        ([None, "", "2024-05-01", "soon", "3/4/2024", "31/1/2024 12:00"], "dmy", True),
    ],
)
def test_the_order_of_dates_is_that_of_the_whole_column(
    column: list[str | None], order: str, is_sure: bool
) -> None:
    """The whole column decides, for any first rows and any parts."""
    values = pl.Series("at", column, dtype=pl.String)
    for size in (1, 2, len(column)):
        parts = [values[start : start + size] for start in range(0, len(values), size)]
        found = _order_of(parts)
        assert (found.order, found.is_sure) == (order, is_sure)


def test_an_ambiguous_first_part_is_read_in_the_order_of_a_later_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = pl.Series("at", ["3/4/2024"] * 5 + ["31/1/2024"])
    column = Timestamps("load: f: column 'at'", column=lambda: iter([whole[:3], whole[3:]]), is_said=True)
    with caplog.at_level("INFO", "topicflow"):
        first = column.parse(whole[:3], pl.Series(range(3)))
        assert first.to_list() == [APRIL_3] * 3
        assert column.parse(whole[3:], pl.Series(range(3, 6))).to_list() == [APRIL_3] * 2 + [DAY]
    assert caplog.messages == ["load: f: column 'at': dates such as '31/1/2024' are read day first"]


def test_ambiguous_dates_are_reported_and_read_month_first(caplog: pytest.LogCaptureFixture) -> None:
    column = Timestamps("load: f: column 'at'", is_said=True)
    assert column.parse(pl.Series(["3/4/2024"]), pl.Series([0])).to_list() == [MARCH_4]
    (line,) = caplog.messages
    assert line == (
        "load: f: column 'at': dates such as '3/4/2024' may be month first or day first and no row decides; they "
        'are read month first; load.date_order = "dmy" reads them day first'
    )


@pytest.mark.parametrize(
    ("order", "text", "day"),
    [
        ("dmy", "3/4/2024", APRIL_3),
        ("mdy", "3/4/2024", MARCH_4),
        ("ymd", "24/1/31", DAY),
        ("ymd", "24-01-31", DAY),
        ("mdy", "2024-01-31", DAY),
        ("mdy", "31 Jan 2024", DAY),
    ],
)
def test_a_given_order_is_the_one(order: Order, text: str, day: dt.datetime) -> None:
    read = Timestamps("load: f: column 'at'", order=order).parse(pl.Series([text]), pl.Series([0]))
    assert read.to_list() == [day]


def test_what_a_given_order_cannot_read_is_named() -> None:
    column = Timestamps("load: f: column 'at'", order="mdy")
    with pytest.raises(
        DataError, match=r"row 0 contains '31/1/2024', expected a date \(month first, as load.date_orde"
    ):
        column.parse(pl.Series(["31/1/2024"]), pl.Series([0]))


def test_a_column_is_read_again_from_its_first_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pl.DataFrame({"text": ["a", "b", "c"], "at": ["1", "x", "3"]}).write_csv(path)
    with open_source(LoadConfig(path=str(path), limit=2), 1) as source:
        assert source.column is not None
        next(source.chunks)
        assert pl.concat(source.column("at")).to_list() == ["1", "x"]
        assert pl.concat(source.chunks)["at"].to_list() == ["x"]
        assert pl.concat(source.column("at")).to_list() == ["1", "x"]


@pytest.mark.parametrize("value", ["soon", "2024-13-01", "2024-02-30", "99/99/2024", True, dt.time(12)])
def test_a_value_that_is_not_a_time_is_named(value: Any) -> None:
    with pytest.raises(DataError, match=r"load: f: column 'at': row 1 contains "):
        times(None, value)
