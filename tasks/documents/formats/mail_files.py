"""Mail: mailboxes (.mbox) and folders of messages (.eml) -> one row a message, with the text of its body."""

from __future__ import annotations

import email
import email.policy
import mailbox
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.tasks.documents.formats.plain_html import plain_html

SCHEMA = {
    "message_id": pl.String(),
    "date": pl.Datetime("us"),
    "from": pl.String(),
    "to": pl.String(),
    "subject": pl.String(),
    "text": pl.String(),
}


def mail_rows(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield a row for each message of the files, in their order; memory is one message.

    Notes
    -----
    The text is the plain part of a message, or its HTML part without tags. Attachments are left out. A date that
    cannot be read is null.
    """
    for path in paths:
        for message in _messages(path):
            yield _row(message)


def _messages(path: Path) -> Iterator[EmailMessage]:
    with path.open("rb") as file:
        is_box = file.read(5) == b"From "
    if not is_box:
        yield _parsed(path.read_bytes())
        return
    box = mailbox.mbox(path, create=False)
    try:
        for key in box.keys():  # noqa: SIM118  (a mailbox iterates over its messages)
            yield _parsed(box.get_bytes(key))
    finally:
        box.close()


def _parsed(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _row(message: EmailMessage) -> dict[str, Any]:
    return {
        "message_id": _header(message, "Message-ID"),
        "date": _date(message),
        "from": _header(message, "From"),
        "to": _header(message, "To"),
        "subject": _header(message, "Subject"),
        "text": _body(message),
    }


def _header(message: EmailMessage, name: str) -> str | None:
    """Return a header; None if it is absent or so broken that the parser fails on it."""
    try:
        value = message[name]
    except (ValueError, IndexError, AttributeError, TypeError):  # the parser's own failures on broken headers
        return None
    return None if value is None else _valid(" ".join(str(value).split()))


def _valid(text: str) -> str:
    """Return a text without lone surrogates, which stand for bytes of no encoding."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _date(message: EmailMessage) -> datetime | None:
    text = _header(message, "Date")
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return (found.astimezone(UTC) if found.tzinfo else found).replace(tzinfo=None)


def _body(message: EmailMessage) -> str | None:
    part = message.get_body(("plain", "html"))
    if not isinstance(part, EmailMessage):
        return None
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return None
    try:
        text = data.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a charset that nobody knows
        text = data.decode("utf-8", "replace")
    text = text.replace("\r\n", "\n")
    return plain_html(text) if part.get_content_type() == "text/html" else text
