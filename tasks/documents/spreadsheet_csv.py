"""Spreadsheet CSV: tables with texts -> CSV files whose cells a spreadsheet shows but does not run, and back.

A spreadsheet takes a cell that begins with = + - @, a tab or a line end for a formula, even if it is a text. Such a
text gets an apostrophe before it, as does a text with apostrophes before such a character; reading removes one, so
that every text is restored exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

RUN = r"'*[=+\-@\t\r\n＝＋－＠]"
"""Beginning of a cell that would be a formula, also with full-width signs, or would be one without apostrophes."""


def write_csv(table: pl.DataFrame, path: Path) -> None:
    """Write a table without nested columns to a CSV file; no text begins like a formula."""
    import polars as pl

    table.with_columns(pl.col(pl.String).str.replace(rf"\A({RUN})", "'$1")).write_csv(path)


def read_csv(path: Path | str) -> pl.DataFrame:
    """Return all columns of a CSV file as the texts that `write_csv` has written.

    Raises
    ------
    OSError, pl.exceptions.PolarsError
        If the file cannot be read.
    """
    import polars as pl

    found = pl.read_csv(path, infer_schema=False)  # the id 007 is not a number
    return found.with_columns(pl.col(pl.String).str.replace(rf"\A'({RUN})", "$1"))
