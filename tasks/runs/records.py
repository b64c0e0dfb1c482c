"""Runs: names, ids and folders of runs, written completely or not at all; `history` reads them.

RUNS/<name>/<run id>/    documents.parquet topics.parquet topics.csv metrics.json run.json config.toml
                         report.html model/ run.log
RUNS/<name>/latest       link to the last run that completed and was not held back by a gate
RUNS/metrics.prom        the last run of each name, for Prometheus
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.read import dump_config
from topicflow.tasks.errors import ArtifactError
from topicflow.tasks.runs.history import LATEST, RECORD, RunRecord
from topicflow.tasks.runs.prometheus import write_metrics
from topicflow.tasks.runs.run_files import seal_run
from topicflow.tasks.store.artifact_store import disk_failure
from topicflow.tasks.store.durable import fsync, fsync_tree, open_as_folder
from topicflow.tasks.store.recipe_parts import version

__all__ = [
    "RunId", "RunRecord", "library_versions", "point_latest", "record_failure", "run_folder", "write_json",
    "write_record",
]  # fmt: skip

METRICS = "metrics.json"

FAILED, CANCELLED = "failed", "cancelled"
"""States of runs that published nothing."""

LIBRARIES = (
    "topicflow", "prefect", "bertopic", "umap-learn", "hdbscan", "sentence-transformers", "torch", "polars",
    "scikit-learn", "numpy",
)  # fmt: skip


@dataclass(frozen=True)
class RunId:
    """A run's name and id, and when it began."""

    name: str
    run_id: str
    started: datetime
    tried: tuple[str, ...] = ()
    """The values of a trial (key=value), which does not move `latest`; empty for other runs."""

    @classmethod
    def new(cls, name: str) -> RunId:
        """Return the id of a run that begins now; ids sort by time."""
        now = datetime.now(UTC)
        fraction = now.microsecond * 65_536 // 1_000_000  # so that runs of one second are sorted, too
        return cls(name, f"{now:%Y%m%d-%H%M%S}-{fraction:04x}{uuid.uuid4().hex[:4]}", now)

    def folder(self, runs: Path) -> Path:
        """Return the run's folder below `runs`."""
        return runs / self.name / self.run_id


def record_failure(config: FlowConfig, run: RunId, error: str, state: str = FAILED) -> Path:
    """Write the record of a failed or cancelled run and return its folder; `latest` does not change.

    If the run's folder exists, the run was published before the failure: its record does not change.
    """
    target = run.folder(Path(config.runtime.runs))
    if target.is_dir():
        return target
    record = {
        "run_id": run.run_id,
        "name": run.name,
        "flow": config.flow,
        "state": state,
        "error": error,
        "created": run.started.isoformat(timespec="seconds"),
        "seconds": (datetime.now(UTC) - run.started).total_seconds(),
        "versions": library_versions(),
        "config": dump_config(config),
    }
    with run_folder(Path(config.runtime.runs), run) as folder:
        write_record(folder, record)
    return target


def write_record(folder: Path, record: RunRecord) -> None:
    """Write what every folder of a run has: run.json, config.toml, and metrics.json if the run has metrics.

    A metrics.json that is there already stays: some flows write more into it than the record has.
    """
    if "metrics" in record and not (folder / METRICS).exists():
        write_json(folder / METRICS, record["metrics"])
    write_json(folder / RECORD, record)
    (folder / "config.toml").write_text(record["config"], encoding="utf-8")


@contextlib.contextmanager
def run_folder(runs: Path, run: RunId) -> Iterator[Path]:
    """Yield a staging folder that becomes the run's folder if the block ends without an error; then write the metrics.

    Every file is flushed to the disk before the folder gets its name; the run's record has a digest of itself.
    """
    target = run.folder(runs)
    staging = target.with_name(f".{run.run_id}.staging")
    try:
        staging.mkdir(parents=True)
        yield staging
        seal_run(staging)
        open_as_folder(staging)
        fsync_tree(staging)
        staging.rename(target)
        for folder in (target.parent, runs):
            fsync(folder)
        with contextlib.suppress(
            OSError, ArtifactError
        ):  # the run is complete; the next one writes its metrics
            write_metrics(runs)
    except Exception as error:
        if isinstance(error, OSError) or disk_failure(error):
            raise _unwritable(target, error) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def point_latest(folder: Path, run_id: str) -> None:
    """Make `latest` a link to the run, in one step."""
    temporary = folder / f".latest-{uuid.uuid4().hex}"
    try:
        temporary.symlink_to(run_id, target_is_directory=True)
        temporary.replace(folder / LATEST)
        fsync(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(folder / LATEST, error) from error


def _unwritable(target: Path, error: Exception) -> ArtifactError:
    reason = disk_failure(error) or str(getattr(error, "strerror", None) or error).lower()
    return ArtifactError(f"runs: {target} cannot be written ({reason}); free space or choose another --runs")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write `value` as indented JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a run's numbers."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
