"""Modules: what keeps a user's own files from being imported in place of libraries, in this process and its children.

Python puts the folder where a module is started first among the places of modules, and Prefect does so again whenever
it loads a flow by its module's name: a `numpy.py` beside the data would be taken for numpy. So children get
PYTHONSAFEPATH, and where Prefect loads anything the process works in an empty folder.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

SAFE_PATH = "PYTHONSAFEPATH"


def trust_no_folder() -> None:
    """Keep child processes from taking the working folder as a place of modules."""
    os.environ.setdefault(SAFE_PATH, "1")


@contextlib.contextmanager
def in_empty_folder() -> Iterator[None]:
    """Work in an empty folder for the length of a block, with Prefect's settings as they are in this one."""
    from prefect.settings import get_current_settings

    if home := os.environ.get("PREFECT_HOME"):
        os.environ["PREFECT_HOME"] = str(Path(home).absolute())
    for name, value in get_current_settings().to_environment_variables(exclude_unset=True).items():
        os.environ.setdefault(
            name, value
        )  # what prefect.toml and .env say, which are looked for in the folder
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="topicflow-") as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(before)
