"""Modules: keep a user's own files from being imported instead of libraries, in this process and its children.

Python puts the working folder first among the places of modules, and Prefect does so again whenever it loads a flow by
its module's name: Python would import a `numpy.py` beside the data as numpy. So children get PYTHONSAFEPATH, and while
Prefect loads flows the process works in an empty folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

SAFE_PATH = "PYTHONSAFEPATH"

SETTINGS_FILES = ("prefect.toml", "pyproject.toml", ".env")
"""The files of the working folder from which Prefect reads settings, besides the environment and the profile."""


def has_settings_file() -> bool:
    """Return whether a file of the working folder may have settings of Prefect; asking Prefect takes a second."""
    return any(_may_set(Path(name)) for name in SETTINGS_FILES)


def _may_set(path: Path) -> bool:
    """Return whether a file may have settings of Prefect; a file that cannot be read may have them."""
    if not path.is_file():
        return False
    try:
        text = path.read_text(encoding="utf-8")
        if path.name == "pyproject.toml":
            return "prefect" in tomllib.loads(text).get("tool", {})
    except (OSError, ValueError):
        return True
    return path.name == "prefect.toml" or "prefect_" in text.lower()


def trust_no_folder() -> None:
    """Keep child processes from importing modules of the working folder."""
    os.environ.setdefault(SAFE_PATH, "1")


@contextlib.contextmanager
def in_empty_folder() -> Iterator[None]:
    """Work in an empty folder during the block, with Prefect's settings of the current folder."""
    if home := os.environ.get("PREFECT_HOME"):
        os.environ["PREFECT_HOME"] = str(Path(home).absolute())
    for name, value in _settings_of_files().items():
        os.environ.setdefault(name, value)
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="topicflow-") as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(before)


def _settings_of_files() -> dict[str, str]:
    """Return the settings that Prefect reads in the working folder, as variables; another process reads them.

    This process must not read them: after that it would not see the settings of a server that is started later.
    """
    if not has_settings_file():
        return {}
    code = (
        "import json; from prefect.settings import get_current_settings as current\n"
        "print(json.dumps(current().to_environment_variables(exclude_unset=True)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    found: dict[str, str] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found
