"""Excel files: a sheet of a workbook (.xlsx, .xlsm, .xlsb, .xls, .ods) -> its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.formats.streams import missing_package
from topicflow.tasks.documents.formats.tables_in_file import table_named
from topicflow.tasks.documents.formats.unions import union
from topicflow.tasks.errors import DataError, first_line

_HEAD_ROWS = 60
_MOST_TITLES = 20


def scan_excel_files(paths: Sequence[Path], config: LoadConfig) -> tuple[pl.LazyFrame, list[str]]:
    """Return the table of a sheet of each workbook, and what was recognized.

    Raises
    ------
    DataError
        If a file is no workbook, there is no such sheet, or several sheets and `load.sheet` is not set.

    Notes
    -----
    A sheet is in memory as a whole: it has at most 1,048,576 rows.
    """
    tables, notes = [], []
    for path in paths:
        frame, found = _sheet(path, config)
        tables.append(frame.lazy())
        notes += found
    table, more = union([str(path) for path in paths], tables)
    return table, [*notes, *more]


def _sheet(path: Path, config: LoadConfig) -> tuple[pl.DataFrame, list[str]]:
    try:
        import fastexcel
    except ImportError:
        raise missing_package(path, "fastexcel") from None
    try:
        book = fastexcel.read_excel(path)
        name, notes = _name_of(path, book, config), list[str]()
        head = _frame(book.load_sheet(name, header_row=None, n_rows=_HEAD_ROWS, dtypes="string"))
        skip = config.skip_rows if config.skip_rows is not None else n_titles(head.rows())
        if skip and config.skip_rows is None:
            notes.append(f"the header is in row {skip + 1:,}, below {skip:,} rows of titles")
        n_header = 1 if config.header is None else config.header
        options: dict[str, Any] = (
            {"header_row": skip} if n_header else {"header_row": None, "skip_rows": skip}
        )
        frame = _frame(book.load_sheet(name, schema_sample_rows=None, **options))
    except fastexcel.FastExcelError as error:
        msg = f"load: {path}: cannot be read ({first_line(error)}); expected an Excel workbook"
        raise DataError(msg) from None
    if not n_header:
        frame.columns = [f"column_{number}" for number in range(1, frame.width + 1)]
    return _with_integers(frame[max(0, n_header - 1) :]), notes


def _frame(sheet: Any) -> pl.DataFrame:  # noqa: ANN401  (fastexcel has no base class)
    frame: pl.DataFrame = sheet.to_polars()
    return frame


def _with_integers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with whole numbers as integers: a workbook stores 42 as 42.0."""
    numbers = [column for column in frame if column.dtype == pl.Float64 and column.count()]
    whole = [column for column in numbers if column.drop_nulls().is_between(-(2**53), 2**53).all()]
    return frame.with_columns(
        column.cast(pl.Int64)
        for column in whole
        if (column.drop_nulls() == column.drop_nulls().round()).all()
    )


def _name_of(path: Path, book: Any, config: LoadConfig) -> str:  # noqa: ANN401
    """Return the name of the sheet to read."""
    names = list(book.sheet_names)
    filled = [
        name for name in names if book.load_sheet(name, header_row=None, n_rows=2, dtypes="string").height
    ]
    return table_named(path, "sheet", config.sheet, names, filled)


def n_titles(rows: Sequence[tuple[Any, ...]]) -> int:
    """Return the number of rows above the header: the first row that has as many cells as the rows below it."""
    if len(rows) < 4:
        return 0
    widths = [sum(cell is not None and str(cell).strip() != "" for cell in row) for row in rows]
    usual, _ = (
        Counter(width for width in widths if width > 1).most_common(1)[0]
        if any(w > 1 for w in widths)
        else (0, 0)
    )
    first = next((number for number, width in enumerate(widths) if width >= usual > 1), 0)
    return first if first <= _MOST_TITLES and all(width <= 1 for width in widths[:first]) else 0
