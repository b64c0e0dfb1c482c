"""Files: a file of an artifact and its entry in the manifest -> what is wrong with the file, or its array, mapped."""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topicflow.tasks.store.access import ABSENT
from topicflow.tasks.store.artifacts import file_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE_BYTES = 32 << 20
"""Largest array whose digest is compared at every read: 32 MiB take about 30 ms, once per process."""

_sound: dict[Path, tuple[int, ...]] = {}
"""Files whose bytes this process has compared with their digests, by path; with inode, size and time of change."""


def problem_of(path: Path, name: str, entry: Mapping[str, Any], *, whole: bool) -> str:
    """Return what is wrong with a file, or an empty string if nothing is.

    Parameters
    ----------
    path : Path
        The file on this machine.
    name : str
        Its name in the manifest.
    entry : mapping
        Its `bytes` and `blake2b` in the manifest; empty if the manifest does not name it.
    whole : bool
        Compare every byte, unless this process has done so and the file has not changed; otherwise only its size.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    if not entry:
        return f"{name} is not in the manifest"
    try:
        found = path.stat()
        if found.st_size != entry["bytes"]:
            return f"{name} has {found.st_size} bytes, expected {entry['bytes']}"
        mark = (found.st_ino, found.st_size, found.st_mtime_ns)
        if not whole or _sound.get(path) == mark:
            return ""
        if file_digest(path) != entry["blake2b"]:
            return f"{name} changed since written"
    except ABSENT:
        return f"{name} is gone"
    _sound[path] = mark
    return ""


def read_array(path: Path) -> NDArray[Any]:
    """Return an array of plain numbers, memory-mapped and read-only.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it contains no such array, or an array that does not fill the file.
    """
    import numpy as np

    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (
        TypeError, EOFError, SyntaxError, OverflowError, LookupError, tokenize.TokenError, zipfile.BadZipFile
    ) as error:  # fmt: skip
        raise ValueError(f"{type(error).__name__} in its header") from None
    if not isinstance(array, np.memmap) or array.dtype.kind not in "biufcSU" or not array.dtype.isnative:
        raise ValueError("not an array of plain numbers")
    if array.offset + array.nbytes != path.stat().st_size:
        raise ValueError("its shape does not fill the file")
    return array
