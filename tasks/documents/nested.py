"""Nested columns: the fields of a column of objects, as columns with dotted names (`user.name`)."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.texts import text_columns


def with_fields(frame: pl.LazyFrame, config: LoadConfig) -> pl.LazyFrame:
    """Return the frame with a column for each field that the config names with dots; the objects stay, too."""
    schema = frame.collect_schema()
    named = [*text_columns(config), config.id_column, config.label_column, config.timestamp_column]
    wanted = [
        name for name in dict.fromkeys([*named, *(config.columns or ())]) if name and name not in schema
    ]
    if not any("." in name for name in wanted):
        return frame
    there = dict(fields_of(schema))
    return frame.with_columns(there[name].alias(name) for name in wanted if name in there)


def fields_of(schema: pl.Schema) -> Iterator[tuple[str, pl.Expr]]:
    """Yield the dotted name and the expression of each field inside of the columns of objects, at any depth."""
    for name, kind in schema.items():
        yield from _inside(name, kind, pl.col(name))


def _inside(name: str, kind: pl.DataType, column: pl.Expr) -> Iterator[tuple[str, pl.Expr]]:
    if not isinstance(kind, pl.Struct):
        return
    for field in kind.fields:
        inner, dtype = column.struct.field(field.name), field.dtype
        yield f"{name}.{field.name}", inner
        yield from _inside(f"{name}.{field.name}", dtype() if isinstance(dtype, type) else dtype, inner)
