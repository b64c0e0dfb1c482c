"""Terminal: the width of what is printed, and the form of its paths."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console


def terminal() -> Console:
    """Return a console as wide as the terminal; 120 characters if the output goes to a file or a program."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def near(path: Path) -> Path:
    """Return a path relative to the folder where the command is started, if it is below that folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
