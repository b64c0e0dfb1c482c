"""Durable: what was written -> on the disk, so that it survives a power failure, and readable as other files are."""

from __future__ import annotations

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Return as soon as a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_as_folder(folder: Path) -> None:
    """Give every file in a folder the permissions that the folder has, as the umask of its writer decided.

    Some libraries write files that only their owner can read (safetensors, and whatever goes through `tempfile`).
    """
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o666 != mode:
            path.chmod(path.stat().st_mode & ~0o666 & 0o7777 | mode)


def fsync_tree(folder: Path) -> None:
    """Return as soon as a folder and everything in it are on the disk."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            fsync(path)
    fsync(folder)
