"""Run folder: the record of an index -> the folder of its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topicflow.tasks.runs.records import (
    RunId,
    RunRecord,
    point_latest,
    run_folder,
    write_record,
)


def index_figures(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values about its index for a run's record: `n_documents` and `metrics`."""
    names = (
        "n_documents",
        "added",
        "removed",
        "method",
        "codes",
        "ef",
        "recall",
        "target_recall",
        "n_with_topic",
    )
    figures = {name: meta[name] for name in names if meta.get(name) is not None}
    figures |= {f"latency_ms_{name}": value for name, value in (meta.get("latency_ms") or {}).items()}
    return {"n_documents": meta["n_documents"], "metrics": figures}


def write_run(runs: Path, run: RunId, record: RunRecord) -> None:
    """Write the folder of an index's run and point `latest` at it; raise ArtifactError if that fails."""
    with run_folder(runs, run) as folder:
        write_record(folder, record)
    point_latest(runs / run.name, run.run_id)
