"""Text files: UTF-8 bytes -> text, one row for each file; and clean copies of CSV and NDJSON files."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl

from topicflow.tasks.documents.read_errors import readable
from topicflow.tasks.errors import DataError

_BLOCK_BYTES = 1 << 22
"""Bytes that are checked for UTF-8 at a time."""

_CHUNK_BYTES = 1 << 28
"""Maximum bytes in a chunk of text files, so that the rows of a corpus of books do not fill the memory."""


def text_chunks(base: Path, names: Sequence[str], errors: str, chunk_rows: int) -> Iterator[pl.DataFrame]:
    """Yield chunks of (text, file), one row for each file; `names` are relative to `base`."""
    rows: list[tuple[str, str]] = []
    size = 0
    for name in names:
        path = base / name
        with readable(str(path)):
            data = path.read_bytes()
        start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
        try:
            rows.append((data[start:].decode("utf-8", errors), name))
        except UnicodeDecodeError as error:
            raise _not_utf8(path, start + error.start, error.object[error.start]) from None
        size += len(data)
        if len(rows) >= chunk_rows or size >= _CHUNK_BYTES:
            yield _text_frame(rows)
            rows, size = [], 0
    if rows:
        yield _text_frame(rows)


def _text_frame(rows: Iterable[tuple[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"text": pl.String, "file": pl.String}, orient="row")


def plain_utf8(path: Path, errors: str, scratch: Path) -> Path:
    """Return the file itself if it is plain UTF-8, otherwise a copy without gzip, byte order mark and invalid bytes.

    Raises
    ------
    DataError
        If it contains bytes that are not UTF-8 and `errors` is strict.
    """
    with _stream(path) as file:
        head = file.read(3)
    invalid = _first_invalid(path)
    if invalid is not None and errors == "strict":
        raise _not_utf8(path, *invalid)
    if invalid is None and head != codecs.BOM_UTF8 and path.suffix.lower() != ".gz":
        return path
    copy = scratch / f"{len(list(scratch.iterdir())):05d}"
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors)
    with _stream(path) as file, copy.open("w", encoding="utf-8", newline="") as out:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            out.write(decoder.decode(block))
        out.write(decoder.decode(b"", final=True))
    return copy


def _first_invalid(path: Path) -> tuple[int, int] | None:
    """Return offset and value of a file's first byte that is not UTF-8, or None; offsets are in the unpacked bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    start = 0
    with _stream(path) as file:
        while True:
            block = file.read(_BLOCK_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return start - pending + error.start, error.object[error.start]
            if not block:
                return None
            start += len(block)


def _stream(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def _not_utf8(path: Path, offset: int, byte: int) -> DataError:
    msg = (
        f"load: {path}: not UTF-8 (byte 0x{byte:02x} at offset {offset:,}); convert the file, or set "
        "load.encoding_errors='replace' to replace such bytes by U+FFFD"
    )
    return DataError(msg)
