"""Runs for tests: folders with a record and nothing else."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.tasks.runs.records import RunId, point_latest, record_failure, run_folder, write_json


def run_id(number: int, name: str = "topics") -> RunId:
    """Return an id; ids sort by number."""
    return RunId(name, f"20260101-00000{number}-abcdef", datetime.now(UTC))


def complete(runs: Path, number: int, name: str = "topics", **changes: Any) -> RunId:
    """Return the id of a run that completed; `latest` points at it unless `published` is false."""
    run = run_id(number, name)
    with run_folder(runs, run) as folder:
        write_json(folder / "run.json", {"run_id": run.run_id, "name": name, "state": "completed", **changes})
    if changes.get("published", True):
        point_latest(runs / name, run.run_id)
    return run


def fail(runs: Path, number: int, name: str = "topics") -> RunId:
    """Return the id of a run that failed."""
    run = run_id(number, name)
    config = TopicModelConfig(name=name, load={"path": "a.csv"}, runtime={"runs": str(runs)})
    record_failure(config, run, "load: a.csv: no such file")
    return run


def damage(runs: Path, run: RunId, content: str = "{") -> Path:
    """Return the path of a run's record after writing something else into it."""
    path = run.folder(runs) / "run.json"
    path.write_text(content)
    return path


def edit(path: Path, **changes: Any) -> None:
    """Change values of a record in its file, which then has no digest, like one of an older version."""
    record = json.loads(path.read_text())
    kept = {name: value for name, value in record.items() if name not in {"format", "digest"}}
    path.write_text(json.dumps({**kept, **changes}))
