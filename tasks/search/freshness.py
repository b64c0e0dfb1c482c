"""Freshness: a run's record -> whether the documents of its index have changed since the run."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents import recipes as documents_recipes
from topicflow.tasks.errors import PipelineError
from topicflow.tasks.runs.records import (
    RunRecord,
)
from topicflow.tasks.store.artifact_store import (
    ArtifactRef,
    ArtifactStore,
)


def source_files(load: LoadConfig) -> list[list[Any]]:
    """Return path, bytes and time of change of each local input file; nothing for other sources."""
    from topicflow.tasks.documents import docstrings
    from topicflow.tasks.documents.files import find_files
    from topicflow.tasks.documents.sources import is_remote

    if load.path is None or is_remote(load.path) or docstrings.is_docstrings(load.path):
        return []
    files = find_files(load)
    stats = [(path, path.stat()) for path in files.paths]
    return [[str(path.absolute()), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def changed_since(record: RunRecord, store: ArtifactStore, meta: Mapping[str, Any]) -> str | None:
    """Return the input if its documents have changed since the index was built, otherwise None.

    Notes
    -----
    Files are read only if their size or time of change differs: then their digests decide.
    """
    known = record.get("source_files")
    if not known or meta.get("documents") is None:
        return None
    load = LoadConfig.model_validate(tomllib.loads(record["config"])["load"])
    with contextlib.suppress(PipelineError, OSError):  # a missing input says nothing about the index
        if source_files(load) == known:
            return None
        from topicflow.tasks.documents.sources import fingerprint

        named = documents_recipes.load(load, str(fingerprint(load)))
        if store.state("sources", named.key) == "hit":
            documents = store.json(ArtifactRef("sources", named.key, stage="load"), "documents")["documents"]
            if documents == meta["documents"]:
                return None
        return str(load.path)
    return None
