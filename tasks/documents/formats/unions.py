"""Unions: tables of several files of one input -> one table, whatever the order of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from topicflow.tasks.errors import DataError

_SHOWN = 3


def different_columns(
    files: Sequence[str], columns: Sequence[Sequence[str]], remarks: Sequence[str] = ()
) -> list[str]:
    """Return one sentence for each of the first files whose columns are not those of the first file.

    Parameters
    ----------
    files : sequence of str
        Their names.
    columns : sequence of sequence of str
        Their columns.
    remarks : sequence of str
        What to say about each file if it has nothing in common with the first one, such as its separator.

    Raises
    ------
    DataError
        If a file has no column of the first one.
    """
    first, found = set(columns[0]), []
    for number, own in enumerate(columns):
        if set(own) == first:
            continue
        if not first & set(own):
            shown = [f"({', '.join(remarks[each : each + 1])})" if remarks else "" for each in (0, number)]
            msg = (
                f"load: {files[number]} {shown[1]} has the columns {_listed(own)}, but {files[0]} {shown[0]} has "
                f"{_listed(columns[0])}; load files with equal columns, or set load.separator"
            )
            raise DataError(msg)
        lacking, more = sorted(first - set(own)), sorted(set(own) - first)
        parts = ([f"has no column {_listed(lacking)}"] if lacking else []) + (
            [f"has another column {_listed(more)}"] if more else []
        )
        found.append(f"{files[number]} {' and '.join(parts)}; rows without a column have no value there")
    return found[:_SHOWN]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (", …" if len(names) > 8 else "")


def union(files: Sequence[str], frames: Sequence[pl.LazyFrame]) -> tuple[pl.LazyFrame, list[str]]:
    """Return the rows of all frames and what is different; columns are matched by name.

    Raises
    ------
    DataError
        If a file has no column of the first one.
    """
    schemas = [frame.collect_schema() for frame in frames]
    notes = different_columns(files, [list(schema) for schema in schemas])
    if all(list(a.items()) == list(b.items()) for a, b in pairwise(schemas)):
        return pl.concat(frames), notes
    return pl.concat(frames, how="diagonal_relaxed"), notes
