"""State of a folder with a store and runs: what must be the same after a kill, and what was left behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicflow.configs.flows.serving import RetentionConfig
from topicflow.tasks.runs.history import each_run
from topicflow.tasks.runs.retention import clean, list_artifacts
from topicflow.tasks.runs.run_files import verify_runs
from topicflow.tasks.store.artifact_store import ArtifactStore, file_digest
from topicflow.tasks.store.verify import verify_artifacts

OF_EACH_RUN = frozenset({"run.json", "run.log", "report.html", "scores.csv"})
"""Files of a run's folder that contain its id and its times; the scores without times are an artifact."""

OF_THE_RECORD = ("state", "n_documents", "n_topics", "published", "update", "drift", "lineage", "updates")
"""Values of a record that are the same in equal runs; of `update`, the id of the run before is not."""

LOCKS = {".lock", ".leases", ".staging", ".damaged"}
"""Hidden places of a store that stay, the folders among them empty."""


@dataclass(frozen=True)
class State:
    """A folder's artifacts and published run by digests, the number of completed runs, and what was left over."""

    artifacts: dict[str, str]
    published: dict[str, Any]
    n_runs: int
    left_over: list[str]

    def lacks(self, other: State) -> list[str]:
        """Return what another state has and this one has not."""
        artifacts = other.artifacts.keys() - self.artifacts.keys()
        return [*sorted(artifacts), *sorted(other.published.keys() - self.published.keys())]

    def differs_from(self, other: State) -> list[str]:
        """Return what this state has in addition to another, or has with another content."""
        others = [
            f"{name}: {'not expected' if name not in expected else 'another content'}"
            for found, expected in ((self.artifacts, other.artifacts), (self.published, other.published))
            for name, value in sorted(found.items())
            if expected.get(name) != value
        ]
        return others + [f"{self.n_runs} runs, expected {other.n_runs}"] * (self.n_runs != other.n_runs)


def state_of(folder: Path) -> State:
    """Return the state of folder/store and folder/runs."""
    runs = folder / "runs"
    completed = [run for run in each_run(runs) if isinstance(run, dict) and run.get("state") == "completed"]
    return State(contents(folder / "store"), published_files(runs), len(completed), left_over(folder))


def collect_garbage(folder: Path) -> None:
    """Delete what no run refers to, and what killed commands left, of any age."""
    clean(ArtifactStore(folder / "store"), [folder / "runs"], RetentionConfig(min_age_hours=0.0))


def contents(store: Path) -> dict[str, str]:
    """Return the digest of every artifact's files except the manifest, which contains times."""
    return {
        path.relative_to(store).as_posix(): file_digest(path)
        for path in sorted(store.glob("[!.]*/*/**/*"))
        if path.is_file() and path.name != "manifest.json"
    }


def complete_artifacts(store: Path) -> set[tuple[str, str]]:
    """Return kind and key of the artifacts in a store."""
    if not (store / "format.json").exists():
        return set()
    return {(artifact.kind, artifact.key) for artifact in list_artifacts(ArtifactStore(store))}


def published_files(runs: Path, series_name: str = "[!.]*") -> dict[str, Any]:
    """Return the digest of each file of the published run of every series, or of one, and what its record says."""
    found: dict[str, Any] = {}
    for series in sorted(path for path in runs.glob(series_name) if path.is_dir()):
        latest = (series / "latest").resolve()
        ids = sorted(path.name for path in series.glob("2*") if (path / "run.json").exists())
        found[f"{series.name}: latest is the newest run"] = bool(ids) and latest.name == ids[-1]
        if not (latest / "run.json").exists():
            continue
        for path in sorted(latest.rglob("*")):
            if path.is_file() and path.name not in OF_EACH_RUN:
                found[f"{series.name}/latest/{path.relative_to(latest)}"] = _content(path)
        record = json.loads((latest / "run.json").read_bytes())
        found |= {
            f"{series.name}: {name}": _lasting(record[name]) for name in OF_THE_RECORD if name in record
        }
        keys = sorted(f"{stage['kind']}/{stage['key']}" for stage in record.get("stages", ()))
        found[f"{series.name}: stages"] = keys
    return found


def _content(path: Path) -> Any:
    """Return the digest of a file; of metrics the values, without times."""
    if path.name != "metrics.json":
        return file_digest(path)
    metrics = json.loads(path.read_bytes())
    return {name: value for name, value in metrics.items() if not name.startswith("latency")}


def _lasting(value: Any) -> Any:
    return (
        {name: each for name, each in value.items() if name != "previous"}
        if isinstance(value, dict)
        else value
    )


def left_over(folder: Path) -> list[str]:
    """Return what a killed command left and `store gc` did not delete: files in hidden places, and temporary ones."""
    store, runs = folder / "store", folder / "runs"
    found = [path for path in store.glob(".*") if path.name not in LOCKS]
    found += [path for place in LOCKS for path in (store / place).glob("*")]
    found += runs.rglob(".*")
    found += runs.glob("metrics.prom.*")
    return sorted(path.relative_to(folder).as_posix() for path in found)


def damaged(folder: Path) -> list[str]:
    """Return each artifact and run that is damaged, and each series whose `latest` is no complete run."""
    found = [each for each in verify_runs(folder / "runs") if each.problem]
    if (folder / "store/format.json").exists():
        found += [each for each in verify_artifacts(ArtifactStore(folder / "store")) if each.problem]
    dangling = [path for path in (folder / "runs").glob("*/latest") if not (path / "run.json").exists()]
    return [
        *(f"{each.kind}/{each.key}: {each.problem}" for each in found),
        *(f"{path}: no run" for path in dangling),
    ]
