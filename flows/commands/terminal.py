"""Terminal: what all that is printed shares: its width, and how a path is called."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console


def terminal() -> Console:
    """Return a console as wide as the terminal; 120 characters where the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def near(path: Path) -> Path:
    """Return a path as it is called from the folder where the command is started, if it lies in that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
