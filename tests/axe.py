"""axe-core in a test's browser: what makes a page hard to use with a keyboard or a screen reader."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

OUTPUT = Path(__file__).parent / "output"


def axe_source() -> str:
    """Return axe-core's script: $AXE_CORE, an installed one, or one from npm; skip if there is none."""
    places = [Path(os.environ.get("AXE_CORE", "")), OUTPUT / "node_modules/axe-core/axe.min.js"]
    found = next((place for place in places if place.is_file()), None)
    if found is None and (npm := shutil.which("npm")):
        OUTPUT.mkdir(exist_ok=True)
        command = [npm, "install", "--silent", "--no-save", "--prefix", str(OUTPUT), "axe-core@4"]
        subprocess.run(command, capture_output=True, timeout=120, check=False)
        found = next((place for place in places if place.is_file()), None)
    if found is None:
        pytest.skip("axe-core is not installed: set AXE_CORE to its axe.min.js, or install npm")
    return found.read_text(encoding="utf-8")


_SERIOUS = """
    const done = arguments[0];
    axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations
        .filter((each) => ['serious', 'critical'].includes(each.impact))
        .flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.html.slice(0, 200)}`))));
"""


def serious(browser: Any, source: str) -> list[str]:
    """Return the rules that the page breaks seriously or critically, each with the element."""
    browser.execute_script(source)
    return list(browser.execute_async_script(_SERIOUS))
