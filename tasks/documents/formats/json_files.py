"""JSON files: an array of objects, or an object on each line -> one lazy table; a cut last line is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.documents.formats.text_files import new_copy
from topicflow.tasks.errors import DataError, first_line

_BLOCK = 1 << 20
"""Characters read at a time."""


def scan_json_files(
    given: Sequence[Path], plain: Sequence[Path], name: str, scratch: Path
) -> tuple[pl.LazyFrame, int, list[str]]:
    """Return the rows of UTF-8 files, their number, and what was mended; types are inferred from all rows.

    Parameters
    ----------
    given, plain : sequence of Path
        The user's files, and the same files as plain UTF-8.
    name : str
        The user's name for all of them.
    scratch : Path
        Folder for copies.

    Raises
    ------
    DataError
        If a file is no JSON.

    Notes
    -----
    An array is copied object by object: memory is the largest object. An object that holds the list of all rows
    (`{"data": […]}`) is read whole.
    """
    lines = [_as_lines(each, path, scratch) for each, path in zip(given, plain, strict=True)]
    try:
        return *_counted(lines), []
    except pl.exceptions.PolarsError:
        pairs = [_without_cut_end(each, path, scratch) for each, path in zip(given, lines, strict=True)]
        with readable(name):
            return *_counted([path for path, _ in pairs]), [note for _, note in pairs if note]


def _counted(paths: Sequence[Path]) -> tuple[pl.LazyFrame, int]:
    """Return the rows of files and their number; a line that is no object fails here."""
    frame = _scan(paths)
    frame.collect_schema()
    return frame, int(frame.select(pl.len()).collect().item())


def _scan(paths: Sequence[Path]) -> pl.LazyFrame:
    from glob import escape

    return pl.scan_ndjson([escape(str(path)) for path in paths], infer_schema_length=None)


def _as_lines(given: Path, path: Path, scratch: Path) -> Path:
    """Return a file with an object on each line: the same file, or a copy of an array."""
    with path.open(encoding="utf-8") as file:
        first = next((line for line in file if line.strip()), "")
    start = first.lstrip()[:1]
    if start != "[" and (start != "{" or (_is_json(first) and not _is_alone(path))):
        return path
    copy = new_copy(scratch)
    with path.open(encoding="utf-8") as file, copy.open("w", encoding="utf-8") as out:
        for text in _objects(file, given, is_array=start == "["):
            out.write(text + "\n")
    return copy


def _is_alone(path: Path) -> bool:
    """Return whether a file has one line; it may hold all rows in one object."""
    with path.open(encoding="utf-8") as file:
        lines = (line for line in file if line.strip())
        return next(lines, None) is not None and next(lines, None) is None


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _objects(file: TextIO, given: Path, *, is_array: bool) -> Iterator[str]:
    """Yield the text of each object of an array, or of a sequence of objects, each on one line."""
    decoder, buffer, at, offset = json.JSONDecoder(), file.read(_BLOCK), 0, 0
    at = _next(buffer, 0) + is_array
    while True:
        at = _next(buffer, at, "," if is_array else "")
        if at < len(buffer) and buffer[at] == "]" and is_array:
            return
        try:
            value, end = decoder.raw_decode(buffer, at)
            if end == len(buffer) and (more := file.read(_BLOCK)):  # a number may go on
                buffer += more
                continue
        except ValueError as error:
            if more := file.read(max(_BLOCK, len(buffer) - at)):
                offset += at
                buffer, at = buffer[at:] + more, 0
                continue
            if at >= len(buffer) and not is_array:
                return
            msg = (
                f"load: {given}: no JSON at character {offset + at:,} ({first_line(error)}); correct the file"
            )
            raise DataError(msg) from None
        yield from _rows(value, buffer[at:end], given)
        at = end


def _rows(value: Any, text: str, given: Path) -> Iterator[str]:  # noqa: ANN401  (any JSON)
    """Yield the rows of a value: an object is a row, unless it only holds one list of objects."""
    if not isinstance(value, dict):
        msg = f"load: {given}: a row is {text[:40]!r}, expected an object for each document"
        raise DataError(msg)
    lists = [each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)]
    if len(lists) == 1 and not text.startswith("{}") and len(lists[0]) > 1 and not _has_text(value):
        for each in lists[0]:
            yield json.dumps(each, ensure_ascii=False)
    else:
        yield text.replace("\n", " ").replace("\r", " ")


def _has_text(value: dict[str, Any]) -> bool:
    """Return whether an object is itself a document: it has a text of several words."""
    return any(isinstance(each, str) and each.count(" ") >= 2 for each in value.values())


def _next(buffer: str, at: int, mark: str = "") -> int:
    """Return the next place that is neither white space nor `mark`."""
    while at < len(buffer) and (buffer[at].isspace() or (mark and buffer[at] == mark)):
        at += 1
    return at


def _without_cut_end(given: Path, path: Path, scratch: Path) -> tuple[Path, str]:
    """Return the file without a last line that is cut, and a sentence that says so; the file itself if all is JSON.

    Raises
    ------
    DataError
        If another line is no JSON object.
    """
    wrong: tuple[int, str] | None = None
    copy = new_copy(scratch)
    with path.open(encoding="utf-8", newline="\n") as lines, copy.open("w", encoding="utf-8") as out:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if wrong is not None:
                break
            reason = _fault(line)
            if reason is None:
                out.write(line)
            else:
                wrong = (number, reason)
        else:
            if wrong is None:
                return path, ""
            if wrong[0] > 1 and not wrong[1].startswith("a row"):
                return copy, f"{given.name}: the last line ({wrong[0]:,}) is cut and was left out"
    msg = f"load: {given}: cannot be read (line {wrong[0]:,}: {wrong[1]}); correct the line"
    raise DataError(msg)


def _fault(line: str) -> str | None:
    try:
        value = json.loads(line)
    except ValueError as error:
        return f"no JSON, {first_line(error)}"
    return None if isinstance(value, dict) else f"a row is {line.strip()[:40]!r}, expected an object"
