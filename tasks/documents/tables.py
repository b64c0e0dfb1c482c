"""Tables: the files of an input, of one format -> one lazy table; memory does not grow with the files.

Excel sheets are the exception: they are read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.database import read_database_file
from topicflow.tasks.documents.files import LocalFiles
from topicflow.tasks.documents.formats.arrow_files import scan_arrow_files
from topicflow.tasks.documents.formats.csv_files import keys_of, regular_csv
from topicflow.tasks.documents.formats.csv_table import scan_csv_files
from topicflow.tasks.documents.formats.excel_files import scan_excel_files
from topicflow.tasks.documents.formats.json_files import scan_json_files
from topicflow.tasks.documents.formats.mail_files import SCHEMA as MAIL
from topicflow.tasks.documents.formats.mail_files import mail_rows
from topicflow.tasks.documents.formats.plain_types import with_plain_types
from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.documents.formats.spooled import spooled
from topicflow.tasks.documents.formats.text_files import plain_utf8
from topicflow.tasks.documents.formats.unions import union
from topicflow.tasks.documents.formats.warc_files import SCHEMA as PAGES
from topicflow.tasks.documents.formats.warc_files import page_rows
from topicflow.tasks.documents.formats.xml_files import scan_post_files
from topicflow.tasks.documents.texts import text_columns


@dataclass(frozen=True)
class Table:
    """An opened table.

    Attributes
    ----------
    frame : pl.LazyFrame
        Its rows.
    n_rows : int or None
        Their number, if it is known.
    notes : tuple of str
        What was recognized or mended, one sentence each.
    keys : mapping
        Keys of the section `load` that say what was recognized.
    """

    frame: pl.LazyFrame
    n_rows: int | None = None
    notes: tuple[str, ...] = ()
    keys: Mapping[str, Any] = field(default_factory=dict)


def open_table(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    """Return the table of files of one format.

    Parameters
    ----------
    files : LocalFiles
        At least one.
    config : LoadConfig
        How they are read.
    scratch : Path
        Folder for temporary copies.

    Raises
    ------
    DataError
        If a file cannot be read, or is not what its format says.
    """
    with readable(str(config.path)):
        table = _OPENERS[files.format](files, config, scratch)
        return replace(table, frame=with_plain_types(table.frame))


def _parquet(files: LocalFiles, _config: LoadConfig, _scratch: Path) -> Table:
    scans = [pl.scan_parquet(path, glob=False, hive_partitioning=False) for path in files.paths]
    if len(scans) == 1:
        return Table(scans[0])
    frame, notes = union([str(path) for path in files.paths], scans)
    return Table(frame, notes=tuple(notes))


def _csv(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    is_tsv = files.format == "tsv"
    regular = [regular_csv(path, config, scratch, is_tsv=is_tsv) for path in files.paths]
    named = [*text_columns(config), config.id_column, config.label_column]
    found = scan_csv_files(regular, [name for name in named if name], config.timestamp_column)
    return Table(found.frame, found.n_rows, found.notes, keys_of(regular, is_tsv=is_tsv))


def _json(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    plain = _plain(files, config, scratch)
    frame, n_rows, notes = scan_json_files(files.paths, plain, str(config.path), scratch)
    return Table(frame, n_rows, tuple(notes))


def _lines(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    scans = [
        pl.scan_lines(path, name="text", glob=False).slice(config.skip_rows or 0)
        for path in _plain(files, config, scratch)
    ]
    return Table(pl.concat(scans).with_columns(pl.col("text").str.strip_suffix("\r")))


def _plain(files: LocalFiles, config: LoadConfig, scratch: Path) -> list[Path]:
    return [plain_utf8(path, config.encoding_errors, scratch, config.encoding) for path in files.paths]


def _arrow(files: LocalFiles, _config: LoadConfig, _scratch: Path) -> Table:
    frame, notes = scan_arrow_files(files.paths)
    return Table(frame, notes=tuple(notes))


def _excel(files: LocalFiles, config: LoadConfig, _scratch: Path) -> Table:
    frame, notes = scan_excel_files(files.paths, config)
    return Table(frame, notes=tuple(notes))


def _database(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    scans = [read_database_file(path, files.format, config, scratch) for path in files.paths]
    frame, notes = union([str(path) for path in files.paths], scans)
    return Table(frame, notes=tuple(notes))


def _mail(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    return Table(spooled(mail_rows(files.paths), MAIL, scratch, config.limit))


def _posts(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    return Table(scan_post_files(files.paths, scratch, config.limit))


def _pages(files: LocalFiles, config: LoadConfig, scratch: Path) -> Table:
    return Table(spooled(page_rows(files.paths), PAGES, scratch, config.limit))


_OPENERS: dict[str, Callable[[LocalFiles, LoadConfig, Path], Table]] = {
    "parquet": _parquet,
    "csv": _csv,
    "tsv": _csv,
    "json": _json,
    "ndjson": _json,
    "lines": _lines,
    "arrow": _arrow,
    "excel": _excel,
    "sqlite": _database,
    "duckdb": _database,
    "mail": _mail,
    "posts": _posts,
    "warc": _pages,
}
