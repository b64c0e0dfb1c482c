"""Change file: a file of edits and a change of its text -> the changed file, without the loss of another change."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from topicflow.tasks.edits.edits_file import write_text
from topicflow.tasks.errors import ConfigError


def text_of(path: Path) -> str:
    """Return the text of a file; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def change_file(path: Path, change: Callable[[str], str]) -> None:
    """Write what `change` makes of the text of a file; of two processes at once each sees the other's result.

    Raises
    ------
    ConfigError
        What `change` raised, or if the file cannot be read or written.

    Notes
    -----
    The folder of the file is locked, so no lock file is left in it. In a place without locks, or if a person saves the
    file at that moment, the change is made again on the new text.
    """
    with _locked(path.resolve().parent):
        while True:
            before = text_of(path)
            after = change(before)
            if text_of(path) == before:
                write_text(path, after)
                return


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes while the block runs, if it can be locked."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # writing the file will say what is wrong
        yield
        return
    try:
        with contextlib.suppress(OSError):  # a place without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
