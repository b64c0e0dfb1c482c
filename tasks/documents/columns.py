"""Columns: a column that a config names and a table's columns -> nothing, or a line that names the nearest column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from topicflow.tasks.errors import DataError


def require_column(where: str, name: str, columns: Iterable[str], key: str | None = None) -> None:
    """Raise DataError if a table has no column of that name.

    Parameters
    ----------
    where : str
        Beginning of the message: the stage, and the file if there is one.
    name : str
        The column.
    columns : iterable of str
        The table's columns.
    key : str, optional
        The config's key that names the column.
    """
    known = list(columns)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    there = ", ".join(map(repr, known)) or "none"
    raise DataError(f"{where}: no column {name!r}{f' ({key})' if key else ''}; there are: {there}{hint}")
