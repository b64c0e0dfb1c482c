"""Flat: a table with lists, structs and times of any kind -> the same rows with values that a spreadsheet has."""

from __future__ import annotations

import json

import polars as pl

DIGITS = 7
"""Significant digits of a 32-bit number."""

DECIMALS = 4
"""Digits of numbers in lists, such as the weights of keywords."""


def flat(table: pl.LazyFrame) -> pl.LazyFrame:
    """Return a table without nested columns, lazily.

    Lists of texts are joined by commas, lists of numbers by spaces, structs and other lists become JSON. Times of a
    day, durations, times with a zone and bytes become texts.
    """
    return table.with_columns(
        expression.alias(name)
        for name, dtype in table.collect_schema().items()
        if (expression := _as_plain(name, dtype)) is not None
    )


def _as_plain(name: str, dtype: pl.DataType) -> pl.Expr | None:
    """Return a column with plain values, None if it has them already."""
    column = pl.col(name)
    if isinstance(dtype, pl.List | pl.Array):
        return _joined(column, dtype)
    if isinstance(dtype, pl.Struct | pl.Binary):
        return column.struct.json_encode() if isinstance(dtype, pl.Struct) else column.bin.encode("hex")
    if isinstance(dtype, pl.Duration) or (isinstance(dtype, pl.Datetime) and dtype.time_zone is not None):
        return column.dt.to_string("iso:strict" if isinstance(dtype, pl.Datetime) else "iso")
    if isinstance(dtype, pl.Time | pl.Categorical | pl.Enum | pl.Null):
        return column.cast(pl.String)
    if isinstance(dtype, pl.Float32):  # .1, and not .10000000149
        return column.cast(pl.Float64).round_sig_figs(DIGITS)
    return column.cast(pl.Float64) if isinstance(dtype, pl.Decimal) else None


def _joined(column: pl.Expr, dtype: pl.List | pl.Array) -> pl.Expr:
    """Return lists as texts."""
    lists = column.arr.to_list() if isinstance(dtype, pl.Array) else column
    inner = dtype.inner
    if isinstance(inner, pl.String):
        return lists.list.join(", ")
    if inner.is_float():
        return lists.list.eval(pl.element().round(DECIMALS).cast(pl.String)).list.join(" ")
    if inner.is_integer():
        return lists.list.eval(pl.element().cast(pl.String)).list.join(" ")
    return column.map_elements(_json, return_dtype=pl.String)


def _json(value: object) -> str:
    """Return a value as JSON; what JSON lacks becomes a text."""
    held = value.to_list() if isinstance(value, pl.Series) else value
    return json.dumps(held, ensure_ascii=False, default=str)
