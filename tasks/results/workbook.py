"""Workbook: tables -> one XLSX file with a sheet each, and what a sheet could not hold.

A text stays a text: a cell that begins like a formula has Excel's own mark for texts, so that it is no formula after it
is edited either. XlsxWriter writes row by row, so that the memory does not grow with the rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from topicflow.tasks.documents.spreadsheet_csv import RUN
from topicflow.tasks.results.flat import flat

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

MAX_ROWS = 1_048_576
"""Rows of a sheet, the header included."""

MAX_COLUMNS = 16_384
MAX_CHARACTERS = 32_767
"""Characters of a cell."""

EXACT = 2**53
"""From this number on, a cell does not hold every whole number; such numbers are written as texts."""

FIRST_DATE = date(1900, 3, 1)
"""Excel counts a 29 February 1900 that did not exist; earlier dates are written as texts."""

BATCH_ROWS = 20_000
WIDTHS = {"text": 60.0, "keywords": 50.0, "topic_name": 30.0, "name": 30.0}

_BEGINS_LIKE_A_FORMULA = re.compile(RUN)
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML, and so a sheet, cannot hold."""


@dataclass
class Losses:
    """What a sheet could not hold."""

    sheet: str
    n_rows: int = 0
    n_columns: int = 0
    n_cut: int = 0
    n_control: int = 0

    @property
    def lines(self) -> list[str]:
        """A sentence for each kind of loss."""
        said = (
            (self.n_rows, f"rows after the first {MAX_ROWS - 1:,} are left out; CSV and Parquet have all"),
            (
                self.n_columns,
                f"columns after the first {MAX_COLUMNS:,} are left out; CSV and Parquet have all",
            ),
            (self.n_cut, f"texts are cut to {MAX_CHARACTERS:,} characters, the most that a cell holds"),
            (self.n_control, "texts are without their control characters, which a cell cannot hold"),
        )
        return [f"sheet {self.sheet}: {n:,} {line}" for n, line in said if n]


def write_workbook(path: Path, tables: Mapping[str, pl.LazyFrame]) -> list[str]:
    """Write tables as the sheets of an XLSX file and return a line for each thing that it could not hold.

    Parameters
    ----------
    path : Path
        The file; it appears when it is complete.
    tables : mapping of str to pl.LazyFrame
        Name and content of each sheet, in order. Lists become texts; times with a zone become texts.

    Notes
    -----
    About 100,000 cells a second.
    """
    import xlsxwriter.exceptions

    staging = path.with_name(f".{path.name}.staging")
    options = {"constant_memory": True, "default_date_format": "yyyy-mm-dd"}
    lines = []
    try:
        with xlsxwriter.Workbook(str(staging), options) as workbook:
            marked = workbook.add_format({"quote_prefix": True})
            moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
            head = workbook.add_format({"bold": True})
            for name, table in tables.items():
                sheet = workbook.add_worksheet(name[:31])
                lines += _Sheet(sheet, Losses(name), marked, moment, head).fill(flat(table)).lines
        staging.replace(path)
    except xlsxwriter.exceptions.FileCreateError as error:
        raise OSError(str(error)) from None
    finally:
        staging.unlink(missing_ok=True)
    return lines


@dataclass
class _Sheet:
    """A sheet that is filled row by row, with the formats of its cells."""

    sheet: Worksheet
    losses: Losses
    marked: Format
    moment: Format
    head: Format

    def fill(self, table: pl.LazyFrame) -> Losses:
        """Write a flat table and return what the sheet could not hold."""
        schema = table.collect_schema()
        names = schema.names()[:MAX_COLUMNS]
        self.losses.n_columns = len(schema) - len(names)
        self.sheet.freeze_panes(1, 0)
        for column, name in enumerate(names):
            self.sheet.set_column(column, column, WIDTHS.get(name, 14.0))
            self.sheet.write_string(0, column, self._clean(name), self.head)
        writers = [self._writer(schema[name]) for name in names]
        row = 1
        for part in table.select(names).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            kept = part.head(max(0, MAX_ROWS - row))
            self.losses.n_rows += part.height - kept.height
            for values in kept.iter_rows():
                for column, value in enumerate(values):
                    if value is not None:
                        writers[column](row, column, value)
                row += 1
        return self.losses

    def _writer(self, dtype: pl.DataType) -> Callable[[int, int, Any], object]:
        """Return what writes a value of a type into a cell."""
        if isinstance(dtype, pl.Boolean):
            return self._flag
        if dtype.is_numeric():
            return self._number
        if isinstance(dtype, pl.Date | pl.Datetime):
            return self._time
        return self._text

    def _flag(self, row: int, column: int, value: bool) -> None:
        self.sheet.write_boolean(row, column, value)

    def _number(self, row: int, column: int, value: float) -> None:
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) >= EXACT):
            self._text(row, column, str(value))
        else:
            self.sheet.write_number(row, column, value)

    def _time(self, row: int, column: int, value: date) -> None:
        day = value.date() if isinstance(value, datetime) else value
        if day < FIRST_DATE:
            self._text(row, column, value.isoformat())
        elif isinstance(value, datetime):
            self.sheet.write_datetime(row, column, value, self.moment)
        else:
            self.sheet.write_datetime(row, column, value)

    def _text(self, row: int, column: int, value: str) -> None:
        text = self._clean(value)
        is_marked = _BEGINS_LIKE_A_FORMULA.match(text) is not None
        self.sheet.write_string(row, column, text, self.marked if is_marked else None)

    def _clean(self, value: str) -> str:
        """Return a text as a cell can hold it, and count what it loses."""
        text = _NO_XML.sub("", value)
        self.losses.n_control += len(text) != len(value)
        if len(text) > MAX_CHARACTERS:
            self.losses.n_cut += 1
            text = text[:MAX_CHARACTERS]
        return text
