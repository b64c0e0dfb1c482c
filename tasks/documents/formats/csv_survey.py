"""Survey of a CSV file: its bytes, once -> encoding, line ends, and whether its quotes and rows are regular.

A regular file is read by polars as it is. Anything else is mended in a copy (csv_repair.py) or explained.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.documents.formats.encodings import BLOCK_BYTES, Checker, file_encoding
from topicflow.tasks.documents.formats.streams import is_compressed, open_bytes

_LF, _CR = 10, 13


@dataclass
class Survey:
    """What one pass over a file's bytes shows.

    Attributes
    ----------
    encoding : str
        By the byte order mark, from the config, or UTF-8.
    is_plain : bool
        Whether the file is uncompressed UTF-8 without a mark.
    invalid : tuple of int, int or None
        Offset and value of the first byte that the encoding cannot read.
    is_regular : bool
        Whether every quote opens or closes a field, or is doubled in one (RFC 4180).
    has_cr_lines : bool
        Whether lines end in CR only.
    n_separators, n_lines : int
        Outside quoted fields.
    """

    encoding: str
    is_plain: bool
    invalid: tuple[int, int] | None = None
    is_regular: bool = True
    has_cr_lines: bool = False
    n_separators: int = 0
    n_lines: int = 0

    def is_rectangular(self, n_fields: int) -> bool:
        """Return whether the counts fit rows of `n_fields` each."""
        return self.n_separators == self.n_lines * (n_fields - 1)


def survey(
    path: Path, separator: str, quote: str, given: str | None, *, without_blank: bool = False
) -> Survey:
    """Return what one pass over the bytes of a file shows.

    Parameters
    ----------
    path : Path
        The file, perhaps compressed.
    separator, quote : str
        One ASCII character each; an empty quote means that quotes have no meaning.
    given : str, optional
        The encoding from the config.
    without_blank : bool
        Whether blank lines are left out of the count, which takes as long as all the rest.

    Notes
    -----
    About 0.4 s for 100 MB of ASCII. UTF-16 and UTF-32 are not searched for quotes: their copy is.
    """
    encoding = file_encoding(path, given)
    found = Survey(encoding, encoding == "utf-8" and not is_compressed(path.name))
    checker, state = Checker(encoding), _State(ord(separator), ord(quote) if quote else None, without_blank)
    is_bytewise = not encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
    with open_bytes(path) as file:
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            found.invalid = found.invalid or checker.check(block)
            if is_bytewise:
                state.add(block.removeprefix(codecs.BOM_UTF8))
        found.invalid = found.invalid or checker.check(b"")
    state.end()
    found.is_regular = state.is_regular
    found.has_cr_lines = state.n_cr_alone > 0 and state.n_lf == 0
    found.n_separators, found.n_lines = state.n_separators, state.n_lines
    return found


class _State:
    """Counts over blocks; a quote at the border of two blocks is judged with the next block."""

    def __init__(self, separator: int, quote: int | None, without_blank: bool) -> None:
        self.separator, self.quote, self.without_blank = separator, quote, without_blank
        self.is_regular = True
        self._may_stand = np.zeros(256, np.bool_)  # beside a quote
        self._may_stand[[separator, _LF, _CR, quote or separator]] = True
        self.n_quotes = self.n_separators = self.n_lines = self.n_lf = self.n_cr_alone = 0
        self._last = _LF  # the byte before the block
        self._open_end = (
            False  # the block before ended with a quote that closes a field, or begins a doubled one
        )

    def add(self, block: bytes) -> None:
        """Add the next bytes."""
        n_lf = block.count(b"\n")
        self.n_lf += n_lf
        if b"\r" in block:
            self.n_cr_alone += block.count(b"\r") - block.count(b"\r\n")
        if self.quote is None or (self.quote not in block and not self.n_quotes % 2 and not self._open_end):
            self._count_plain(block, n_lf)
        else:
            self._count_quoted(np.frombuffer(block, np.uint8))
        self._last = block[-1]

    def _count_plain(self, block: bytes, n_lf: int) -> None:
        self.n_separators += block.count(bytes([self.separator]))
        n_blank = 0  # too few if several blank lines follow each other
        if self.without_blank:
            n_blank = (
                block.count(b"\n\n") + block.count(b"\n\r\n") + (self._last == _LF and block[:1] in b"\n\r")
            )
        self.n_lines += n_lf - n_blank

    def _count_quoted(self, block: NDArray[np.uint8]) -> None:
        quotes = np.flatnonzero(block == self.quote)
        self._judge(block, quotes)
        ends = np.flatnonzero(block == _LF)
        marks = np.flatnonzero(block == self.separator)
        ends, marks = (
            places[(np.searchsorted(quotes, places) + self.n_quotes) % 2 == 0] for places in (ends, marks)
        )
        self.n_lines += len(ends) - (self._n_blank(block, ends) if self.without_blank else 0)
        self.n_separators += len(marks)
        self.n_quotes += len(quotes)

    def _n_blank(self, block: NDArray[np.uint8], ends: NDArray[np.intp]) -> int:
        before = np.where(ends == 0, self._last, block[np.maximum(ends - 1, 0)])
        two_before = np.where(ends >= 2, block[np.maximum(ends - 2, 0)], self._last)
        return int(((before == _LF) | ((before == _CR) & (two_before == _LF))).sum())

    def _judge(self, block: NDArray[np.uint8], quotes: NDArray[np.intp]) -> None:
        """Note whether each quote stands where one may; the last byte of a block is judged with the next one."""
        if self._open_end and not self._may_stand[block[0]]:
            self.is_regular = False
        is_inside = self.n_quotes % 2
        opening, closing = quotes[is_inside::2], quotes[1 - is_inside :: 2]
        if len(opening) and opening[0] == 0:
            self.is_regular &= bool(self._may_stand[self._last])
            opening = opening[1:]
        self._open_end = len(closing) > 0 and int(closing[-1]) == len(block) - 1
        closing = closing[:-1] if self._open_end else closing
        self.is_regular &= bool(self._may_stand[block[opening - 1]].all())
        self.is_regular &= bool(self._may_stand[block[closing + 1]].all())

    def end(self) -> None:
        """Judge the end of the file: an open field is irregular; a last line without an end is a line."""
        self.is_regular = self.is_regular and self.n_quotes % 2 == 0
        if self._last not in {_LF, _CR}:
            self.n_lines += 1
