"""Runs: names, numbers and folders of runs, written whole or not at all, and the records of past ones.

RUNS/<name>/<run id>/    documents.parquet topics.parquet topics.csv metrics.json run.json config.toml
                         report.html model/ run.log
RUNS/<name>/latest       link to the last completed run
RUNS/metrics.prom        the last run of each name, for Prometheus
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.read import dump_config
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.prometheus import write_metrics
from topicflow.tasks.runs.run_files import seal_run
from topicflow.tasks.store.artifact_store import disk_failure

RunRecord = dict[str, Any]
"""What run.json holds."""

LIBRARIES = (
    "topicflow", "prefect", "bertopic", "umap-learn", "hdbscan", "sentence-transformers", "torch", "polars",
    "scikit-learn", "numpy",
)  # fmt: skip


@dataclass(frozen=True)
class RunId:
    """A run's name and number, and when it began."""

    name: str
    run_id: str
    started: datetime

    @classmethod
    def new(cls, name: str) -> RunId:
        """Return the id of a run that begins now; ids sort by time."""
        now = datetime.now(UTC)
        fraction = now.microsecond * 65_536 // 1_000_000  # so that runs of one second sort too
        return cls(name, f"{now:%Y%m%d-%H%M%S}-{fraction:04x}{uuid.uuid4().hex[:4]}", now)

    def folder(self, runs: Path) -> Path:
        """Return the run's folder below `runs`."""
        return runs / self.name / self.run_id


def record_failure(config: FlowConfig, run: RunId, error: str) -> Path:
    """Return the folder of a failed run after writing its record; `latest` stays where it is."""
    record = {
        "run_id": run.run_id,
        "name": run.name,
        "flow": config.flow,
        "state": "failed",
        "error": error,
        "created": run.started.isoformat(timespec="seconds"),
        "seconds": (datetime.now(UTC) - run.started).total_seconds(),
        "versions": library_versions(),
        "config": dump_config(config),
    }
    with run_folder(Path(config.runtime.runs), run) as folder:
        write_json(folder / "run.json", record)
        (folder / "config.toml").write_text(dump_config(config), encoding="utf-8")
    return run.folder(Path(config.runtime.runs))


def check_series(runs: Path, name: str, flow: str) -> None:
    """Raise ConfigError where the runs of a name are another flow's: a name is one series, and `latest` its last."""
    for record in list_runs(runs, name):
        if (theirs := record.get("flow", flow)) != flow:
            msg = f"{runs / name} holds runs of {theirs}; give this config another name"
            raise ConfigError(msg)


def list_runs(runs: Path, name: str | None = None) -> list[RunRecord]:
    """Return the records of past runs, newest first; folders without a readable record are left out."""
    records = []
    for path in runs.glob(f"{name or '*'}/*/run.json"):
        if path.parent.name == "latest" or path.parent.name.startswith(
            "."
        ):  # a killed run leaves its staging
            continue
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(path.read_bytes())
            if isinstance(record, dict) and {"run_id", "name"} <= record.keys():
                records.append({**record, "folder": str(path.parent)})
    return sorted(records, key=lambda record: str(record["run_id"]), reverse=True)


def find_run(runs: Path, wanted: str | None = None) -> RunRecord:
    """Return the record of a run by id, `name`, `name/run id`, `name/latest`, or folder; the newest if None.

    `latest` is the newest completed run, as the link in the folder is; one that failed its gates is not.

    Raises
    ------
    ConfigError
        When there is no such run.
    """
    records = list_runs(runs)
    folder = Path(wanted).resolve() if wanted else None
    for record in records:
        names = {record["run_id"], record["name"], f"{record['name']}/{record['run_id']}"}
        if is_published(record):
            names.add(f"{record['name']}/latest")
        if wanted is None or wanted in names or Path(record["folder"]).resolve() == folder:
            return record
    found = f"; the newest is {records[0]['name']}/{records[0]['run_id']}" if records else ""
    msg = f"{runs}: no run {wanted}{found}" if wanted else f"{runs}: no runs"
    raise ConfigError(msg)


def last_record(runs: Path, name: str) -> RunRecord | None:
    """Return the record of the last completed run of a name, or None."""
    return next((record for record in list_runs(runs, name) if record.get("state") == "completed"), None)


def is_published(record: Mapping[str, Any]) -> bool:
    """True when a run completed and no gate held it back."""
    return record.get("state") == "completed" and record.get("published") is not False


def published_metrics(runs: Path, name: str) -> dict[str, Any] | None:
    """Return the figures of the last published run of a name, None before the first."""
    return next((record["metrics"] for record in list_runs(runs, name) if is_published(record)), None)


@contextlib.contextmanager
def run_folder(runs: Path, run: RunId) -> Iterator[Path]:
    """Yield a staging folder that becomes the run's folder when the block ends well; then renew the metrics."""
    target = run.folder(runs)
    staging = target.with_name(f".{run.run_id}.staging")
    try:
        staging.mkdir(parents=True)
        yield staging
        seal_run(staging)
        staging.rename(target)
        with contextlib.suppress(OSError):  # the run is whole; its figures are written with the next
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
        temporary.replace(folder / "latest")
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(folder / "latest", error) from error


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
            versions[name] = package_version(name)
    return versions
