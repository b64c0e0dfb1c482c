"""Places: the store, the folder of runs and the Prefect server: whether they are there, and whether they have room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.doctor.finding import Finding
from topicflow.tasks.errors import PipelineError
from topicflow.tasks.store.artifact_store import open_store

LEAST_FREE_BYTES = 2 << 30
"""Free space below which a run may end with a full disk: vectors of a million documents take 1.5 GB."""

ANSWER_S = 5.0
"""Seconds to wait for an answer of a server."""


def places(runtime: RuntimeConfig) -> Iterator[Finding]:
    """Yield the store and the folder of runs of a section `runtime`."""
    yield _store(runtime)
    yield _folder("runs", Path(runtime.runs), "its folder is made by the first run")


def server(url: str | None, version: str) -> Finding:
    """Return whether a Prefect server answers, and whether it has the version of this machine's Prefect."""
    if not url:
        return Finding(
            "server", "none is configured; a run starts a temporary one (PREFECT_API_URL names another)"
        )
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=ANSWER_S).raise_for_status()
        theirs = str(httpx.get(f"{url}/admin/version", timeout=ANSWER_S).json())
    except (httpx.HTTPError, ValueError) as error:
        return Finding(
            "server", f"{url} does not answer ({type(error).__name__}); start it, or unset it", "problem"
        )
    if theirs != version:
        return Finding(
            "server", f"{url} has Prefect {theirs}, this machine {version}; they should be equal", "note"
        )
    return Finding("server", f"{url} answers, Prefect {theirs}")


def _store(runtime: RuntimeConfig) -> Finding:
    """Return whether the store can be opened; a bucket is asked for the artifacts that it lists."""
    try:
        store = open_store(runtime)
        there = store.exists()
        if not there:
            store.check_empty()
    except PipelineError as error:
        return Finding("store", str(error), "problem")
    except Exception as error:  # noqa: BLE001  (whatever the client of a bucket raises)
        said = (str(error).splitlines() or [""])[0]
        return Finding("store", f"{runtime.store} cannot be read ({said})", "problem")
    if "://" in runtime.store:
        return Finding("store", f"{runtime.store} {'answers' if there else 'answers and is empty'}")
    return _folder("store", Path(runtime.store), "the first run makes it")


def _folder(subject: str, folder: Path, otherwise: str) -> Finding:
    """Return whether a folder, or the nearest one above it, can be written and has room."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(subject, f"{folder} cannot be written; choose another --{subject}", "problem")
    free = shutil.disk_usage(nearest).free
    said = f"{folder}{'' if folder.exists() else f' ({otherwise})'}, {free / 2**30:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return Finding(subject, f"{said}: less than {LEAST_FREE_BYTES >> 30} GiB; free space", "problem")
    return Finding(subject, said)
