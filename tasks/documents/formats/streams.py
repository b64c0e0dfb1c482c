"""Streams: a file, perhaps compressed -> its bytes in order; memory does not grow with the file."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import BinaryIO, cast

from topicflow.tasks.errors import DataError

COMPRESSED = (".gz", ".zst", ".zip")
"""Endings of compressed files; they follow the ending of the format."""

LARGEST_WINDOW_BYTES = 1 << 31
"""What `zstd --long=31` needs for unpacking; files of the default level need 8 MiB."""


def plain_name(path: Path) -> str:
    """Return a file's name without the ending of its compression; for a .zip, the name of the file inside.

    Raises
    ------
    DataError
        If a .zip does not hold exactly one file.
    """
    if path.suffix.lower() == ".zip":
        return _only_member(path)
    return path.name[: -len(path.suffix)] if is_compressed(path.name) else path.name


def is_compressed(name: str) -> bool:
    """Return whether a file's ending names a compression."""
    return name.lower().endswith(COMPRESSED)


def open_bytes(path: Path) -> BinaryIO:
    """Return the stream of a file's unpacked bytes.

    Raises
    ------
    DataError
        If a .zip does not hold exactly one file, or the package for .zst is not installed.
    """
    ending = path.suffix.lower()
    if ending == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    if ending == ".zip":
        name = _only_member(path)
        return cast("BinaryIO", zipfile.ZipFile(path).open(name))
    if ending == ".zst":
        return _open_zstd(path)
    return path.open("rb")


def _open_zstd(path: Path) -> BinaryIO:
    try:
        import zstandard
    except ImportError:
        raise missing_package(path, "zstandard") from None
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW_BYTES)
    return cast("BinaryIO", reader.stream_reader(path.open("rb"), read_across_frames=True, closefd=True))


def missing_package(path: Path | str, package: str) -> DataError:
    """Return the error for a format whose package is not installed."""
    return DataError(
        f"load: {path}: needs the package {package!r}; install it: pip install 'topicflow[files]'"
    )


def _only_member(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = [
            each.filename
            for each in archive.infolist()
            if not each.is_dir() and not each.filename.startswith("__MACOSX/")
        ]
        encrypted = any(each.flag_bits & 1 for each in archive.infolist())
    if len(names) != 1 or encrypted:
        found = "an encrypted file" if encrypted else f"{len(names):,} files"
        msg = f"load: {path}: the archive holds {found}, expected one file; unpack it and set load.path to the folder"
        raise DataError(msg)
    return names[0]
