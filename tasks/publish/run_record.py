"""Run record: the artifacts of a finished run of any flow -> the common part of its run.json."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.read import dump_config
from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.publish.remarks import loss_figures, losses
from topicflow.tasks.runs.records import RunId, RunRecord, library_versions
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


def describe_run(
    store: ArtifactStore, config: FlowConfig, stages: Mapping[str, ArtifactRef], run: RunId
) -> RunRecord:
    """Return what a completed run of any flow records; a publisher adds its own entries and metrics.

    Parameters
    ----------
    store : ArtifactStore
        Where the artifacts are.
    config : FlowConfig
        The resolved config.
    stages : mapping of str to ArtifactRef
        The artifact of each stage, in order; `load`, and `embed` if texts were embedded, are among them.
    run : RunId
        Name, number and start of the run.
    """
    embedding = store.meta(stages["embed"]) if "embed" in stages else {}
    source = store.meta(stages["load"])
    return {
        "run_id": run.run_id,
        "name": run.name,
        "flow": config.flow,
        "state": "completed",
        "created": run.started.isoformat(timespec="seconds"),
        "seconds": (datetime.now(UTC) - run.started).total_seconds(),
        "store": store.location,
        "stages": [_stage(store, stage, ref) for stage, ref in stages.items()],
        "source": source,
        "embedding": {name: value for name, value in embedding.items() if name != "chunks"},
        "device": embedding.get("device", "none"),
        "machine": f"{platform.machine()} {platform.system()}, {n_cores()} cores",
        "versions": library_versions(),
        "commit": _commit(),
        "config": dump_config(_pinned(config, embedding)),
        "metrics": loss_figures(source, embedding),
        "remarks": losses(config.flow, source, embedding, stages["embed"].rows if "embed" in stages else 0),
        **_verdict(store, stages),
    }


def _verdict(store: ArtifactStore, stages: Mapping[str, ArtifactRef]) -> RunRecord:
    """Return whether a run may be published, and each gate with its figure; empty if it has no gates."""
    if "gate" not in stages:
        return {}
    verdict = store.json(stages["gate"], "verdict")
    return {"published": not verdict["failed"], "gates": verdict}


def _pinned(config: FlowConfig, embedding: RunRecord) -> FlowConfig:
    """Return the config with the key of the adapter in place of a run's name, which may mean another adapter later."""
    section = getattr(config, "embed", None)
    if section is None or getattr(section, "adapter", None) is None:
        return config
    return config.model_copy(update={"embed": section.model_copy(update={"adapter": embedding["adapter"]})})


def _stage(store: ArtifactStore, stage: str, ref: ArtifactRef) -> RunRecord:
    return {
        "stage": stage,
        "kind": ref.kind,
        "key": ref.key,
        "state": "cached" if ref.cached else "computed",
        "seconds": round(ref.seconds, 3),
        "peak_rss_bytes": ref.peak_rss_bytes,
        "peak_gpu_bytes": ref.peak_gpu_bytes,
        "rows": ref.rows,
        "recipe": store.manifest(ref.kind, ref.key)["recipe"],
    }


def _commit() -> str | None:
    """Return the commit of the code if it runs from a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
