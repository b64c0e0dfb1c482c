"""Tables in a file: the names of the sheets or tables of one file, and the wanted one -> the one that is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topicflow.tasks.errors import DataError


class SeveralTablesError(DataError):
    """A file with several sheets or tables, of which the config names none."""

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names


def table_named(
    path: Path, kind: str, wanted: str | None, names: Sequence[str], filled: Sequence[str]
) -> str:
    """Return the wanted table of a file, or the only one with rows.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What its tables are called: `sheet` or `table`.
    wanted : str or None
        `load.sheet`.
    names, filled : sequence of str
        All tables, and those with rows.

    Raises
    ------
    DataError
        If there is no such table, or none with rows.
    SeveralTablesError
        If several have rows and none is wanted.
    """
    shown = ", ".join(map(repr, names)) or "none"
    if wanted is not None:
        if wanted in names:
            return wanted
        msg = f"load: {path}: no {kind} {wanted!r} (load.sheet); there are: {shown}"
        raise DataError(msg)
    if not filled:
        msg = f"load: {path}: no {kind} has rows; there are: {shown}"
        raise DataError(msg)
    if len(filled) > 1:
        msg = f"load: {path}: {len(filled)} {kind}s with rows ({', '.join(map(repr, filled))}); set load.sheet to one"
        raise SeveralTablesError(msg, tuple(filled))
    return filled[0]
