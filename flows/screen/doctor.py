"""Screen of the doctor: findings -> one line for each, and a last one that counts what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from topicflow.flows.screen.terminal import terminal
from topicflow.tasks.doctor.finding import Finding

MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "red")}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print every finding with its grade, and how many are problems."""
    console = terminal()
    for each in findings:
        mark, colour = MARKS[each.grade]
        console.print(Text(f"{mark:<8}", colour), Text(f"{each.subject:<13}{each.found}"), sep="")
    n = sum(each.grade == "problem" for each in findings)
    print("nothing is wrong" if not n else f"{n} problem{'s' if n > 1 else ''}")
