"""A case: how a file is made, and what must come out. The sentences are the project's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SENTENCES = (
    "The delivery came two days late and nobody told us why",
    "A very friendly driver carried the washing machine upstairs",
    "The lid of the kettle broke after only three weeks of use",
    "I would buy this lamp again because the light is so warm",
    "The manual is only in Danish, which I cannot read at all",
    "Our cat loves the box more than the toy that was inside",
    "The refund arrived quickly, and support answered every mail",
    "One shelf was missing, so the whole cupboard stands crooked",
)


def rows(**columns: Sequence[Any]) -> list[dict[str, Any]]:
    """Return one row for each sentence, with its text last unless `text` is given."""
    values = {**columns, **({} if "text" in columns else {"text": SENTENCES})}
    return [dict(zip(values, each, strict=True)) for each in zip(*values.values(), strict=True)]


def numbered(form: str = "{}") -> list[str]:
    """Return one id for each sentence."""
    return [form.format(number) for number in range(1, len(SENTENCES) + 1)]


@dataclass(frozen=True)
class Case:
    """A file, and what must come out.

    Attributes
    ----------
    name : str
        The file's name, or folder's.
    write : callable
        Writes it to a path.
    texts : sequence of str
        The texts of the documents, in order.
    ids : sequence of str or None
        Their ids; None if no column has ids.
    times : sequence of str or None
        Their times as ISO 8601, None for no date.
    columns : mapping
        Some of the input's own columns, with their values.
    keys : mapping
        Keys that `init` must write into the section `load`.
    says : sequence of str
        What `init` must say.
    label : str
        Beside the name, if several cases have the same file name.
    """

    name: str
    write: Callable[[Path], Any]
    texts: Sequence[str] = SENTENCES
    ids: Sequence[str] | None = None
    times: Sequence[str | None] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    says: Sequence[str] = ()
    label: str = ""

    def __str__(self) -> str:
        """Return the name for reports of tests."""
        return f"{self.label or self.name}"


def text_file(text: str, encoding: str = "utf-8") -> Callable[[Path], Any]:
    """Return a writer of a text with this encoding."""
    return lambda path: path.write_bytes(text.encode(encoding))


def lines(*parts: str, end: str = "\n") -> str:
    """Return lines as one text."""
    return "".join(part + end for part in parts)
