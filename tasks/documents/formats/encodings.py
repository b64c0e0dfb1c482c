"""Encodings: a file's bytes -> the name of its encoding, and the first byte that the encoding cannot read."""

from __future__ import annotations

import codecs
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from topicflow.tasks.documents.formats.streams import open_bytes
from topicflow.tasks.errors import DataError

BLOCK_BYTES = 1 << 22
"""Bytes that are decoded at a time."""

_SAMPLE_BYTES = 1 << 16
"""Bytes of lines with other letters than ASCII that decide about the encoding."""

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_LIKELY = (
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "shift_jis", "euc_jp",
    "gb18030", "big5", "euc_kr", "utf_16_le", "utf_16_be", "mac_roman", "cp850",
)  # fmt: skip
"""Encodings of files that people have; cp1252 reads latin-1, too."""


def encoding_of(head: bytes, given: str | None) -> str:
    """Return the encoding of a file: by its byte order mark, otherwise as given, otherwise UTF-8."""
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    return marked or (codecs.lookup(given).name if given else "utf-8")


def file_encoding(path: Path, given: str | None) -> str:
    """Return the encoding of a file, which may be compressed; see `encoding_of`."""
    with open_bytes(path) as file:
        return encoding_of(file.read(4), given)


def likely_encoding(path: Path) -> str | None:
    """Return the encoding that a file without a byte order mark probably has; None if no one fits.

    Notes
    -----
    Only lines with letters outside ASCII tell encodings apart, so that the letters on line 900,000 count.
    """
    import charset_normalizer

    with open_bytes(path) as file:
        sample = _other_lines(file)
    if _is_damaged_utf8(sample):
        return None
    if b"\0" in sample:
        odd, even = sample[1::2].count(0), sample[::2].count(0)
        return "utf_16_le" if odd > even else "utf_16_be"
    if _is_western(sample):
        return "cp1252"
    best = charset_normalizer.from_bytes(sample, cp_isolation=list(_LIKELY)).best()
    return best.encoding if best is not None else None


def _is_damaged_utf8(sample: bytes) -> bool:
    """Return whether most letters outside ASCII are UTF-8: another encoding would destroy all of them."""
    text = sample.decode("utf-8", "replace")
    n_wrong = text.count("\ufffd")
    return sum(letter > "\x7f" for letter in text) - n_wrong >= max(1, n_wrong)


def _is_western(sample: bytes) -> bool:
    """Return whether the bytes above ASCII are single letters and signs of Western Europe inside words.

    A detector takes a few umlauts for Cyrillic or Greek; those scripts have runs of such bytes.
    """
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    other = [i for i, letter in enumerate(text) if letter > "\x7f"]
    common = set("äöüßÄÖÜéèêëàâáíìîïóòôõúùûçñãåæøœÉÈÀÂÁÍÓÚÇÑÅÆØ€£°§«»„“”‘’–—…·´©®½¼²³¿¡ºª\xa0")
    pairs = sum(b - a == 1 for a, b in pairwise(other))
    return bool(other) and sum(text[i] in common for i in other) >= 0.9 * len(other) > 3 * pairs


def _other_lines(file: BinaryIO) -> bytes:
    """Return the lines that are not ASCII, up to the size of a sample."""
    found, size = [], 0
    for line in iter(lambda: file.readline(BLOCK_BYTES), b""):
        if not line.isascii() or b"\0" in line:
            found.append(line)
            size += len(line)
            if size >= _SAMPLE_BYTES:
                break
    return b"".join(found)[:_SAMPLE_BYTES]


def first_invalid(path: Path, encoding: str) -> tuple[int, int] | None:
    """Return offset and value of the first byte that the encoding cannot read, or None; of the unpacked bytes."""
    checker = Checker(encoding)
    with open_bytes(path) as file:
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            if (found := checker.check(block)) is not None:
                return found
    return checker.check(b"")


class WrongByteError(DataError):
    """A byte that the encoding cannot read; `likely` is the encoding that probably can, None if none fits."""

    def __init__(self, message: str, likely: str | None) -> None:
        super().__init__(message)
        self.likely = likely


class Checker:
    """Finds the first byte that an encoding cannot read, block by block."""

    def __init__(self, encoding: str) -> None:
        self._is_ascii_based = encoding.replace("-", "_") == "utf_8"
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._start = 0

    def check(self, block: bytes) -> tuple[int, int] | None:
        """Return offset and value of a wrong byte, None if there is none so far; an empty block is the end."""
        pending = len(self._decoder.getstate()[0])
        if not (self._is_ascii_based and not pending and block.isascii()):  # ASCII needs no decoder
            try:
                self._decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return self._start - pending + error.start, error.object[error.start]
        self._start += len(block)
        return None


def wrong_byte(path: Path, encoding: str, offset: int, byte: int) -> WrongByteError:
    """Return the error about a byte that the encoding cannot read, with the encoding that probably can."""
    likely = likely_encoding(path) if encoding in {"utf-8", "utf-8-sig"} else None
    shown = "UTF-8" if encoding in {"utf-8", "utf-8-sig"} else encoding
    way = "correct load.encoding" if shown != "UTF-8" else "convert the file"
    way = f"set load.encoding={likely!r}, which it probably is" if likely else way
    msg = (
        f"load: {path}: not {shown} (byte 0x{byte:02x} at offset {offset:,}); {way}, or set "
        "load.encoding_errors='replace' to replace such bytes by U+FFFD"
    )
    return WrongByteError(msg, likely)
