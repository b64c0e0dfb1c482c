"""Text files: bytes in any encoding -> text, one row for each file; and UTF-8 copies of files of lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from topicflow.tasks.documents.formats.encodings import (
    encoding_of,
    file_encoding,
    first_invalid,
    wrong_byte,
)
from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.documents.formats.streams import is_compressed, open_bytes

_BLOCK_BYTES = 1 << 22
"""Bytes that are copied at a time."""

_CHUNK_BYTES = 1 << 28
"""Maximum bytes in a chunk of text files, so that the rows of a corpus of books do not fill the memory."""


def text_chunks(
    base: Path, names: Sequence[str], errors: str, chunk_rows: int, encoding: str | None = None
) -> Iterator[pl.DataFrame]:
    """Yield chunks of (text, file), one row for each file; `names` are relative to `base`."""
    rows: list[tuple[str, str]] = []
    size = 0
    for name in names:
        path = base / name
        with readable(str(path)):
            data = path.read_bytes()
        rows.append((_decoded(path, data, errors, encoding), name))
        size += len(data)
        if len(rows) >= chunk_rows or size >= _CHUNK_BYTES:
            yield _text_frame(rows)
            rows, size = [], 0
    if rows:
        yield _text_frame(rows)


def _decoded(path: Path, data: bytes, errors: str, given: str | None) -> str:
    encoding = encoding_of(data[:4], given)
    start = len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0
    try:
        return data[start:].decode("utf-8" if start else encoding, errors)
    except UnicodeDecodeError as error:
        raise wrong_byte(path, encoding, start + error.start, error.object[error.start]) from None


def _text_frame(rows: Iterable[tuple[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"text": pl.String, "file": pl.String}, orient="row")


def plain_utf8(path: Path, errors: str, scratch: Path, given: str | None = None) -> Path:
    """Return the file itself if it is plain UTF-8, otherwise a copy that is: unpacked, without mark and wrong bytes.

    Parameters
    ----------
    path : Path
        The file, perhaps compressed.
    errors : str
        `strict`, or `replace` to write U+FFFD for bytes that the encoding cannot read.
    scratch : Path
        Folder for the copy.
    given : str, optional
        The encoding of a file without a byte order mark; UTF-8 if it is not set.

    Raises
    ------
    DataError
        If it contains bytes that the encoding cannot read and `errors` is strict.
    """
    encoding = file_encoding(path, given)
    invalid = first_invalid(path, encoding) if errors == "strict" or encoding == "utf-8" else None
    if invalid is not None and errors == "strict":
        raise wrong_byte(path, encoding, *invalid)
    if invalid is None and encoding == "utf-8" and not is_compressed(path.name):
        return path
    copy = new_copy(scratch)
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    with open_bytes(path) as file, copy.open("w", encoding="utf-8", newline="") as out:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            out.write(decoder.decode(block))
        out.write(decoder.decode(b"", final=True))
    return copy


def new_copy(scratch: Path) -> Path:
    """Return the path of the next temporary file of a folder."""
    return scratch / f"{len(list(scratch.iterdir())):05d}"
