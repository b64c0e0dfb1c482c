"""Loading: a section `load` -> whether what reads such an input is installed, and the database's URL is set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.util import find_spec

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.database import unset_connection
from topicflow.tasks.documents.files import find_files
from topicflow.tasks.documents.formats.streams import missing_package
from topicflow.tasks.errors import DataError

PACKAGES = {"excel": "fastexcel", "warc": "warcio", "duckdb": "duckdb"}
"""The package that reads a format; the readers of the other formats are always installed."""


def check_loading(config: LoadConfig) -> None:
    """Check what an input needs, without reading it; whether it is there is the business of `load`.

    Raises
    ------
    DataError
        If a package is not installed, or the environment variable of a database's URL is not set.
    """
    if config.connection_env is not None and not os.environ.get(config.connection_env):
        raise unset_connection(config.connection_env)
    for where, package in _needed(config):
        if find_spec(package) is None:
            raise missing_package(where, package)


def _needed(config: LoadConfig) -> Iterator[tuple[str, str]]:
    """Yield each needed package with what needs it."""
    if "html" in config.clean:
        yield "load.clean", "selectolax"
    if config.path is None or "://" in config.path:
        return
    with contextlib.suppress(DataError):
        found = find_files(config)
        if found.format in PACKAGES:
            yield config.path, PACKAGES[found.format]
        if any(name.lower().endswith(".zst") for name in found.names):
            yield config.path, "zstandard"
