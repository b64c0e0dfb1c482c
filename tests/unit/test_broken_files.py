"""Broken files: one line with the file, the place, what was found, and the key or step that mends it."""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.odd_files.cases import SENTENCES, lines
from tests.odd_files.format_cases import workbook
from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.sources import open_source
from topicflow.tasks.errors import DataError


def refused(path: Path, **fields: Any) -> str:
    with pytest.raises(DataError) as caught, open_source(LoadConfig(path=str(path), **fields), 100) as source:
        list(source.chunks)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("load: ")
    return message


def read(path: Path, **fields: Any) -> pl.DataFrame:
    with open_source(LoadConfig(path=str(path), **fields), 100) as source:
        return pl.concat(source.chunks)


def test_a_quote_that_is_never_closed_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"fine"\n2,"never closed\n3,and more\n')
    said = refused(path)
    assert f'{path}: line 3: a quote (") opens a field and is never closed' in said
    assert "set load.quote=''" in said
    assert read(path, quote="")["text"].to_list() == ['"fine"', '"never closed', "and more"]


def test_a_lone_opening_quote_does_not_join_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"tis fine\n2,"ok"\n3,"a\nb"\n')
    assert read(path).rows() == [(1, '"tis fine'), (2, "ok"), (3, "a\nb")]


def test_a_row_with_too_many_fields_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,one\n2,two, and more\n3,three\n4,four, five\n")
    said = refused(path)
    assert f"{path}: line 3 has 3 fields, the header has 2 (separator ','); 2 rows have too many" in said
    assert "load.separator" in said


def test_files_of_a_glob_with_nothing_in_common_are_named_with_their_separators(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id,text\n1,one\n")
    (tmp_path / "2.csv").write_text("nr;satz\n1;eins\n")
    said = refused(tmp_path / "*.csv")
    assert "2.csv (separator ';') has the columns 'nr', 'satz'" in said
    assert "1.csv (separator ',') has 'id', 'text'" in said


def test_a_wrong_encoding_says_the_likely_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id,text\n1,schön und günstig\n".encode("cp1252"))
    assert "not UTF-8 (byte 0xf6 at offset 13); set load.encoding='cp1252', which it probably is" in refused(
        path
    )
    assert read(path, encoding="cp1252")["text"].to_list() == ["schön und günstig"]
    path.write_bytes(b"id,text\n1,caf\xc3\xa9 \xc3\xbc \xff\n")
    assert "convert the file, or set load.encoding_errors='replace'" in refused(path)
    assert "not ascii (byte 0xc3" in refused(path, encoding="ascii")


def test_a_byte_order_mark_decides_before_the_config(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id,text\n1,schön\n".encode("utf-8-sig"))
    assert read(path, encoding="cp1252").rows() == [(1, "schön")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoding", "klingon"),
        ("encoding", "rot13"),
        ("separator", '"'),
        ("separator", "§"),
        ("quote", "x"),
        ("time_format", "soon"),
        ("clean", ["all"]),
    ],
)
def test_values_that_mean_nothing_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        LoadConfig.model_validate({"path": "a.csv", key: value})


def test_keys_of_a_csv_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a note, with a comma\n'one, two':1\n'three':2\n")
    found = read(path, separator=":", quote="'", skip_rows=1, header=0)
    assert found.rows() == [("one, two", 1), ("three", 2)]
    assert found.columns == ["column_1", "column_2"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [('{"text": "a"}\n{"text": \n{"text": "b"}\n', "line 2: no JSON"), ("[1, 2]", "a row is '1', expected an object"),
     ('[{"text": "a"}, {"text"', "no JSON at character"), ('{"a": 1}\n5\n', "JSON object: 5")],
)  # fmt: skip
def test_broken_json_is_named(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(rows)
    assert said in refused(path)
    assert str(path) in refused(path)


def test_a_long_array_is_read_over_the_borders_of_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topicflow.tasks.documents.formats import json_files

    monkeypatch.setattr(json_files, "_BLOCK", 7)
    path = tmp_path / "a.json"
    rows = [{"n": number, "text": f'{{"[,]" {text}\n'} for number, text in enumerate(SENTENCES)]
    path.write_text(json.dumps(rows, indent=3))
    assert read(path).to_dicts() == rows


def test_archives_of_several_files_and_damaged_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "text\nx\n")
        archive.writestr("b.csv", "text\ny\n")
    assert "holds 2 files, expected one file" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner/a.csv", "text\nx\n")
        archive.writestr("__MACOSX/._a.csv", "x")
    assert read(path)["text"].to_list() == ["x"]
    path.write_bytes(b"PK nothing")
    assert "not a complete zip file" in refused(path)
    zst = tmp_path / "a.csv.zst"
    zst.write_bytes(b"no zstd at all")
    assert "not a complete zstd file" in refused(zst)


def test_zstd_with_a_long_window_is_read(tmp_path: Path) -> None:
    import zstandard

    options = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, enable_ldm=True)
    data = ("text\n" + lines(*SENTENCES).replace(",", "")).encode()
    (tmp_path / "a.csv.zst").write_bytes(zstandard.ZstdCompressor(compression_params=options).compress(data))
    assert read(tmp_path / "a.csv.zst").height == len(SENTENCES)


