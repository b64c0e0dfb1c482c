"""Spreadsheet CSV: tables with texts -> CSV files whose cells a spreadsheet shows and does not run, and back.

A spreadsheet takes a cell that begins with = + - @, a tab or a line's end for a formula, whoever wrote the text. Such a
text gets an apostrophe in front, as does one that has apostrophes before one of these; reading takes one away, so that
every text comes back as it was.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

RUN = r"'*[=+\-@\t\r\n＝＋－＠]"
"""What a cell begins with that is taken for a formula, the full-width signs too, or would be without apostrophes."""


def write_csv(table: pl.DataFrame, path: Path) -> None:
    """Write a table without nested columns to a CSV file; a text never begins as a formula does."""
    table.with_columns(pl.col(pl.String).str.replace(rf"\A({RUN})", "'$1")).write_csv(path)


def read_csv(path: Path | str) -> pl.DataFrame:
    """Return all columns of a CSV file as the texts that `write_csv` was given.

    Raises
    ------
    OSError, pl.exceptions.PolarsError
        When the file cannot be read.
    """
    found = pl.read_csv(path, infer_schema=False)  # an id 007 is no number
    return found.with_columns(pl.col(pl.String).str.replace(rf"\A'({RUN})", "$1"))
