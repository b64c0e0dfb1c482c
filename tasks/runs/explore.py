"""Explore: a run's folder -> its documents in Apple's Embedding Atlas, for maps too large for the report."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.run_files import whole_file

PROGRAM = "embedding-atlas"
COLUMNS = ("text", "x", "y")
"""Columns of documents.parquet that the atlas draws; it offers the others as filters."""

CATEGORY = "topic_name"
"""Column that colours the map; runs of older versions do not have it."""


def explore_run(run: Mapping[str, Any]) -> None:
    """Open a run's documents in Embedding Atlas and return when the user stops it (control-C).

    Parameters
    ----------
    run : mapping
        The run's record; `folder` is its folder.

    Raises
    ------
    ConfigError
        If the run has no documents to show, the atlas is not installed, or it fails.
    """
    documents = Path(run["folder"]) / "documents.parquet"
    check_documents(documents)
    command = atlas_command(find_program(), documents)
    try:
        subprocess.run(command, check=True)  # noqa: S603  (our own list of arguments, no shell)
    except KeyboardInterrupt:
        return
    except (OSError, subprocess.CalledProcessError) as error:
        msg = f"explore: {PROGRAM} ended with an error ({error}); its output above says why"
        raise ConfigError(msg) from None


def atlas_command(program: str, documents: Path) -> list[str]:
    """Return the command line that shows `documents` at the run's coordinates, without computing new embeddings.

    The names of the topics are the map's colours and a list to filter by, if the documents have them.
    """
    text, x, y = COLUMNS
    command = [program, str(documents.resolve()), "--text", text, "--x", x, "--y", y]
    if CATEGORY not in pl.read_parquet_schema(documents):
        return command
    return [*command, "--state", json.dumps({"charts": topic_charts()})]


def topic_charts() -> dict[str, dict[str, Any]]:
    """Return the charts with which the atlas starts, as its option --state reads them."""
    text, x, y = COLUMNS
    place = {"x": x, "y": y, "text": text, "category": CATEGORY}
    return {
        "map": {"type": "embedding", "title": "Topics", "data": place},
        "topics": {"type": "count-plot", "title": CATEGORY, "data": {"field": CATEGORY}},
        "filters": {"type": "predicates", "title": "SQL filters"},
        "table": {"type": "instances", "title": "Documents"},
    }


def check_documents(documents: Path) -> None:
    """Raise ConfigError if the atlas cannot draw the file."""
    if not whole_file(documents.parent, documents.name).is_file():
        msg = f"explore: {documents} does not exist; only a completed run has one"
        raise ConfigError(msg)
    missing = sorted(set(COLUMNS) - set(pl.read_parquet_schema(documents)))
    if missing:
        msg = f"explore: {documents} lacks the columns {', '.join(missing)}; run the pipeline again to write them"
        raise ConfigError(msg)


def find_program() -> str:
    """Return the path of Embedding Atlas, on PATH or beside this Python; raise ConfigError if it is missing."""
    beside = Path(sys.executable).parent
    found = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=str(beside))
    if not found:
        msg = f"explore: {PROGRAM} is not installed; install it with: pip install 'topicflow[explore]'"
        raise ConfigError(msg)
    return found