def test_several_sheets_and_tables_are_listed(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx")
    assert "2 sheets with rows ('Feedback', 'Legend'); set load.sheet to one" in refused(tmp_path / "a.xlsx")
    assert "no sheet 'Nope' (load.sheet); there are: 'Feedback'" in refused(tmp_path / "a.xlsx", sheet="Nope")
    (tmp_path / "b.xlsx").write_bytes(b"no workbook")
    assert f"{tmp_path / 'b.xlsx'}: cannot be read (" in refused(tmp_path / "b.xlsx")
    (tmp_path / "b.sqlite").write_bytes(b"no database" * 100)
    assert "expected an SQLite database" in refused(tmp_path / "b.sqlite")
    (tmp_path / "b.duckdb").write_bytes(b"no database" * 1000)
    assert str(tmp_path / "b.duckdb") in refused(tmp_path / "b.duckdb")


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.arrow", "expected an Arrow file or stream"), ("a.xml", "no XML"), ("a.warc", "no WARC file")],
)
def test_files_of_another_format_are_named(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"\x01\x02 something else entirely\n" * 10)
    assert said in refused(tmp_path / name)


def test_splits_of_a_saved_data_set_are_listed(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert f"set load.path to one: {tmp_path}/train, {tmp_path}/test" in refused(tmp_path)


def test_half_a_compressed_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps([{"text": each} for each in SENTENCES]).encode())[:-30])
    assert "not a complete gzip file" in refused(path)


def test_a_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workbook(tmp_path / "a.xlsx")
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    assert "needs the package 'fastexcel'; install it: pip install 'topicflow[files]'" in refused(
        tmp_path / "a.xlsx"
    )


def test_dotted_names_reach_into_objects_and_the_objects_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": {"b": {"text": "x"}}, "n": 1}\n')
    found = read(path, text_column="a.b.text")
    assert found.to_dicts() == [{"a": {"b": {"text": "x"}}, "n": 1, "a.b.text": "x"}]


def test_given_formats_of_dates(tmp_path: Path) -> None:
    import datetime as dt

    from topicflow.tasks.documents.timestamps import Timestamps

    def times(form: str, *values: Any) -> list[dt.datetime]:
        column = pl.Series("at", list(values))
        return Timestamps("load: f", form=form).parse(column, pl.Series(range(len(values)))).to_list()

    noon, day = dt.datetime(2024, 1, 31, 12), dt.datetime(2024, 1, 31)  # noqa: DTZ001
    assert times("%d|%m|%Y %H.%M", "31|01|2024 12.00") == [noon]
    assert times("%Y_%m", "2024_01") == [dt.datetime(2024, 1, 1)]  # noqa: DTZ001
    assert times("%d/%m/%Y %H:%M %z", "31/01/2024 13:00 +0100") == [noon]
    assert times("excel", 45322.5, 45322) == [noon, day]
    assert times("excel", "45322.5") == [noon]
    assert times("unix_ms", 1_706_702_400_000) == [noon]
    with pytest.raises(DataError, match=r"row 1 contains 'soon', expected a date in the format '%Y'"):
        times("%Y", "2024", "soon")
