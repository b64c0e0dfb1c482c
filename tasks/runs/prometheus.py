"""Prometheus: the records of runs -> RUNS/metrics.prom, the text format that Prometheus reads.

Written again, in one step, each time a run has written its record. The node exporter can read the folder
(`--collector.textfile.directory`), or any web server can serve the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from topicflow.tasks.runs.history import (
    Unreadable,
    each_run,
    flow_of,
    is_completed,
    is_published,
    run_folders,
)

METRICS_FILE = "metrics.prom"
"""Name of the file in the folder of runs."""

GAUGES = {
    "run_success": "1 if the last run of the name completed, 0 if it failed or was cancelled.",
    "run_published": "1 if the last run passed its gates, 0 if one held it back; absent if it has no gates.",
    "run_timestamp_seconds": "When the last run ended, Unix time.",
    "run_last_success_timestamp_seconds": "When the last run that completed and was not held back ended, Unix time; "
    "0 if there is none.",
    "run_records_unreadable": "Records of the name's newest runs that cannot be read; absent if all can.",
    "run_seconds": "Wall seconds of the last run.",
    "run_documents": "Documents of the last run.",
    "run_topics": "Topics of the last run.",
    "run_outlier_share": "Share of documents without a topic in the last run, 0 to 1.",
    "run_cache_hits": "Stages that the last run found in the store.",
    "run_stages": "Stages of the last run.",
    "stage_seconds": "Wall seconds of a stage in the last run; for a cached stage, the time to find the artifact.",
    "stage_rows": "Rows of a stage's result.",
    "stage_cached": "1 if the stage was found in the store.",
    "stage_peak_memory_bytes": "Peak resident memory while the stage was computed.",
    "stage_peak_gpu_memory_bytes": "Peak of GPU memory allocated while the stage was computed; absent without a GPU.",
    "stage_gpu_seconds": "Wall seconds of stages that used a GPU; absent without one.",
}
"""Each metric, without its prefix, and its description in Prometheus."""

Sample = tuple[str, Mapping[str, str], float]


def write_metrics(runs: Path) -> Path:
    """Write the metrics of a folder of runs in one step and return the path of the file."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for name, labels, value in _samples(runs):
        if name not in gauges:
            gauges[name] = Gauge(f"topicflow_{name}", GAUGES[name], tuple(labels), registry=registry)
        gauges[name].labels(**labels).set(value)
    path = runs / METRICS_FILE
    write_to_textfile(str(path), registry)
    return path


def _samples(runs: Path) -> Iterator[Sample]:
    """Yield the metrics of the last run of each name; unreadable records are counted, not ignored."""
    for name in sorted({folder.parent.name for folder in run_folders(runs)}):
        last, n_unreadable = None, 0
        for found in each_run(runs, name):
            if isinstance(found, Unreadable):
                n_unreadable += 1
                continue
            if "created" not in found or found.get("tried"):  # a trial with --set is no run of a schedule
                continue
            if last is None:
                last = found
                yield from _of_run(last)
            if is_published(found):
                yield "run_last_success_timestamp_seconds", _labels(found), _ended(found)
                break
        else:
            if last is not None:  # so that an alert on its age fires for a name that was never published
                yield "run_last_success_timestamp_seconds", _labels(last), 0.0
        if n_unreadable:
            yield "run_records_unreadable", {"name": name}, float(n_unreadable)


def _of_run(record: Mapping[str, Any]) -> Iterator[Sample]:
    labels, stages = _labels(record), record.get("stages", [])
    yield "run_success", labels, float(is_completed(record))
    if "published" in record:
        yield "run_published", labels, float(record["published"])
    yield "run_timestamp_seconds", labels, _ended(record)
    yield "run_seconds", labels, record.get("seconds", 0.0)
    for name, value in (
        ("run_documents", record.get("n_documents")),
        ("run_topics", record.get("n_topics")),
        ("run_outlier_share", (record.get("metrics") or {}).get("outlier_share")),
    ):
        if value is not None:
            yield name, labels, float(value)
    if stages:
        yield "run_stages", labels, len(stages)
        yield "run_cache_hits", labels, sum(stage["state"] == "cached" for stage in stages)
    for stage in stages:
        yield from _of_stage(stage, {**labels, "stage": stage["stage"]})


def _of_stage(stage: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[Sample]:
    yield "stage_seconds", labels, stage["seconds"]
    yield "stage_rows", labels, stage["rows"]
    yield "stage_cached", labels, float(stage["state"] == "cached")
    if stage.get("peak_rss_bytes"):
        yield "stage_peak_memory_bytes", labels, stage["peak_rss_bytes"]
    if stage.get("peak_gpu_bytes"):
        yield "stage_peak_gpu_memory_bytes", labels, stage["peak_gpu_bytes"]
        yield "stage_gpu_seconds", labels, stage["seconds"]


def _labels(record: Mapping[str, Any]) -> dict[str, str]:
    return {"name": str(record["name"]), "flow": flow_of(record)}


def _ended(record: Mapping[str, Any]) -> float:
    """Return when a run ended, Unix time."""
    return datetime.fromisoformat(record["created"]).timestamp() + float(record.get("seconds", 0.0))
