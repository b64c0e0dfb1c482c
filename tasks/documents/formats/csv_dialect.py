"""CSV dialect: the first lines of a CSV file, and the config -> separator, quote, place and rows of the header."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.formats.encodings import encoding_of
from topicflow.tasks.documents.formats.streams import open_bytes

_HEAD_BYTES = 1 << 18
"""Bytes in which the dialect is found."""

_HEAD_ROWS = 60

_MOST_TITLES = 20
"""Maximum number of lines above a header that are recognized as titles."""

SEPARATORS = (",", ";", "\t", "|")

ONE_COLUMN = "\x1f"
"""Separator of a file whose header has none: a list of texts, in which commas are characters."""


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    separator, quote : str
        One character each; an empty quote means that quotes have no meaning.
    skip_rows : int
        Lines above the header.
    header : int
        Rows of the header; the first one names the columns.
    found : tuple of str
        What was recognized and is not the usual, one sentence each.
    """

    separator: str
    quote: str
    skip_rows: int = 0
    header: int = 1
    found: tuple[str, ...] = ()


def dialect_of(path: Path, config: LoadConfig, *, is_tsv: bool) -> Dialect:
    """Return the dialect of a file, as the config says or as its first lines show."""
    lines = _first_lines(path, config)
    quote = '"' if config.quote is None else config.quote
    found: list[str] = []
    declared = re.fullmatch(r'"?sep=(.)"?[;,\t]*', lines[0].rstrip("\r\n"), re.IGNORECASE) if lines else None
    skip = config.skip_rows if config.skip_rows is not None else 1 if declared else 0
    separator = config.separator or ("\t" if is_tsv else declared[1] if declared else None)
    if declared and config.skip_rows is None:
        found.append(f"line 1 says that {_shown(declared[1])} separates columns")
    below = lines[skip:]
    separator = separator or _separator(below)
    rows = _rows(below, separator, quote)
    if config.skip_rows is None and config.header != 0 and (n_titles := _n_titles(rows)):
        skip += _n_lines(below, n_titles)
        separator = separator if config.separator or declared or is_tsv else _separator(lines[skip:])
        rows = _rows(lines[skip:], separator, quote)
        found.append(f"the header is on line {skip + 1:,}, below {_titles(n_titles)}")
    header, why = (config.header, None) if config.header is not None else _n_header(rows)
    return Dialect(separator, quote, skip, header, (*found, *([why] if why else [])))


def _titles(n: int) -> str:
    return "1 title line" if n == 1 else f"{n:,} lines of titles"


def _shown(separator: str) -> str:
    return "a tab" if separator == "\t" else repr(separator)


def _first_lines(path: Path, config: LoadConfig) -> list[str]:
    """Return the first lines with their ends; the last one may be incomplete and is left out if there are others."""
    with open_bytes(path) as file:
        head = file.read(_HEAD_BYTES)
    is_whole = len(head) < _HEAD_BYTES
    decoder = codecs.getincrementaldecoder(encoding_of(head[:4], config.encoding))("replace")
    text = decoder.decode(head).removeprefix("\ufeff")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = text.splitlines(keepends=True) if "\x0b" not in text else text.split("\n")
    return lines if is_whole or len(lines) < 2 else lines[:-1]


def _separator(lines: list[str]) -> str:
    """Return the most frequent separator of the header; the first of , ; tab | if there is none.

    A title above the header may have no separator, or another one: if the lines below agree on a separator that the
    first line lacks, it is theirs.
    """
    header = re.sub(r'"[^"]*"', "", lines[0]) if lines else ""
    counts = {mark: header.count(mark) for mark in SEPARATORS}
    best = max(counts, key=lambda mark: counts[mark])  # a comma if there is none, because max takes the first
    if counts[best]:
        rows = _rows(lines, best, '"')
        if len(rows) < 4 or sum(len(row) == len(rows[0]) for row in rows) * 2 > len(rows):
            return best
    agreed = {mark: share for mark in SEPARATORS if (share := _agreement(_rows(lines, mark, '"'))) > 0.8}
    if agreed:
        return max(agreed, key=lambda mark: agreed[mark])
    return best if counts[best] else ONE_COLUMN


def _agreement(rows: list[list[str]]) -> float:
    """Return the share of rows that have the most frequent number of fields, 0 if that is one or rows are few."""
    sizes = Counter(len(row) for row in rows)
    if len(rows) < 4:
        return 0.0
    size, n = sizes.most_common(1)[0]
    return n / len(rows) if size > 1 else 0.0


def _rows(lines: list[str], separator: str, quote: str) -> list[list[str]]:
    """Return the first rows that are not blank."""
    options = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    rows: list[list[str]] = []
    try:
        for row in csv.reader(lines, delimiter=separator, **options):
            if row:
                rows.append(row)
            if len(rows) == _HEAD_ROWS:
                break
    except csv.Error:  # a field of more than 128 KiB: a long text
        pass
    return rows


def _n_titles(rows: list[list[str]]) -> int:
    """Return the number of rows above the header: titles have fewer cells than the header, and only one is filled.

    Notes
    -----
    polars refuses such a file if the title is short, and takes the title for the header if it is padded to the width
    of the table. A first row that names two columns is never a title.
    """
    if len(rows) < 4:
        return 0
    width, n = Counter(len(row) for row in rows).most_common(1)[0]
    if width < 2 or n < 0.6 * len(rows):
        return 0
    for number, row in enumerate(rows[: _MOST_TITLES + 1]):
        cells = [cell.strip() for cell in row]
        n_filled = sum(map(bool, cells))
        if len(row) == width and n_filled == width and len(set(cells)) == width:
            return 0 if any(re.fullmatch(r"[-+\d.,:/ ]+", cell) for cell in cells) else number
        is_padded = len(row) == width > 2 and n_filled <= 1 and (bool(cells[0]) or number > 0)
        if not ((len(row) < width and n_filled <= max(1, width - 2)) or is_padded):
            return 0
    return 0


def _n_lines(lines: list[str], n_rows: int) -> int:
    """Return the number of lines above row `n_rows`; blank lines and lines inside quotes count."""
    reader = csv.reader(lines, delimiter="\x00")
    n_seen, before = 0, 0
    for row in reader:
        if row and any(cell for cell in row):
            if n_seen == n_rows:
                return before
            n_seen += 1
        before = reader.line_num
    return n_rows


def _n_header(rows: list[list[str]]) -> tuple[int, str | None]:
    """Return the number of header rows that survey tools write, and what shows it."""
    if len(rows) > 3 and sum('"ImportId"' in cell for cell in rows[2]) * 2 > len(rows[2]):
        return 3, "the header has three rows, as Qualtrics writes it"
    if len(rows) > 2 and any(cell.strip() in {"Response", "Open-Ended Response"} for cell in rows[1]):
        blank = [not cell.strip() for cell in rows[1]]
        if blank[0] and sum(blank) * 3 >= len(blank):
            return 2, "the header has two rows, as SurveyMonkey writes it"
    return 1, None
