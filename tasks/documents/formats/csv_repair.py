"""CSV repair: a CSV file with lone quotes -> a regular copy; and the rows that have too many or too few fields."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from topicflow.tasks.documents.formats.csv_dialect import Dialect
from topicflow.tasks.errors import DataError

_LONGEST_LINES = 1_000
"""Maximum number of lines of a quoted field with irregular quotes."""

_SHOWN_LINES = 3


class NeverClosed(Exception):  # noqa: N818  (it says what was found)
    """A quote that opens a field and is never closed."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass
class _Grammar:
    """The expressions of one dialect."""

    dialect: Dialect

    def __post_init__(self) -> None:
        mark, quote = re.escape(self.dialect.separator), re.escape(self.dialect.quote)
        self.strict = re.compile(rf"{quote}(?:[^{quote}]|{quote}{quote})*{quote}(?={mark}|\Z)")
        self.lenient = re.compile(rf"{quote}(.*?){quote}(?={mark}|\Z)")  # not over line ends
        self.open = re.compile(rf"{quote}(?:[^{quote}]|{quote}{quote})*\Z")
        self.plain = re.compile(rf"[^{mark}]*")

    def fields(self, row: str, *, may_be_open: bool = True) -> list[str] | None:
        """Return the fields of a row as a regular file has them; None if its last field is still open."""
        found, at, quote = [], 0, self.dialect.quote
        while True:
            if row.startswith(quote, at):
                if match := self.strict.match(row, at):
                    found.append(match[0])
                elif may_be_open and self.open.match(row, at):
                    return None
                elif match := self.lenient.match(row, at):
                    inner = match[1].replace(quote * 2, quote)
                    found.append(self.quoted(inner))
                else:  # "Yes" he said
                    match = self.plain.match(row, at)
                    found.append(self.quoted(match[0] if match else ""))
            else:  # 5" pipe
                match = self.plain.match(row, at)
                text = match[0] if match else ""
                found.append(self.quoted(text) if quote in text else text)
            at = match.end() if match else len(row)
            if at >= len(row):
                return found
            at += 1
            if at == len(row):
                return [*found, ""]

    def quoted(self, text: str) -> str:
        """Return a text as a quoted field."""
        quote = self.dialect.quote
        return quote + text.replace(quote, quote * 2) + quote


def write_regular(source: Path, target: Path, dialect: Dialect) -> None:
    """Write a copy of a UTF-8 file in which every quote opens or closes a field, or is doubled in one.

    A quote inside a field is a character. A quote that opens a field closes it before a separator or a line end; a
    field of several lines must be regular.

    Raises
    ------
    NeverClosed
        If a quote opens a field and is never closed.
    """
    grammar = _Grammar(dialect)
    with (
        source.open(encoding="utf-8", newline="\n") as lines,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        for row in _regular_rows(lines, grammar):
            out.write(row)


def _regular_rows(lines: io.TextIOBase, grammar: _Grammar) -> Iterator[str]:
    waiting: deque[tuple[int, str]] = deque()
    numbered = enumerate(lines, 1)
    while (following := waiting.popleft() if waiting else next(numbered, None)) is not None:
        number, line = following
        if grammar.dialect.quote not in line or number <= grammar.dialect.skip_rows:
            yield line
            continue
        row, more = line, list[tuple[int, str]]()
        while (fields := grammar.fields(row.rstrip("\r\n"))) is None:
            following = waiting.popleft() if waiting else next(numbered, None)
            if following is None or len(more) == _LONGEST_LINES:
                raise NeverClosed(number)
            more.append(following)
            row += following[1]
        if more and grammar.dialect.separator.join(fields) != row.rstrip(
            "\r\n"
        ):  # the lines are separate rows
            row, fields = line, grammar.fields(line.rstrip("\r\n"), may_be_open=False) or []
            waiting.extendleft(reversed(more))
        yield grammar.dialect.separator.join(fields) + row[len(row.rstrip("\r\n")) :]


@dataclass
class Ragged:
    """Rows with another number of fields than the header.

    Attributes
    ----------
    n_fields : int
        Fields of the header.
    long, short : list of tuple of int, int
        Line and number of fields of the first rows that have more (not counting blank ones at the end) or fewer.
    n_long, n_short, n_blank : int
        Number of rows with more fields, with fewer, and with more of which the last are blank.
    """

    n_fields: int = 0
    long: list[tuple[int, int]] = field(default_factory=list)
    short: list[tuple[int, int]] = field(default_factory=list)
    n_long: int = 0
    n_short: int = 0
    n_blank: int = 0


def ragged_rows(path: Path, dialect: Dialect) -> Ragged:
    """Return the rows of a regular UTF-8 file that have another number of fields than its header."""
    quote, separator, found = dialect.quote, dialect.separator, Ragged()
    grammar = _Grammar(dialect) if quote else None
    with path.open(encoding="utf-8", newline="\n") as lines:
        numbered = enumerate(lines, 1)
        for number, line in numbered:
            row = line
            if number <= dialect.skip_rows or not line.strip("\r\n"):
                continue
            while quote and row.count(quote) % 2:
                _, more = next(numbered, (0, None))
                if more is None:
                    break
                row += more
            body = row.rstrip("\r\n")
            fields = (grammar.fields(body) or []) if grammar and quote in body else body.split(separator)
            _count(found, number, fields)
    return found


def _count(found: Ragged, number: int, fields: list[str]) -> None:
    if not found.n_fields:
        found.n_fields = len(fields)
    elif len(fields) < found.n_fields:
        found.n_short += 1
        found.short += [(number, len(fields))] if len(found.short) < _SHOWN_LINES else []
    elif len(fields) > found.n_fields:
        if any(each.strip() for each in fields[found.n_fields :]):
            found.n_long += 1
            found.long += [(number, len(fields))] if len(found.long) < _SHOWN_LINES else []
        else:
            found.n_blank += 1


def too_long(path: Path, found: Ragged, dialect: Dialect) -> DataError:
    """Return the error about rows with more fields than the header."""
    line, n_fields = found.long[0]
    mark = "tab" if dialect.separator == "\t" else dialect.separator
    rows = "1 row has" if found.n_long == 1 else f"{found.n_long:,} rows have"
    msg = (
        f"load: {path}: line {line:,} has {n_fields:,} fields, the header has {found.n_fields:,} (separator {mark!r}); "
        f"{rows} too many: quote texts that contain the separator, or set load.separator, load.quote or load.skip_rows"
    )
    return DataError(msg)
