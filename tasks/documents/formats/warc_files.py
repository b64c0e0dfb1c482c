"""Web archives: WARC and WET files, also compressed -> one row a page, with its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.tasks.documents.formats.plain_html import plain_html
from topicflow.tasks.documents.formats.streams import missing_package, open_bytes
from topicflow.tasks.errors import DataError, first_line

SCHEMA = {"url": pl.String(), "date": pl.Datetime("us"), "type": pl.String(), "text": pl.String()}

_CHARSET = re.compile(rb"""charset\s*=\s*["']?([\w-]{3,20})""", re.IGNORECASE)
_TEXTS = ("text/plain", "text/html", "application/xhtml+xml")


def page_rows(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield a row for each page of text: conversions (WET), resources, and successful responses; memory is one page.

    Raises
    ------
    DataError
        If a file is no WARC, or warcio is not installed.
    """
    try:
        from warcio.archiveiterator import ArchiveIterator
        from warcio.exceptions import ArchiveLoadFailed
    except ImportError:
        raise missing_package(paths[0], "warcio") from None
    for path in paths:
        stream = (
            path.open("rb") if path.suffix.lower() == ".gz" else open_bytes(path)
        )  # warcio unpacks by record
        with stream as file:
            try:
                for record in ArchiveIterator(file):
                    if (row := _row(record)) is not None:
                        yield row
            except ArchiveLoadFailed as error:
                msg = f"load: {path}: no WARC file ({first_line(error)}); download it again"
                raise DataError(msg) from None


def _row(record: Any) -> dict[str, Any] | None:  # noqa: ANN401  (warcio has no types)
    if record.rec_type not in {"conversion", "resource", "response"}:
        return None
    http = record.http_headers
    if record.rec_type == "response" and (http is None or not str(http.get_statuscode()).startswith("2")):
        return None
    declared = (http or record.rec_headers).get_header("Content-Type") or "text/plain"
    kind = declared.split(";")[0].strip().lower()
    if kind not in _TEXTS:
        return None
    data = record.content_stream().read()
    text = _decoded(data, declared.encode())
    return {
        "url": record.rec_headers.get_header("WARC-Target-URI"),
        "date": _date(record.rec_headers.get_header("WARC-Date")),
        "type": record.rec_type,
        "text": text if kind == "text/plain" else plain_html(text),
    }


def _decoded(data: bytes, declared: bytes) -> str:
    """Return the text in the charset that the server, or otherwise the page, declares."""
    match = _CHARSET.search(declared) or _CHARSET.search(data[:2048])
    try:
        return data.decode(match[1].decode() if match else "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _date(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        return None
