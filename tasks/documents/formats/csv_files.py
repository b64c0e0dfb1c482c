"""CSV files: any file with separated columns -> a regular UTF-8 file that polars reads, and its dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.formats.csv_dialect import ONE_COLUMN, Dialect, dialect_of
from topicflow.tasks.documents.formats.csv_repair import (
    NeverClosed,
    Ragged,
    ragged_rows,
    too_long,
    write_regular,
)
from topicflow.tasks.documents.formats.csv_survey import Survey, survey
from topicflow.tasks.documents.formats.encodings import wrong_byte
from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.documents.formats.text_files import new_copy, plain_utf8
from topicflow.tasks.errors import DataError

_FEW_QUOTED = 0.1
"""Maximum share of rows with a quoted text in a file that was written without quoting: titles that are quotations."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that polars can read.

    Attributes
    ----------
    given, path : Path
        The user's file, and the regular file: the same one or a copy.
    dialect : Dialect
        How it is written.
    notes : tuple of str
        What was recognized or mended, one sentence each.
    has_blank_ends : bool
        Whether rows have blank fields beyond the header's.
    """

    given: Path
    path: Path
    dialect: Dialect
    notes: tuple[str, ...] = ()
    has_blank_ends: bool = False


def regular_csv(path: Path, config: LoadConfig, scratch: Path, *, is_tsv: bool) -> CsvFile:
    """Return a CSV file as polars can read it.

    Parameters
    ----------
    path : Path
        The file, perhaps compressed.
    config : LoadConfig
        Its encoding, separator, quote and header, if they are given.
    scratch : Path
        Folder for copies.
    is_tsv : bool
        Whether its ending says that tabs separate columns.

    Raises
    ------
    DataError
        If it has bytes that its encoding cannot read, a quote that is never closed, or rows with too many fields.
    """
    with readable(str(path)):
        dialect = dialect_of(path, config, is_tsv=is_tsv)
        seen = survey(path, dialect.separator, dialect.quote, config.encoding)
        if seen.invalid is not None and config.encoding_errors == "strict":
            raise wrong_byte(path, seen.encoding, *seen.invalid)
        plain, notes = path, list(dialect.found)
        if not seen.is_plain or seen.invalid is not None or seen.has_cr_lines:
            plain = _utf8_copy(path, config, scratch, seen)
            notes += _notes_on_bytes(seen)
            seen = survey(plain, dialect.separator, dialect.quote, None)
        found = CsvFile(path, plain, dialect, tuple(notes))
        if not seen.is_regular:
            found = _without_lone_quotes(found, config, scratch)
            seen = survey(found.path, dialect.separator, found.dialect.quote, None)
        return _checked_width(found, seen)


def _utf8_copy(path: Path, config: LoadConfig, scratch: Path, seen: Survey) -> Path:
    copy = plain_utf8(path, config.encoding_errors, scratch, config.encoding)
    if not seen.has_cr_lines and b"\n" in _head(copy):
        return copy
    lines = new_copy(scratch)
    with (
        copy.open(encoding="utf-8", newline=None) as file,
        lines.open("w", encoding="utf-8", newline="\n") as out,
    ):
        for block in iter(lambda: file.read(1 << 20), ""):
            out.write(block)
    return lines


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 18)


def _notes_on_bytes(seen: Survey) -> list[str]:
    found = []
    if seen.encoding not in {"utf-8", "utf-8-sig"}:
        found.append(f"its encoding is {seen.encoding}")
    if seen.has_cr_lines:
        found.append("its lines end in CR only")
    return found


def _without_lone_quotes(found: CsvFile, config: LoadConfig, scratch: Path) -> CsvFile:
    """Return the file with quotes that have no meaning, if it was written so, or a regular copy.

    Raises
    ------
    DataError
        If a quote opens a field and is never closed.
    """
    if config.quote is None and _is_bare(found.path, found.dialect):
        note = "its quotes are characters of the texts"
        return replace(found, dialect=replace(found.dialect, quote=""), notes=(*found.notes, note))
    copy = new_copy(scratch)
    try:
        write_regular(found.path, copy, found.dialect)
    except NeverClosed as error:
        msg = (
            f"load: {found.given}: line {error.line:,}: a quote ({found.dialect.quote}) opens a field and is never "
            "closed; close it, or set load.quote='' to read quotes as characters of the texts"
        )
        raise DataError(msg) from None
    return replace(found, path=copy, notes=(*found.notes, "quotes inside of texts are read as characters"))


def _is_bare(path: Path, dialect: Dialect) -> bool:
    """Return whether an irregular file was written without quoting.

    Without quotes all its rows have the fields of the header, so that no quotes protect a separator or a line end, and
    in few rows a text is quoted as a whole.
    """
    ragged = ragged_rows(path, replace(dialect, quote=""))
    if ragged.n_long or ragged.n_short or ragged.n_blank:
        return False
    quote, n_rows, n_quoted = dialect.quote, 0, 0
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            n_rows += 1
            fields = line.rstrip("\r\n").split(dialect.separator) if quote in line else []
            n_quoted += any(len(each) > 1 and each[0] == each[-1] == quote for each in fields)
    return n_quoted <= _FEW_QUOTED * n_rows


def _checked_width(found: CsvFile, seen: Survey) -> CsvFile:
    """Return the file with a note on short rows; raise DataError if a row has more fields than the header."""
    if found.dialect.skip_rows == 0:
        n_fields, dialect = _header_fields(found), found.dialect
        if seen.is_rectangular(n_fields):
            return found
        seen = survey(found.path, dialect.separator, dialect.quote, None, without_blank=True)
        if seen.is_rectangular(n_fields):
            return found
    ragged = ragged_rows(found.path, found.dialect)
    if ragged.n_long:
        raise too_long(found.given, ragged, found.dialect)
    return replace(found, notes=(*found.notes, *_notes_on_rows(ragged)), has_blank_ends=ragged.n_blank > 0)


def _header_fields(found: CsvFile) -> int:
    """Return the number of fields of the first line that is not blank."""
    with found.path.open(encoding="utf-8", newline="\n") as lines:
        head = "".join(line for _, line in zip(range(200), lines, strict=False))
    rows = _first_row(head, found.dialect)
    return len(rows)


def _first_row(head: str, dialect: Dialect) -> list[str]:
    import csv

    lines = head.lstrip("\r\n").splitlines(keepends=True)
    reader = (
        csv.reader(lines, delimiter=dialect.separator, quotechar=dialect.quote)
        if dialect.quote
        else csv.reader(lines, delimiter=dialect.separator, quoting=csv.QUOTE_NONE)
    )
    return next(reader, [])


def _notes_on_rows(ragged: Ragged) -> list[str]:
    if not ragged.n_short:
        return []
    rows = "1 row has" if ragged.n_short == 1 else f"{ragged.n_short:,} rows have"
    lines = ", ".join(f"{line:,}" for line, _ in ragged.short)
    more = ", …" if ragged.n_short > len(ragged.short) else ""
    note = (
        f"{rows} fewer fields than the header, which has {ragged.n_fields:,} (line {lines}{more}); "
        "the missing ones are empty"
    )
    return [note]


def keys_of(files: Sequence[CsvFile], *, is_tsv: bool) -> dict[str, Any]:
    """Return the keys of the section `load` that say how files are written, if they agree and it is not usual."""
    usual = Dialect("\t" if is_tsv else ",", '"')
    found = {}
    for key in ("separator", "quote", "skip_rows", "header"):
        values = {getattr(file.dialect, key) for file in files}
        if len(values) == 1 and (value := values.pop()) not in {getattr(usual, key), ONE_COLUMN}:
            found[key] = value
    return found
