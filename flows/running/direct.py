"""Direct: which runs start no Prefect server, and a stage as a plain call.

A temporary server costs a run 5 s. It is started for runs that compute for long: the first run of a corpus, and the
flows that train. A run that continues an earlier one, with one value changed or some new documents, often takes less.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.tasks.documents.sources import is_remote
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.runs.history import RunRecord, run_folders
from topicflow.tasks.runs.resolve import latest_run

SHORT_FLOWS = ("topic_model", "update_topics", "build_index", "deduplicate")
"""Flows that are short once their documents are embedded."""

_direct: ContextVar[bool] = ContextVar("direct", default=False)


@contextlib.contextmanager
def directly() -> Iterator[None]:
    """Call stages as plain functions during the block."""
    token = _direct.set(True)
    try:
        yield
    finally:
        _direct.reset(token)


def is_direct() -> bool:
    """Return whether stages are plain calls."""
    return _direct.get()


def needs_no_server(config: FlowConfig) -> bool:
    """Return whether a run is short: an earlier run has embedded its documents, or those that it continues.

    Input that is read through a network is tried again by Prefect, a cluster's work is sent by Prefect, and a webhook's
    address may be kept in Prefect: these runs have a server.
    """
    wanted = config.model_dump(mode="json", exclude_none=True)  # as a record has it
    path = wanted.get("load", {}).get("path")
    if (
        config.flow not in SHORT_FLOWS
        or path is None
        or is_remote(path)
        or "webhook_block" in wanted.get("gates", {})
        or config.runtime.engine != "threads"
    ):
        return False
    series = sorted({folder.parent for folder in run_folders(Path(config.runtime.runs))})
    return any(_embedded(wanted, _latest(each)) for each in series)


def _latest(series: Path) -> RunRecord | None:
    """Return the record of the published run of a series; None if it has none, or if it cannot be read.

    The series may be another one, whose damage must not keep this run from starting.
    """
    with contextlib.suppress(ArtifactError):
        return latest_run(series)
    return None


def _embedded(wanted: dict[str, Any], earlier: RunRecord | None) -> bool:
    """Return whether a run of the same name, or of the same documents, had the same encoder.

    Each flow has its own task by default; it decides only for models with prompts.
    """
    if earlier is None or not isinstance(earlier.get("config"), str):
        return False
    known = tomllib.loads(earlier["config"])
    same = earlier["name"] == wanted["name"] or known.get("load", {}).get("path") == wanted["load"]["path"]
    encoder = known.get("embed", {})  # a record also has the revision that was found
    deciding = {key: value for key, value in wanted.get("embed", {}).items() if key != "task"}
    return same and all(encoder.get(key) == value for key, value in deciding.items())
