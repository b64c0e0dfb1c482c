"""Finding: one line of `topicflow doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and whether a run would suffer from it.

    A `note` is something that some configs need (an extra), or that costs time (kernels that are not compiled yet); a
    `problem` makes runs fail.
    """

    subject: str
    found: str
    grade: Grade = "ok"
