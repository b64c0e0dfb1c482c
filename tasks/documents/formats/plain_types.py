"""Plain types: columns of types that no other part knows -> dates, texts, or what such a type stores."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

_UNITS_US = {"h": 3_600_000_000, "min": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
"""Microseconds of the units of pandas' periods."""

_MONTHS = {"M": 1, "Q-DEC": 3, "Y-DEC": 12, "A-DEC": 12}


def with_plain_types(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the frame with periods of pandas as the times when they begin, and other extension types as stored.

    A column of objects without any field, which no Parquet file can hold, becomes text.
    """
    schema = frame.collect_schema()
    changed = []
    for name, kind in schema.items():
        if isinstance(kind, pl.Extension):
            changed.append(_stored(pl.col(name), kind))
        elif isinstance(kind, pl.Struct) and _has_empty(kind):
            changed.append(pl.col(name).struct.json_encode())
    return frame.with_columns(changed) if changed else frame


def _stored(column: pl.Expr, kind: pl.Extension) -> pl.Expr:
    stored = column.ext.storage()
    if kind.ext_name() != "pandas.period":
        return stored
    frequency = json.loads(kind.ext_metadata() or "{}").get("freq")
    if frequency in _MONTHS:
        months = stored * _MONTHS[frequency]
        return pl.datetime(1970 + months // 12, months % 12 + 1, 1).alias(column.meta.output_name())
    if frequency in {"D", "W-SUN"}:  # week 1 begins on Monday, three days before 1970
        days = stored if frequency == "D" else stored * 7 - 10
        return (days * 86_400_000_000).cast(pl.Datetime("us"))
    return (stored * _UNITS_US[frequency]).cast(pl.Datetime("us")) if frequency in _UNITS_US else stored


def _has_empty(kind: Any) -> bool:  # noqa: ANN401  (a type, or its class)
    """Return whether a type has objects without fields in it."""
    if isinstance(kind, pl.Struct):
        return not kind.fields or any(_has_empty(field.dtype) for field in kind.fields)
    return isinstance(kind, pl.List | pl.Array) and _has_empty(kind.inner)
